//! `treeline run` on interfaces, in network namespaces of the tests' own: alerts, dropping, swaps, pins, and the failure modes of docs/live.md.
//!
//! Without root every trial is reported as ignored, by name, with the reason in one line; where the environment has `CI` that is a failure.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of system calls")]

mod alert;

mod bad_day;

mod client;

mod disk;

mod drop;

mod end;

mod instance;

mod lab;

mod pin;

mod rename;

mod report;

mod swap;

mod table1;

mod tunnel;

mod user;

use std::process::{Command, ExitCode};

use lab::{Lab, Result};
use libtest_mimic::{Arguments, Trial};

/// The hooks.
const HOOKS: [&str; 3] = ["tc", "xdp", "socket"];
/// Those that can drop, and that links hold.
const LINKED: [&str; 2] = ["tc", "xdp"];
/// How the names of the bench's trials begin.
const TABLE1: &str = "table1";
/// All that a packet can come through.
const ALL: [&str; 5] = ["tc", "xdp", "socket", "user-recv", "user-ring"];
/// Engines in user space.
const USER: [&str; 2] = ["user-recv", "user-ring"];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two cores and the wall's clock: side by side the trials would disturb each other.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let (missing, tools) = (missing(), absent(&["iperf3", "ethtool"]));
    let absent = missing.as_ref().or(tools.as_ref());
    assert!(absent.is_none() || std::env::var_os("CI").is_none(), "the live system cannot be tested under CI: {absent:?}");
    let ignored = |trial: &Trial| missing.is_some() || tools.is_some() && trial.name().starts_with(TABLE1);
    let trials: Vec<_> = trials().into_iter().map(|trial| if ignored(&trial) { trial.with_ignored_flag(true) } else { trial }).collect();
    if let Some(reason) = &missing {
        println!("{} trials are ignored: {reason}", trials.len());
    } else if let Some(reason) = &tools {
        println!("trials of {TABLE1} are ignored: {reason}");
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What these tests need and do not have.
fn missing() -> Option<String> {
    let tools = absent(&["ip", "tc", "nsenter", "setpriv", "unshare", "prlimit"]);
    if tools.is_some() {
        return tools;
    }
    Lab::new().err().map(|error| format!("no network namespaces: {}", error.message().unwrap_or("unknown")))
}

/// The first of these programs that is not there.
fn absent(tools: &[&str]) -> Option<String> {
    let absent = tools.iter().find(|tool| Command::new(tool).arg("--help").output().is_err())?;
    Some(format!("no {absent} (packages iproute2, util-linux, bsdutils, iperf3, ethtool)"))
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    let mut each = |hooks: &'static [&'static str], name: &str, run: fn(&Lab, &str) -> Result| {
        for hook in hooks {
            trials.push(Trial::test(format!("{hook}::{name}"), move || run(&Lab::new()?, hook)));
        }
    };
    each(&HOOKS, "a_flow_alerts_once_with_what_is_known_of_it", alert::once);
    each(&HOOKS, "detect_changes_nothing_that_arrives", drop::detect);
    each(&LINKED, "enforce_drops_what_is_malicious_and_nothing_else", drop::enforce);
    each(&LINKED, "the_allow_list_comes_first", drop::allow);
    each(&LINKED, "a_connection_that_was_there_before_goes_on", drop::before);
    each(&HOOKS, "a_swap_under_load_judges_every_packet", swap::under_load);
    each(&HOOKS, "a_kernel_that_judges_otherwise_is_found_and_nothing_attached", end::otherwise);
    each(&HOOKS, "a_second_instance_is_refused_and_told_whose_the_hook_is", end::second);
    each(&HOOKS, "sigterm_detaches", end::sigterm);
    each(&HOOKS, "a_killed_process_detaches", end::killed);
    each(&LINKED, "pins_survive_a_kill_and_a_restart_adopts_them_with_their_flows", pin::restart);
    each(&LINKED, "a_restart_over_pins_takes_its_own_allow_list", pin::allow);
    each(&LINKED, "a_dead_instances_pins_are_asked_swapped_and_detached", pin::dead);
    each(&HOOKS, "malformed_frames_are_each_counted", bad_day::malformed);
    each(&LINKED, "damaged_frames_without_pause_are_each_counted", bad_day::damaged);
    each(&ALL, "packets_of_a_tunnel_are_classified_as_those_of_its_capture", tunnel::capture);
    each(&ALL, "a_tunnel_and_a_wire_share_one_flow_table", tunnel::both);
    each(&LINKED, "enforce_drops_what_is_malicious_on_a_tunnel_and_nothing_else", tunnel::enforce);
    each(&["tc", "user-recv"], "a_lost_alert_is_due_again", bad_day::due_again);
    each(&USER, "both_directions_of_all_interfaces_are_seen_once", user::directions);
    each(&USER, "what_finds_no_room_is_counted_as_uninspected", user::overrun);
    each(&USER, "a_swap_under_load_judges_every_packet", swap::user);
    each(&HOOKS, "a_renamed_interface_is_found_by_its_new_name", rename::hook);
    each(&USER, "a_renamed_interface_is_found_by_its_new_name", rename::user);
    each(&LINKED, "pins_take_any_name_of_an_interface", rename::pinned);
    each(&LINKED, "pins_of_an_interface_that_was_made_again_are_not_called_attached", rename::made_again);
    each(&LINKED, "nothing_is_attached_when_detach_returns", pin::returns);
    let mut one = |name: &str, run: fn(&Lab) -> Result| trials.push(Trial::test(name, move || run(&Lab::new()?)));
    one("user_space_engines_alert_as_the_kernel_does", user::same);
    one("user_space_engines_refuse_what_they_cannot_do", user::refused);
    one("an_alert_comes_again_after_the_interval", alert::again);
    one("two_interfaces_share_one_flow_table", alert::shared);
    one("sighup_opens_the_file_of_alerts_anew", alert::rotation);
    one("a_socket_cannot_enforce", drop::socket);
    one("a_broken_model_is_refused_and_the_old_one_goes_on", swap::broken);
    one("walk_swaps_too", swap::walk);
    one("sigterm_detaches_clsact_too", end::clsact);
    one("the_end_of_its_terminal_ends_it_and_another_hangup_does_not", end::terminal);
    one("a_run_under_nohup_outlives_its_terminal", end::nohup);
    one("a_killed_instances_clsact_filters_are_reported_replaced_and_removed", end::orphans);
    one("xdp_is_generic_with_a_notice_where_native_is_refused", end::generic);
    one("a_run_without_a_model_takes_the_built_in_one", end::built_in);
    one("xdp_is_native_at_mtu_9000_and_counts_packets_whole", end::jumbo);
    one("a_run_ends_by_itself_after_its_duration", end::duration);
    one("missing_capabilities_are_named", end::capabilities);
    one("the_named_capabilities_are_enough", end::enough);
    one("detach_ends_a_pinned_instance", pin::detach);
    one("pins_need_a_file_system_for_them", pin::elsewhere);
    one("metrics_are_prometheus_text", report::metrics);
    one("slow_clients_make_no_other_one_wait", client::slow);
    one("flows_are_listed_with_the_most_packets_first", report::flows);
    one("the_summary_is_readable_in_80_and_in_160_columns", report::screen);
    one("an_interface_that_goes_leaves_the_others_and_the_last_one_ends_the_run", bad_day::interface);
    one("a_full_flow_table_evicts_and_judges_every_packet", bad_day::table);
    one("a_million_flows_in_a_minute_are_all_judged", bad_day::million);
    one("a_stopped_reader_costs_alerts_and_no_packets", bad_day::reader);
    one("an_interface_that_cannot_be_read_is_rejected_by_its_type", tunnel::rejected);
    one("an_output_that_nobody_reads_does_not_keep_it_from_ending", bad_day::output);
    one("a_full_disk_glues_no_alerts_together", disk::file);
    one("a_full_disk_behind_standard_output_and_error_neither", disk::stdout);
    one("a_file_that_may_not_grow_neither", disk::limit);
    one("table1_gives_every_row", table1::quick);
    one("table1_removes_its_namespaces_when_interrupted", table1::interrupted);
    trials
}

//! What the model says about each committed capture, kept for reading in `snapshots/verdicts`: one line a packet, or a table where there
//! are too many packets to read.
//!
//! `cargo insta test --accept` (or `INSTA_UPDATE=always cargo test -p treeline-sim --test snapshot`) writes them again; under `CI` nothing is written.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use treeline_ebpf::{Config, Counter, Outcome};
use treeline_lab::capture::Capture;
use treeline_sim::conversation::Conversation;
use treeline_sim::engine::Hook;
use treeline_sim::replay::{Replay, Summary};

/// Captures up to this many frames are shown packet by packet.
const FRAMES_SHOWN_MAX: usize = 300;
/// Malicious flows listed of a longer capture.
const SUSPECTS_SHOWN_MAX: usize = 20;

#[test]
fn every_capture_is_judged_as_its_snapshot_says() {
    let unlike = |path: &Path| {
        let name = support::name(path);
        let text = render(path);
        catch_unwind(AssertUnwindSafe(|| check(&name, &text))).is_err().then_some(name)
    };
    let findings: Vec<_> = support::captures().iter().filter_map(|path| unlike(path)).collect();
    support::report(&findings);
}

#[test]
fn no_snapshot_is_without_its_capture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/verdicts");
    let entries = fs::read_dir(folder).expect("snapshots/verdicts").map(|entry| entry.expect("an entry").file_name());
    let names = entries.filter_map(|name| Some(name.to_str()?.strip_suffix(".snap")?.to_owned()));
    let snapshots: BTreeSet<String> = names.collect();
    let captures: BTreeSet<String> = support::captures().iter().map(|path| support::name(path)).collect();
    let findings: Vec<_> = snapshots.symmetric_difference(&captures).cloned().collect();
    support::report(&findings);
}

/// The one place that knows where snapshots lie and what they are called.
fn check(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../snapshots/verdicts",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

fn render(path: &Path) -> String {
    let model = support::model();
    let classes = model.classes();
    let settings = support::settings(Hook::Xdp, Config::default(), &model);
    let mut engines = support::rootless(&settings);
    engines.truncate(1);
    let mut capture = Capture::open(path).expect("a capture");
    let mut first_ns = None;
    let mut rows = vec![["frame", "time", "originator", "responder", "protocol", "packet", "verdict"].map(str::to_owned)];
    let each = |seen: treeline_sim::replay::Seen<'_>| {
        if rows.len() > FRAMES_SHOWN_MAX {
            return;
        }
        let time = seconds(i128::from(seen.frame.time_ns) - i128::from(*first_ns.get_or_insert(seen.frame.time_ns)));
        let verdict = match seen.outcome {
            Outcome::Judged(class) => classes[usize::from(class)].clone(),
            Outcome::Skipped(skip) => format!("passed: {}", skip.name()),
        };
        let flow = seen.observation.and_then(|observation| observation.flow);
        let [originator, responder, protocol, packet] = flow.map_or(["", "", "", ""].map(str::to_owned), |flow| {
            let conversation = Conversation::of(&flow);
            let [originator, responder] = [conversation.originator, conversation.responder].map(endpoint);
            [originator, responder, self::protocol(conversation.protocol), flow.packets.to_string()]
        });
        rows.push([seen.frame.index.to_string(), time, originator, responder, protocol, packet, verdict]);
    };
    let replay = Replay::new(engines, None, support::FLOWS_MAX);
    let summary = replay.run(&mut capture, u64::MAX, each, |_| ()).expect("native takes every frame");
    let mut text = if summary.frames > FRAMES_SHOWN_MAX as u64 { table(&summary, classes) } else { columns(&rows) };
    if let Some(damage) = &summary.damage {
        writeln!(text, "damaged: {damage}").expect("a string takes all");
    }
    text
}

/// Counts and the first malicious flows.
fn table(summary: &Summary, classes: &[String]) -> String {
    let mut rows = vec![["frames".to_owned(), summary.frames.to_string()]];
    let counted = Counter::ALL.iter().filter(|&&counter| summary.counters[counter as usize] > 0);
    rows.extend(counted.map(|&counter| [counter.name().to_owned(), summary.counters[counter as usize].to_string()]));
    rows.push(["malicious flows".to_owned(), summary.flows_malicious.to_string()]);
    let mut text = columns(&rows);
    if summary.suspects.is_empty() {
        return text;
    }
    let titles = ["frame", "originator", "responder", "protocol", "packets", "malicious", "first", "class"].map(str::to_owned);
    let suspects = summary.suspects.iter().take(SUSPECTS_SHOWN_MAX).map(|suspect| {
        let conversation = suspect.conversation;
        [
            suspect.first_malicious_frame.to_string(),
            endpoint(conversation.originator),
            endpoint(conversation.responder),
            protocol(conversation.protocol),
            suspect.packets.to_string(),
            suspect.packets_malicious.to_string(),
            suspect.first_malicious.to_string(),
            classes[usize::from(suspect.class)].clone(),
        ]
    });
    text.push('\n');
    text.push_str(&columns(&std::iter::once(titles).chain(suspects).collect::<Vec<_>>()));
    let more = summary.suspects.len().saturating_sub(SUSPECTS_SHOWN_MAX);
    if more > 0 {
        writeln!(text, "and {more} more").expect("a string takes all");
    }
    text
}

/// Seconds with nine decimals.
fn seconds(ns: i128) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}", ns.abs() / 1_000_000_000, ns.abs() % 1_000_000_000)
}

fn endpoint((address, port): (IpAddr, u16)) -> String {
    match (address, port) {
        (_, 0) => address.to_string(),
        (IpAddr::V4(address), _) => format!("{address}:{port}"),
        (IpAddr::V6(address), _) => format!("[{address}]:{port}"),
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        _ => number.to_string(),
    }
}

/// Aligned columns, numbers to the left like text, the last one ragged.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("a string takes all");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

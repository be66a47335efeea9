//! The object in the real kernel: agreement on every capture at every hook, CPUs that meet in one flow, full tables, dropping, loading
//! by other tools.
//!
//! Where programs may not be loaded every trial is reported as ignored, by name, with the reason in one line; where the environment has
//! `CI` that is a failure. What a trial does not show: real interfaces, which are the live system's.

#[path = "kernel/alert.rs"]
mod alert;
#[path = "kernel/change.rs"]
mod change;
mod support;

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::{fs, io, thread};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use support::recipe::Recipe;
use treeline_ebpf::tree::NODES_MAX;
use treeline_ebpf::verdict::COUNTERS;
use treeline_ebpf::{Config, Counter, Counters, Flow, Link, Outcome, Skip};
use treeline_lab::Frame;
use treeline_lab::capture::Capture;
use treeline_lab::kernel::Programs;
use treeline_lab::kernel::record::Ring;
use treeline_model::Model;
use treeline_model::link::link;
use treeline_model::strategy::model_within;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, EngineError, Hook, Observation, Settings, kernel};
use treeline_sim::object;

type Result = std::result::Result<(), Failed>;

/// The hooks that can be run from any CPU, and drop.
const DROPPING: [Hook; 2] = [Hook::Xdp, Hook::Tc];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = support::kernel(&support::settings(Hook::Xdp, Config::default(), &support::constant(0))).err();
    let trials: Vec<_> = trials().into_iter().map(|trial| if missing.is_some() { trial.with_ignored_flag(true) } else { trial }).collect();
    if let Some(reason) = &missing {
        println!("{} trials are ignored, the kernel engine is not available: {reason}", trials.len());
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Vec<Trial> {
    let mut captures = support::captures();
    let mut trials = vec![];
    match support::other_captures() {
        Some(others) => captures.extend(others),
        None => trials.push(Trial::ignorable_test("other_captures_agree_with_native", || {
            Ok(Completion::ignored_with("TREELINE_CAPTURES is not set"))
        })),
    }
    for path in captures {
        for hook in Hook::ALL {
            let (path, name) = (path.clone(), format!("{}_agrees_with_native_on::{}", hook.name(), support::name(&path)));
            trials.push(Trial::test(name, move || agreement(&path, hook)));
        }
    }
    for hook in DROPPING {
        let mut add = |name: &str, run: fn(Hook) -> Result| trials.push(Trial::test(format!("{}::{name}", hook.name()), move || run(hook)));
        add("cpus_that_meet_in_one_flow_lose_nothing", one_flow_many_cpus);
        add("one_cpu_alone_never_finds_a_flow_locked", one_flow_one_cpu);
        add("cpus_that_open_the_same_flows_open_each_once", same_keys_many_cpus);
        add("cpus_that_overfill_the_table_account_for_every_packet", pressure_many_cpus);
        add("cpus_that_meet_in_one_flow_alert_once", alert::one_flow_many_cpus);
        add("cpus_that_open_the_same_flows_alert_once_for_each", alert::many_flows_many_cpus);
        add("an_alert_says_what_the_tree_saw", alert::content);
        add("a_flow_alerts_once_an_interval", alert::interval);
        add("an_alert_without_room_is_counted_and_its_packet_passes", alert::full);
        add("benign_packets_and_no_interval_give_no_alert", alert::none);
        add("allowed_packets_reach_no_flow", change::allowed_live);
    }
    for hook in Hook::ALL {
        let mut add = |name: &str, run: fn(Hook) -> Result| trials.push(Trial::test(format!("{}::{name}", hook.name()), move || run(hook)));
        add("enforce_drops_malicious_packets_and_no_others", dropping);
        add("a_full_table_judges_or_counts_every_packet", pressure);
        add("without_a_model_every_packet_passes_undecided", unloaded);
        add("the_verifier_accepts_compiled_trees_of_any_size", compiled);
        add("trees_are_swapped_at_every_packet_as_in_native", change::swapped);
        add("the_longest_prefix_of_an_allow_list_decides", change::allowed);
    }
    let bpftool = Command::new("bpftool").arg("version").output().is_ok();
    assert!(bpftool || std::env::var_os("CI").is_none(), "under CI bpftool must be there");
    trials.push(Trial::test("bpftool_loads_the_committed_object", || bpftool_loads(object::OBJECT)).with_ignored_flag(!bpftool));
    let linked = || bpftool_loads(&link(object::OBJECT, &support::model())?.object);
    trials.push(Trial::test("bpftool_loads_an_object_with_a_tree", linked).with_ignored_flag(!bpftool));
    trials
}

fn agreement(path: &Path, hook: Hook) -> Result {
    let settings = support::settings(hook, support::enforced(), &support::model());
    let engines: Vec<Box<dyn Engine>> = vec![Box::new(Native::new(&settings)), Box::new(kernel::Kernel::new(&settings)?)];
    let summary = support::replay(Capture::open(path)?, engines, None);
    if let Some(divergence) = summary.divergence {
        return Err(divergence.to_string().into());
    }
    let untaken: u64 = summary.engines.iter().flat_map(|engine| engine.untaken.values()).sum();
    let retired = summary.engines.iter().any(|engine| engine.retired.is_some());
    if !retired {
        equal("frames compared or untaken", summary.agreed + untaken + summary.unsupported.count(), summary.frames)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a sentence at its callers")]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}").into()) }
}

/// The object, loaded as a live system loads it: the kernel's clock, counters per CPU.
struct Live {
    programs: Programs,
    name: &'static str,
}

impl Live {
    fn new(hook: Hook, model: &Model, flows_max: u32) -> std::result::Result<Self, Failed> {
        Self::of(&Settings { flows_max, ..support::settings(hook, Config::default(), model) })
    }

    fn of(settings: &Settings) -> std::result::Result<Self, Failed> {
        let (mut programs, name) = (kernel::load(settings)?, settings.program());
        programs.load(name)?;
        Ok(Self { programs, name })
    }

    /// Runs the program `repeat` times over the same bytes: what it returned at last.
    fn run(&self, bytes: &[u8], repeat: u32) -> std::result::Result<u32, Failed> {
        Ok(self.programs.run(self.name, bytes, repeat)?.0)
    }

    /// The counters of all CPUs together.
    fn counters(&self) -> std::result::Result<Counters, Failed> {
        let mut sum = [0; COUNTERS];
        for bytes in self.programs.entries(object::COUNTERS)?.values(&[0; 4])?.ok_or("no counters")? {
            let counters: Counters = bytemuck::pod_read_unaligned(&bytes);
            sum.iter_mut().zip(counters).for_each(|(sum, count)| *sum += count);
        }
        Ok(sum)
    }

    /// The live numbers of all CPUs together.
    fn numbers(&self) -> std::result::Result<treeline_ebpf::Live, Failed> {
        let mut sum = treeline_ebpf::Live::ZERO;
        for bytes in self.programs.entries(object::LIVE)?.values(&[0; 4])?.ok_or("no live numbers")? {
            sum.add(&bytemuck::pod_read_unaligned(&bytes));
        }
        Ok(sum)
    }

    fn flows(&self) -> std::result::Result<Vec<Flow>, Failed> {
        let entries = self.programs.entries(object::FLOWS)?.all()?;
        Ok(entries.iter().map(|(_, bytes)| bytemuck::pod_read_unaligned(bytes)).collect())
    }

    /// The ring buffer of alerts.
    fn ring(&self) -> std::result::Result<Ring, Failed> {
        let map = self.programs.maps().map(object::ALERTS).ok_or("no ring buffer")?;
        Ok(Ring::new(map.fd.as_fd(), map.definition.max_entries as usize)?)
    }
}

/// Runs `work` on every CPU at once, with the CPU's number.
fn on_every_cpu(work: impl Fn(usize) -> Result + Sync) -> std::result::Result<usize, Failed> {
    let cpus = cpus()?;
    let barrier = Barrier::new(cpus.len());
    let results: Vec<Result> = thread::scope(|scope| {
        let run = |cpu: usize| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                let pinned = pin(cpu);
                barrier.wait();
                pinned?;
                work(cpu)
            })
        };
        let threads: Vec<_> = cpus.iter().map(|&cpu| run(cpu)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    results.into_iter().collect::<Result>()?;
    Ok(cpus.len())
}

/// The CPUs this process may run on, at most four.
fn cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).take(4).collect())
}

/// The calling thread on one CPU.
fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Calls a thread, and packets a call.
const CALLS: u32 = 40;
const REPEAT: u32 = 2000;

fn one_flow_many_cpus(hook: Hook) -> Result {
    let live = Live::new(hook, &support::constant(1), 1024)?;
    // Even CPUs speak for the originator, odd ones for the responder; the first packet tells who that is.
    let packet = Recipe { payload: 1000, ..Recipe::default() };
    let answer = Recipe { payload: 100, ..packet.clone() }.back();
    let (packet, answer) = (packet.bytes(), answer.bytes());
    live.run(&packet, 1)?;
    let cpus = on_every_cpu(|cpu| {
        let bytes = if cpu % 2 == 0 { &packet } else { &answer };
        (0..CALLS).try_for_each(|_| live.run(bytes, REPEAT).map(drop))
    })?;

    let counters = live.counters()?;
    let count = |counter: Counter| counters[counter as usize];
    let sent = 1 + cpus as u64 * u64::from(CALLS * REPEAT);
    let [flow] = live.flows()?[..] else { return Err("not one flow".into()) };
    let contended = count(Counter::Contended);
    println!("{}: {cpus} CPUs, {sent} packets into one flow, {contended} contended", hook.name());
    equal("packets in the flow and contended", flow.packets + contended, sent)?;
    equal("judged, contended", (count(Counter::Malicious), count(Counter::Benign)), (flow.packets, 0))?;
    let (forward, back) = (flow.packets_forward, flow.packets - flow.packets_forward);
    equal("sum of lengths", flow.length_sum, forward * 1028 + back * 128)?;
    equal("opened, left locked", (count(Counter::Opened), flow.lock), (1, 0))?;
    if contended == 0 {
        let even = cpus_even()?;
        equal("forward", forward, 1 + even * u64::from(CALLS * REPEAT))?;
    }
    equal("evicted, full", (count(Counter::Evicted), count(Counter::TableFull)), (0, 0))
}

fn cpus_even() -> io::Result<u64> {
    Ok(cpus()?.into_iter().filter(|cpu| cpu % 2 == 0).count() as u64)
}

fn one_flow_one_cpu(hook: Hook) -> Result {
    let live = Live::new(hook, &support::constant(0), 1024)?;
    let bytes = Recipe::default().bytes();
    (0..5).try_for_each(|_| live.run(&bytes, REPEAT).map(drop))?;
    let counters = live.counters()?;
    let [flow] = live.flows()?[..] else { return Err("not one flow".into()) };
    let sent = u64::from(5 * REPEAT);
    equal("packets, forward", (flow.packets, flow.packets_forward), (sent, sent))?;
    equal("sum of lengths", flow.length_sum, sent * 28)?;
    equal("contended", counters[Counter::Contended as usize], 0)?;
    equal("benign", counters[Counter::Benign as usize], sent)
}

fn same_keys_many_cpus(hook: Hook) -> Result {
    let live = Live::new(hook, &support::constant(0), 65_536)?;
    let packet = |port: u16| Recipe { source: (1, port), destination: (2, 53), ..Recipe::default() }.bytes();
    let ports = 1000..5000_u16;
    let distinct = ports.len() as u64;
    let cpus = on_every_cpu(|_| ports.clone().try_for_each(|port| live.run(&packet(port), 1).map(drop)))?;

    let counters = live.counters()?;
    let count = |counter: Counter| counters[counter as usize];
    let flows = live.flows()?;
    let packets: u64 = flows.iter().map(|flow| flow.packets).sum();
    equal("packets in flows and contended", packets + count(Counter::Contended), cpus as u64 * distinct)?;
    equal("flows", flows.len() as u64, distinct)?;
    equal("opened", count(Counter::Opened), distinct)?;
    equal("table full", count(Counter::TableFull), 0)?;
    equal("flows left locked", flows.iter().filter(|flow| flow.lock != 0).count(), 0)
}

fn outcomes(counters: &Counters) -> u64 {
    counters[..=Counter::Undecided as usize].iter().sum()
}

fn pressure_many_cpus(hook: Hook) -> Result {
    let live = Live::new(hook, &support::constant(0), 64)?;
    let packet = |port: u16| Recipe { source: (1, port), destination: (2, 53), ..Recipe::default() }.bytes();
    let cpus = on_every_cpu(|cpu| {
        (0..10_000).try_for_each(|port| live.run(&packet(if cpu % 2 == 0 { port } else { 9_999 - port }), 1).map(drop))
    })?;
    let counters = live.counters()?;
    let flows = live.flows()?;
    equal("outcomes", outcomes(&counters), cpus as u64 * 10_000)?;
    println!("{}: {} table full, {} evicted", hook.name(), counters[Counter::TableFull as usize], counters[Counter::Evicted as usize]);
    equal("flows left locked", flows.iter().filter(|flow| flow.lock != 0).count(), 0)
}

fn pressure(hook: Hook) -> Result {
    let settings = Settings { flows_max: 64, ..support::settings(hook, Config::default(), &support::constant(0)) };
    let mut engine = kernel::Kernel::new(&settings)?;
    let packet = |port: u16| (u64::from(port), Recipe { source: (1, port), destination: (2, 53), ..Recipe::default() }.bytes());
    let mut counters: Counters = [0; COUNTERS];
    for frame in support::frames((0..10_000).map(packet)) {
        let observation = engine.judge(&frame)?;
        if !matches!(observation.outcome, Outcome::Judged(0) | Outcome::Skipped(Skip::TableFull)) {
            return Err(format!("frame {}: {:?}", frame.index, observation.outcome).into());
        }
        equal("returned", observation.returned, hook.returned(false))?;
        counters.iter_mut().zip(observation.counted).for_each(|(sum, step)| *sum += step);
    }
    equal("outcomes", outcomes(&counters), 10_000)?;
    equal("judged and opened", counters[Counter::Benign as usize], counters[Counter::Opened as usize])
}

/// All frames of the committed hand-made captures that the engine takes, and what it makes of them.
fn edges(engine: &mut kernel::Kernel) -> std::result::Result<Vec<(Frame, Observation)>, Failed> {
    let mut seen = vec![];
    for path in support::captures().into_iter().filter(|path: &PathBuf| support::name(path).starts_with("edge-")) {
        for frame in Capture::open(&path)? {
            let frame = frame?;
            match engine.judge(&frame) {
                Ok(observation) => seen.push((frame, observation)),
                Err(EngineError::Untaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(seen)
}

fn dropping(hook: Hook) -> Result {
    for (class, enforce) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let config = Config { enforce, ..Config::default() };
        let mut engine = kernel::Kernel::new(&support::settings(hook, config, &support::constant(class)))?;
        let (mut judged, mut skipped) = (0, 0);
        for (frame, observation) in edges(&mut engine)? {
            let is_judged = matches!(observation.outcome, Outcome::Judged(_));
            let counter = if is_judged { &mut judged } else { &mut skipped };
            *counter += 1;
            let dropped = is_judged && class == 1 && enforce == 1;
            let context = format!("frame {:?}, class {class}, enforce {enforce}: returned", frame.bytes);
            equal(&context, observation.returned, hook.returned(dropped))?;
        }
        equal("packets of both kinds", (judged > 100, skipped > 100), (true, true))?;
    }
    Ok(())
}

fn unloaded(hook: Hook) -> Result {
    let settings = Settings { decider: support::unloaded(), ..support::settings(hook, support::enforced(), &support::constant(0)) };
    let mut engine = kernel::Kernel::new(&settings)?;
    let mut native = Native::new(&settings);
    let mut undecided = 0;
    for (frame, observation) in edges(&mut engine)? {
        equal("difference to native", treeline_sim::oracle::compare(&native.judge(&frame)?, &observation), vec![])?;
        equal("returned", observation.returned, hook.returned(false))?;
        equal("undecided", observation.outcome == Outcome::Skipped(Skip::Undecided), observation.flow.is_some())?;
        undecided += u64::from(observation.flow.is_some());
    }
    equal("any undecided", undecided > 100, true)
}

/// Random trees of up to a thousand leaves and twenty levels, and the largest that a model may be.
fn compiled(hook: Hook) -> Result {
    let mut runner = TestRunner::deterministic();
    for leaves_max in [[1_000; 8].as_slice(), &[NODES_MAX / 2; 2]].concat() {
        let model = model_within(leaves_max, 20).new_tree(&mut runner).expect("no filter").current();
        let settings = support::settings(hook, Config::default(), &model);
        let mut native = Native::new(&settings);
        for (frame, observation) in edges(&mut kernel::Kernel::new(&settings.compiled(&model)?)?)? {
            equal("difference to native", treeline_sim::oracle::compare(&native.judge(&frame)?, &observation), vec![])?;
        }
    }
    Ok(())
}

/// A file system for pinned objects, unmounted when dropped.
struct Bpffs(tempfile::TempDir);

impl Bpffs {
    fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        mount("bpf", folder.path(), "bpf", MountFlags::empty(), None)?;
        Ok(Self(folder))
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

fn bpftool_loads(object: &[u8]) -> Result {
    let bpffs = Bpffs::new()?;
    let folder = bpffs.0.path().join("treeline");
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(object)?;
    let output = Command::new("bpftool").args(["prog", "loadall"]).arg(file.path()).arg(&folder).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let mut pinned: Vec<_> = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>()?;
    pinned.sort();
    for name in Hook::ALL.iter().flat_map(|hook| Link::ALL.map(|link| hook.program(link))) {
        equal(name, pinned.iter().any(|pinned| pinned == name), true)?;
    }
    Ok(())
}

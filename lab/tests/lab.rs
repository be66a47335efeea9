//! The lab over the captures: vm and kernel agree on programs that use all that it compares, and a lie in any part of it is found.
//!
//! Trials in the kernel are reported as ignored, by name, where programs may not be loaded; where the environment has `CI` that is a failure.

#[path = "lab/origin.rs"]
mod origin;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rbpf::assembler::assemble;
use treeline_lab::Frame;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::capture::Capture;
use treeline_lab::lab::{Engine, Entry, LabError, Machine, Outcome, Replay, Summary, kernel};
use treeline_lab::vm::{Hook, MapKind, Object, Shape};

const OBJECT: &[u8] = include_bytes!("objects/lab.bpf.o");
/// Callbacks, tail calls, maps in maps.
const DEEP: &[u8] = include_bytes!("objects/deep.bpf.o");
const FLOWS: &[u8] = include_bytes!("objects/flows.bpf.o");
const PROGRAMS: [(&str, Hook); 3] = [("xdp_lab", Hook::Xdp), ("tc_lab", Hook::Tc), ("socket_lab", Hook::Socket)];

/// Maps of older loaders; the first without types and lines.
const LEGACY: &[u8] = include_bytes!("objects/legacy.bpf.o");
const IPROUTE2: &[u8] = include_bytes!("objects/iproute2.bpf.o");
/// aya's maps, with types and without.
const AYA: &[u8] = include_bytes!("objects/aya.bpf.o");
const AYA_PLAIN: &[u8] = include_bytes!("objects/aya-plain.bpf.o");

type Change = fn(&mut Outcome);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = kernel::Machine::new(&object(OBJECT, &[]), "xdp_lab").err();
    if let Some(error) = &missing {
        println!("trials in the kernel are ignored: {error}");
        if std::env::var_os("CI").is_some() {
            return ExitCode::FAILURE;
        }
    }
    let is_missing = missing.is_some();
    let mut trials = vec![
        Trial::test("a_lie_in_any_part_of_an_outcome_is_found", lies),
        Trial::test("a_lie_in_a_map_is_found", lie_in_map),
        Trial::test("an_expectation_that_fails_is_counted", expectation),
        Trial::test("the_instruction_that_made_a_difference_to_another_object_is_named", origin::beside_another_object),
        Trial::test("iproute2_puts_inner_maps_and_called_programs_in_their_places", iproute2),
        Trial::test("vm_and_kernel_agree_on_objects_for_older_loaders", older_loaders).with_ignored_flag(is_missing),
        Trial::test("a_run_that_is_followed_does_what_it_does_otherwise", origin::a_walk_changes_nothing),
        Trial::test("the_instruction_at_which_the_vm_stops_is_named", origin::a_fault_is_where_the_vm_stops),
        Trial::test("a_fault_of_the_kernels_that_may_have_made_a_difference_is_named", origin::a_fault_of_the_kernels_is_named),
        Trial::test("the_instruction_that_made_a_difference_to_the_kernel_is_named", origin::in_the_kernel).with_ignored_flag(is_missing),
        Trial::test("a_program_in_the_kernel_that_differs_is_found", other_program).with_ignored_flag(is_missing),
        Trial::test("outcomes_of_programs_that_print_redirect_and_send_are_equal", outcomes_are_equal).with_ignored_flag(is_missing),
    ];
    for path in support::captures() {
        let name = format!("vm_and_kernel_agree_on::{}", support::name(&path));
        trials.push(Trial::test(name, move || agreement(&path)).with_ignored_flag(is_missing));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn object(elf: &[u8], globals: &[(&str, u32)]) -> Object {
    let globals: BTreeMap<_, _> = globals.iter().map(|(name, value)| ((*name).to_owned(), value.to_le_bytes().to_vec())).collect();
    Object::parse(elf, &ReadOptions { globals, ..ReadOptions::default() }).expect("a sound object")
}

fn replay(path: &Path, hook: Hook, object: &Object, engines: Vec<Box<dyn Engine>>, expected: Option<u32>) -> Result<Summary, Failed> {
    let mut capture = Capture::open(path)?;
    Ok(Replay::new(hook, &Machine::maps(object), engines, expected).run(&mut capture, u64::MAX, |_, _| (), |_| ())?)
}

fn vm(object: &Object, program: &str) -> Result<Box<dyn Engine>, LabError> {
    Ok(Box::new(Machine::new(object, program)?))
}

fn agreement(path: &Path) -> Result<(), Failed> {
    let (lab, flows) = (object(OBJECT, &[]), object(FLOWS, &[]));
    let deep = object(DEEP, &[]);
    let others = [(&flows, "xdp_flows", Hook::Xdp), (&deep, "xdp_deep", Hook::Xdp)];
    for (object, program, hook) in PROGRAMS.map(|(program, hook)| (&lab, program, hook)).into_iter().chain(others) {
        let engines: Vec<Box<dyn Engine>> = vec![vm(object, program)?, Box::new(kernel::Machine::new(object, program)?)];
        let summary = replay(path, hook, object, engines, None)?;
        if !summary.is_clean() {
            return Err(format!("{program}: {:#?} {:?}", summary.divergence, summary.stop).into());
        }
        let untaken: u64 = summary.untaken.values().sum();
        if summary.packets + untaken + summary.unsupported.count() != summary.frames {
            return Err(format!("{program}: {} of {} frames run, {untaken} not taken", summary.packets, summary.frames).into());
        }
    }
    Ok(())
}

fn older_loaders() -> Result<(), Failed> {
    let programs = [
        (LEGACY, "xdp_legacy", Hook::Xdp, ("VERDICT", 1)),
        (IPROUTE2, "tc_iproute2", Hook::Tc, ("", 0)),
        (AYA, "aya_xdp", Hook::Xdp, ("MALICIOUS", 7)),
        (AYA_PLAIN, "aya_xdp", Hook::Xdp, ("MALICIOUS", 7)),
    ];
    for (elf, program, hook, set) in programs {
        let object = object(elf, if set.0.is_empty() { &[] } else { std::slice::from_ref(&set) });
        for name in ["lab-portscan", "edge-not-ip", "edge-vlan", "edge-ipv6-extensions", "edge-tiny-frames"] {
            let path = capture().with_file_name(format!("{name}.pcap"));
            let engines = vec![vm(&object, program)?, Box::new(kernel::Machine::new(&object, program)?)];
            let summary = replay(&path, hook, &object, engines, None)?;
            assert!(summary.is_clean(), "{program} {name}: {:#?} {:?}", summary.divergence, summary.stop);
        }
    }
    Ok(())
}

/// The program in the array's first place calls that in the second, which returns the protocol; what is not IPv4 goes to no program.
fn iproute2() -> Result<(), Failed> {
    let object = object(IPROUTE2, &[]);
    let summary = replay(capture(), Hook::Tc, &object, vec![vm(&object, "tc_iproute2")?], None)?;
    let protocols: Vec<u32> = summary.returned.into_keys().collect();
    assert_eq!(protocols, [1, 2, 6, 17]);
    let mut machine = Machine::new(&object, "tc_iproute2")?;
    machine.run(&Frame { bytes: vec![0; 64], ..Frame::default() })?;
    let inner = Machine::maps(&object).iter().position(|map| map.name == "INNER").ok_or("no inner map")?;
    assert_eq!(machine.value(inner, &[0; 4])?, Some(1_u64.to_le_bytes().to_vec()));
    Ok(())
}

/// The vm, which tells lies from the fourth packet on.
struct Liar {
    vm: Machine,
    frames: u64,
    change: Change,
    lies_in_map: bool,
}

impl Liar {
    fn boxed(object: &Object, program: &str, change: Change, lies_in_map: bool) -> Result<Box<dyn Engine>, LabError> {
        Ok(Box::new(Self { vm: Machine::new(object, program)?, frames: 0, change, lies_in_map }))
    }
}

impl Engine for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError> {
        let mut outcome = self.vm.run(frame)?;
        self.frames += 1;
        if self.frames > 3 {
            (self.change)(&mut outcome);
        }
        Ok(outcome)
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        let value = self.vm.value(map, key)?;
        Ok(value.filter(|_| !self.lies_in_map || self.frames <= 3))
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        self.vm.entries(map)
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        self.vm.fill(map, key, value)
    }
}

fn capture() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/captures/lab-portscan.pcap"))
}

fn lies() -> Result<(), Failed> {
    let xdp: [(&str, Change); 5] = [
        ("returned", |outcome| outcome.returned += 1),
        ("packet", |outcome| outcome.packet[0] ^= 1),
        ("packet", |outcome| outcome.packet.push(0)),
        ("metadata", |outcome| outcome.meta = Some(vec![7; 12])),
        ("RING", |outcome| outcome.records.retain(|record| record.map != "RING")),
    ];
    let tc: [(&str, Change); 1] = [("mark", |outcome| *outcome.context.get_mut("mark").expect("shown") ^= 1)];
    let changes = xdp.map(|change| ("xdp_lab", Hook::Xdp, change)).into_iter().chain(tc.map(|change| ("tc_lab", Hook::Tc, change)));
    for (program, hook, (part, change)) in changes {
        let object = object(OBJECT, &[]);
        let engines = vec![vm(&object, program)?, Liar::boxed(&object, program, change, false)?];
        let divergence = replay(capture(), hook, &object, engines, None)?.divergence.ok_or("the lie was not found")?;
        assert_eq!(divergence.frame.index, 3, "{part}");
        assert!(divergence.differences.iter().any(|one| one.what.contains(part)), "{part}: {:?}", divergence.differences);
    }
    Ok(())
}

fn lie_in_map() -> Result<(), Failed> {
    let object = object(OBJECT, &[]);
    let engines = vec![vm(&object, "xdp_lab")?, Liar::boxed(&object, "xdp_lab", |_| (), true)?];
    let divergence = replay(capture(), Hook::Xdp, &object, engines, None)?.divergence.ok_or("the lie was not found")?;
    assert_eq!(divergence.frame.index, 3);
    assert!(divergence.entries.iter().any(|entry| entry.map == "LENGTHS" && entry.second.is_none()), "{:?}", divergence.entries);
    Ok(())
}

fn expectation() -> Result<(), Failed> {
    let object = object(OBJECT, &[]);
    let summary = replay(capture(), Hook::Xdp, &object, vec![vm(&object, "xdp_lab")?], Some(2))?;
    assert_eq!(summary.unexpected, summary.packets - summary.returned[&2]);
    assert!(summary.unexpected > 0 && !summary.is_clean());
    Ok(())
}

fn other_program() -> Result<(), Failed> {
    let (ours, theirs) = (object(OBJECT, &[]), object(OBJECT, &[("VERDICT", 1)]));
    let engines: Vec<Box<dyn Engine>> = vec![vm(&ours, "xdp_lab")?, Box::new(kernel::Machine::new(&theirs, "xdp_lab")?)];
    let divergence = replay(capture(), Hook::Xdp, &ours, engines, None)?.divergence.ok_or("the difference was not found")?;
    let found: Vec<_> = divergence.differences.iter().map(|one| (one.what.as_str(), one.first.as_str(), one.second.as_str())).collect();
    assert_eq!(found, [("returned", "XDP_PASS", "XDP_DROP")]);
    Ok(())
}

/// Three programs without maps' help, each with what only the vm shows, and records with perf's padding.
const ASIDE: [(&str, Hook, &str); 3] = [
    // "seen\0" by bpf_trace_printk.
    ("prints", Hook::Xdp, "lddw r1, 0x6e656573\nstxdw [r10-8], r1\nmov r1, r10\nadd r1, -8\nmov r2, 5\ncall 6\nmov r0, 2\nexit"),
    ("redirects", Hook::Xdp, "mov r1, 1\nmov r2, 0\ncall 23\nexit"),
    (
        "redirects_and_prints",
        Hook::Tc,
        "lddw r1, 0x6e656573\nstxdw [r10-8], r1\nmov r1, r10\nadd r1, -8\nmov r2, 5\ncall 6\nmov r1, 1\nmov r2, 0\ncall 23\nexit",
    ),
];

/// The recipe of docs/lab.md.
fn outcomes_are_equal() -> Result<(), Failed> {
    let perf = Shape { name: "events".to_owned(), kind: MapKind::PerfEventArray, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };
    let mut programs = Vec::new();
    for (name, hook, source) in ASIDE {
        programs.push((name, Object::from_bytecode(name, hook, &assemble(source)?, &[])?));
    }
    // Three bytes to map 0, which perf rounds up.
    let mut sends = assemble("mov r3, 0\nmov r4, r10\nadd r4, -8\nstdw [r10-8], 7")?;
    sends.extend([0x18, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    sends.extend(assemble("mov r5, 3\ncall 25\nmov r0, 2\nexit")?);
    programs.push(("sends", Object::from_bytecode("sends", Hook::Xdp, &sends, &[perf])?));
    let frame = Frame { bytes: vec![7; 60], ..Frame::default() };
    for (name, object) in &programs {
        let (mut vm, mut kernel) = (Machine::new(object, name)?, kernel::Machine::new(object, name)?);
        let seen = vm.run(&frame)?;
        assert_eq!(seen, kernel.run(&frame)?, "{name}");
        assert_eq!(seen.shown.printed.is_empty(), !name.contains("prints"), "{name}");
        assert_eq!(seen.shown.redirect.is_none(), !name.contains("redirects"), "{name}");
        assert_eq!(seen.records.is_empty(), *name != "sends");
        // And the negative control: what is compared and differs is not equal.
        for change in [(|outcome| outcome.returned ^= 1) as Change, |outcome| outcome.packet[0] ^= 1] {
            let mut other = seen.clone();
            change(&mut other);
            assert_ne!(seen, other, "{name}");
        }
    }
    Ok(())
}

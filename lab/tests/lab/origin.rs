//! Where a divergence comes from: programs that do otherwise in the kernel, or beside another object, and the instruction that is named.

use libtest_mimic::Failed;
use treeline_lab::capture::Capture;
use treeline_lab::lab::origin::Role;
use treeline_lab::lab::{Engine, Entry, LabError, Machine, Origin, Origins, Outcome, Replay, kernel};
use treeline_lab::vm::{Hook, Object};

use super::{capture, object};

const OBJECT: &[u8] = include_bytes!("../objects/diverge.bpf.o");

/// The program, what differs, the instruction that made it as the source has it, and the source of the last branch before.
const CASES: [(&str, Hook, &str, &str, &str); 8] = [
    ("xdp_returned", Hook::Xdp, "returned", "mov32 r0, 0x2", "if (is_high("),
    ("xdp_packet", Hook::Xdp, "packet[5..6]", "data[5] = high;", "if (data + 14 >"),
    ("xdp_length", Hook::Xdp, "packet length", "call bpf_xdp_adjust_tail", "adjust_tail("),
    ("xdp_array", Hook::Xdp, "map ARRAY, key 2c 01 00 00", "*value = high;", "if (value)"),
    ("xdp_hash", Hook::Xdp, "map HASH, key 07 00 00 00", "map_update(&HASH, &key, &high, 0);", "return *packets > 3 && high != 0;"),
    ("xdp_record", Hook::Xdp, "RING: record 0", "ring_output(&RING, &high, sizeof(high), 0);", "return *packets > 3 && high != 0;"),
    ("tc_mark", Hook::Tc, "mark", "context->mark =", "return *packets > 3 && high != 0;"),
    ("xdp_long", Hook::Xdp, "stopped", "*turns += turn;", "if (context->data_end - context->data > 60)"),
];

/// Replays until the first difference and looks for its origins.
fn origins(object: &Object, program: &str, hook: Hook, other: Option<Box<dyn Engine>>) -> Result<Vec<Origin>, Failed> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Machine::new(object, program)?)];
    engines.extend(other);
    let replay = Replay::new(hook, &Machine::maps(object), engines, None);
    let summary = replay.run(&mut Capture::open(capture())?, u64::MAX, |_, _| (), |_| ())?;
    let frames = Capture::open(capture())?.map_while(Result::ok);
    let origins = Origins { object, program, fills: &[], runs: &|_| true };
    match (&summary.divergence, &summary.stop) {
        (Some(divergence), _) => {
            assert_eq!(divergence.frame.index, 3, "{program}");
            Ok(origins.of(frames, divergence)?)
        }
        (None, Some(stop)) => Ok(origins.of_stop(frames, stop)?),
        (None, None) => Err(format!("{program}: no difference").into()),
    }
}

fn check(origins: &[Origin], case: (&str, Hook, &str, &str, &str)) {
    let (program, _, what, made, branch) = case;
    let [origin] = origins else { panic!("{program}: {origins:#?}") };
    let place = origin.place.as_ref().unwrap_or_else(|| panic!("{program}: no instruction"));
    let source = place.source().unwrap_or_default();
    assert_eq!((origin.what.as_str(), place.program.as_str()), (what, program));
    assert!(place.text == made || source.contains(made), "{program}: {place} {source}");
    assert!(source.starts_with("./diverge.bpf.c:"), "{program}: {source}");
    let decision = origin.branch.as_ref().and_then(|branch| branch.place.source()).unwrap_or_default();
    assert!(decision.contains(branch), "{program}: {decision}");
}

/// The same in the vm and in the kernel.
pub fn in_the_kernel() -> Result<(), Failed> {
    let object = object(OBJECT, &[]);
    for case in CASES {
        let kernel = Box::new(kernel::Machine::new(&object, case.0)?);
        check(&origins(&object, case.0, case.1, Some(kernel))?, case);
    }
    Ok(())
}

/// Following a run changes nothing of it.
pub fn a_walk_changes_nothing() -> Result<(), Failed> {
    for (elf, program) in [(super::OBJECT, "xdp_lab"), (super::OBJECT, "tc_lab"), (super::DEEP, "xdp_deep"), (super::FLOWS, "xdp_flows")] {
        let object = object(elf, &[]);
        let mut plain = Machine::new(&object, program)?;
        let mut walked = Machine::new(&object, program)?.walked()?;
        let mut frames = Capture::open(capture())?;
        let mut frame = treeline_lab::Frame::default();
        while frames.next_into(&mut frame)? {
            let expected = plain.run(&frame)?;
            let (returned, walk) = walked.walk(&frame, Vec::new());
            assert_eq!(u64::from(expected.returned), returned? & u64::from(u32::MAX), "{program} frame {}", frame.index);
            assert_eq!(walk.steps.first().map(|step| step.instruction), Some(0));
        }
        for (map, known) in Machine::maps(&object).iter().enumerate() {
            assert_eq!(plain.entries(map)?, walked.entries(map)?, "{program}: {}", known.name);
        }
    }
    Ok(())
}

/// Two objects of which one has another constant: the value that was returned is from the load of that.
pub fn beside_another_object() -> Result<(), Failed> {
    let (ours, theirs) = (object(super::OBJECT, &[]), object(super::OBJECT, &[("VERDICT", 1)]));
    let replay = Replay::new(
        Hook::Xdp,
        &Machine::maps(&ours),
        vec![Box::new(Machine::new(&ours, "xdp_lab")?), Box::new(Machine::new(&theirs, "xdp_lab")?)],
        None,
    );
    let divergence = replay.run(&mut Capture::open(capture())?, u64::MAX, |_, _| (), |_| ())?.divergence.ok_or("no difference")?;
    let origins = Origins { object: &ours, program: "xdp_lab", fills: &[], runs: &|_| true };
    let found = origins.of(Capture::open(capture())?.map_while(Result::ok), &divergence)?;
    let [origin] = found.as_slice() else { return Err(format!("{found:#?}").into()) };
    let source = origin.place.as_ref().and_then(treeline_lab::lab::Place::source).unwrap_or_default();
    assert!(source.contains("return data[12] == 8 ? VERDICT : key & 1;"), "{source}");
    assert!(origin.role == Role::Returned && origin.exit.as_ref().is_some_and(|exit| exit.text == "exit"), "{origin:#?}");
    Ok(())
}

/// The run that is followed starts from the maps that the packets before it left.
pub fn a_fault_is_where_the_vm_stops() -> Result<(), Failed> {
    let object = object(OBJECT, &[]);
    check(&origins(&object, "xdp_long", Hook::Xdp, None)?, CASES[7]);
    Ok(())
}

/// The vm under the kernel's name, with the upper half of r0 that Linux forgets to clear.
struct Forgetful(Machine);

impl Engine for Forgetful {
    fn name(&self) -> &'static str {
        kernel::NAME
    }

    fn run(&mut self, frame: &treeline_lab::Frame) -> Result<Outcome, LabError> {
        let outcome = self.0.run(frame)?;
        Ok(Outcome { returned: outcome.returned | u32::from(frame.index == 3) << 31, ..outcome })
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        self.0.value(map, key)
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        self.0.entries(map)
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        self.0.fill(map, key, value)
    }
}

/// A note names the compare-and-exchange whose upper half was returned, where the kernel is the other one, and only there.
pub fn a_fault_of_the_kernels_is_named() -> Result<(), Failed> {
    let object = object(include_bytes!("../objects/exchange.bpf.o"), &[]);
    for (program, is_noted) in [("exchange_upper", true), ("exchange_lower", false)] {
        let other = Box::new(Forgetful(Machine::new(&object, program)?));
        let found = origins(&object, program, Hook::Xdp, Some(other))?;
        let [origin] = found.as_slice() else { return Err(format!("{found:#?}").into()) };
        let is_named = |note: &String| note.contains("atomic32 cmpxchg [r10-8], r3") && note.contains("docs/rbpf-findings.md");
        assert_eq!(origin.note.as_ref().is_some_and(is_named), is_noted, "{program}: {origin:#?}");
    }
    Ok(())
}

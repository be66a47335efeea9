//! Programs made to be refused, each with the rule that explains it. Ignored, by name, where nothing can be loaded.

use libtest_mimic::{Arguments, Failed, Trial};
use rbpf::assembler::assemble;
use treeline_sim::bpf::Object;
use treeline_sim::kernel::Features;
use treeline_sim::verifier::{Report, verify};
use treeline_sim::vm::{Hook, MapKind, Options, Shape};

/// Name, source, words of the rule.
const REFUSED: [(&str, &str, &str); 11] = [
    ("no_result", "exit", "sets its result"),
    ("uninitialised_register", "mov64 r0, r3\nexit", "read only after it was written"),
    ("context_beyond", "ldxdw r0, [r1+4096]\nexit", "Only fields of the context"),
    ("packet_unchecked", "ldxw r2, [r1+0]\nldxb r0, [r2+12]\nexit", "comparison with its end"),
    ("stack_unwritten", "call 5\nmov64 r1, r10\nadd64 r1, -8\nmov64 r2, 8\nmov64 r3, 0\nmov64 r4, 0\ncall 28\nexit", "written"),
    ("stack_beyond", "mov64 r0, 0\nstxdw [r10-520], r0\nexit", "512 bytes"),
    ("endless", "mov64 r0, 0\nja -2", "loop"),
    ("unreachable", "mov64 r0, 0\nexit\nmov64 r0, 1\nexit", "can be reached"),
    ("no_end", "mov64 r0, 0", "last instruction ends it"),
    ("unknown_helper", "call 9999\nexit", "helpers that the kernel has"),
    ("context_moved", "add64 r1, 8\nldxw r0, [r1+0]\nadd64 r1, r0\nldxw r0, [r1+0]\nexit", ""),
];

fn main() {
    let allowed = Features::probe().functions;
    assert!(allowed || std::env::var_os("CI").is_none(), "under CI the kernel must be there (CAP_BPF, CAP_NET_ADMIN)");
    let mut trials: Vec<Trial> =
        REFUSED.iter().map(|(name, source, rule)| Trial::test(format!("{name}_is_explained"), || explained(name, source, rule))).collect();
    trials.push(Trial::test("a_value_used_before_the_test_for_null_is_explained", null));
    trials.push(Trial::test("an_accepted_program_has_its_numbers", numbers));
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(!allowed)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn report(code: &[u8], maps: &[Shape]) -> Result<Report, Failed> {
    let object = Object::from_bytecode("test", Hook::Xdp, code, maps, &Options::default())?;
    Ok(verify(&object, object.program("test")?, false)?)
}

fn explained(name: &str, source: &str, rule: &str) -> Result<(), Failed> {
    let refusal = report(&assemble(source)?, &[])?.refusal.ok_or("accepted")?;
    let found = refusal.rule.clone().unwrap_or_default();
    assert!(!found.is_empty() || rule.is_empty(), "{name}: no rule for `{}`", refusal.message);
    assert!(found.contains(rule), "{name}: `{}` is explained by `{found}`", refusal.message);
    Ok(())
}

fn null() -> Result<(), Failed> {
    let mut code = assemble("mov64 r1, 0\nstxw [r10-4], r1\nmov64 r2, r10\nadd64 r2, -4")?;
    code.extend([0x18, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    code.extend(assemble("call 1\nldxdw r0, [r0+0]\nexit")?);
    // Of an array newer kernels know that a constant index within it is there.
    let shape = Shape { name: "table".to_owned(), kind: MapKind::Hash, key_size: 4, value_size: 8, max_entries: 2 };
    let refusal = report(&code, &[shape])?.refusal.ok_or("accepted")?;
    assert!(refusal.rule.is_some_and(|rule| rule.contains("null")));
    assert_eq!(refusal.instruction, Some(7));
    assert!(refusal.registers[0].1.contains("or null"), "{:?}", refusal.registers);
    Ok(())
}

fn numbers() -> Result<(), Failed> {
    let report = report(&assemble("mov64 r0, 2\nstxdw [r10-16], r0\nexit")?, &[])?;
    assert!(report.accepted);
    assert_eq!((report.statistics.instructions, report.stacks[0].1), (3, 16));
    Ok(())
}

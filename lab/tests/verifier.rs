//! Programs made to be refused, each with the rule that explains it. Ignored, by name, where nothing can be loaded.
//!
//! `testdata/verifier/*.bpf.c` has them, each named for its rule, the line marked that the verifier stops at; `messages.txt` beside them has the
//! messages that no program here brings about, or that other kernels word differently.

#[path = "verifier/mutation.rs"]
mod mutation;
#[path = "verifier/refused.rs"]
mod refused;

use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Failed, Trial};
use rbpf::assembler::assemble;
use treeline_lab::bpf::Object;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::kernel::Features;
use treeline_lab::lab::kernel::Machine;
use treeline_lab::verifier::{Job, Refusal, Report, Rule, find, rules, verify};
use treeline_lab::vm::{Hook, MapKind, Shape};

const MESSAGES: &str = include_str!("../../testdata/verifier/messages.txt");

fn main() {
    let allowed = Features::probe().functions;
    assert!(allowed || std::env::var_os("CI").is_none(), "under CI the kernel must be there (CAP_BPF, CAP_NET_ADMIN)");
    let mut trials = refused::trials();
    trials.push(Trial::test("an_accepted_program_has_its_numbers", numbers));
    trials.push(Trial::test("a_program_without_source_lines_is_explained", plain));
    trials.push(Trial::test("a_fault_of_the_whole_program_has_no_instruction", whole));
    trials.push(Trial::test("what_core_relocation_did_not_find_is_named", unrelocated));
    trials.push(Trial::test("a_number_that_is_no_map_of_the_object_is_never_loaded", no_map));
    trials.push(Trial::test("a_program_that_is_not_loaded_is_told_with_its_place", unloaded));
    trials.push(Trial::test("mutated_programs_that_are_rejected_are_explained", mutation::explained));
    let mut trials: Vec<Trial> = trials.into_iter().map(|trial| trial.with_ignored_flag(!allowed)).collect();
    trials.push(Trial::test("each_message_meets_its_rule_before_all_others", messages));
    trials.push(Trial::test("each_pattern_has_a_message", patterns));
    trials.push(Trial::test("each_program_is_named_for_a_rule", refused::count));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn report(code: &[u8], maps: &[Shape]) -> Result<Report, Failed> {
    let object = Object::from_bytecode("test", Hook::Xdp, code, maps)?;
    Ok(verify(&object, object.program("test")?, false)?)
}

fn numbers() -> Result<(), Failed> {
    let report = report(&assemble("mov64 r0, 2\nstxdw [r10-16], r0\nexit")?, &[])?;
    assert!(report.accepted);
    assert_eq!((report.statistics.instructions, report.stacks[0].1), (3, 16));
    Ok(())
}

fn plain() -> Result<(), Failed> {
    let code = assemble("ldxw r2, [r1+0]\nldxw r3, [r1+12]\njgt r3, 5, +1\nldxb r0, [r2+12]\nexit")?;
    let refusal = report(&code, &[])?.refusal.ok_or("accepted")?;
    assert_eq!(refusal.name.as_deref(), Some("packet-bounds"));
    assert_eq!((refusal.instruction, refusal.source), (Some(3), None));
    assert_eq!(refusal.registers[0].1, "an address in the packet, not compared with its end");
    assert_eq!(refusal.branches.iter().map(|step| (step.instruction, step.taken)).collect::<Vec<_>>(), [(2, false)]);
    Ok(())
}

fn refusal(elf: &[u8], program: &str) -> Result<Refusal, Failed> {
    let object = Object::parse(elf, &ReadOptions::default())?;
    verify(&object, object.program(program)?, false)?.refusal.ok_or_else(|| format!("{program} is accepted").into())
}

fn whole() -> Result<(), Failed> {
    let refusal = refusal(include_bytes!("objects/recursion.bpf.o"), "recursion")?;
    assert_eq!(refusal.name.as_deref(), Some("calls-too-deep"));
    assert_eq!((refusal.instruction, refusal.source, refusal.registers), (None, None, Vec::new()), "{}", refusal.message);
    assert!(refusal.branches.is_empty());
    Ok(())
}

fn unrelocated() -> Result<(), Failed> {
    let elf = include_bytes!("objects/unrelocated.bpf.o");
    for (program, missing) in [
        ("field", "the kernel's `struct task_struct` has no matching field `no_such_field`"),
        ("nested", "the kernel's `struct task_struct` has no matching field `no_such_part.inner[2]`"),
        ("type", "the kernel has no `struct treeline_has_no_such`, of which the program wants the field `field`"),
        ("value", "the kernel's `enum bpf_map_type` has no matching value `TREELINE_HAS_NO_SUCH_VALUE`"),
    ] {
        let refusal = refusal(elf, program)?;
        assert_eq!(refusal.name.as_deref(), Some("core-relocation"), "{}", refusal.message);
        let cause = refusal.cause.ok_or("no cause")?.text;
        assert_eq!(cause, format!("an invalid CO-RE relocation: {missing}"));
    }
    assert!(refusal(elf, "reached_never").is_err(), "behind `bpf_core_field_exists` nothing is missed");
    let object = Object::parse(elf, &ReadOptions::default())?;
    let Err(error) = Machine::new(&object, "type") else { return Err("the kernel took it".into()) };
    assert!(error.to_string().contains("an invalid CO-RE relocation: instruction 0, the kernel has no `struct treeline"), "{error}");
    Ok(())
}

/// Position 7 of one map would be the descriptor 7 of this process.
fn no_map() -> Result<(), Failed> {
    let maps = [Shape { name: "one".to_owned(), kind: MapKind::Array, key_size: 4, value_size: 8, max_entries: 1, flags: 0 }];
    for number in [1_u8, 7, 0xff] {
        for source in [0x11, 0x21] {
            let code = [0x18, source, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
            let error = report(&code, &maps).err().ok_or("accepted")?;
            let expected = format!("program `test`, instruction 0: the object has no map number {number}");
            assert_eq!(error.message(), Some(expected.as_str()));
        }
    }
    Ok(())
}

fn unloaded() -> Result<(), Failed> {
    let elf = include_bytes!("objects/literal.bpf.o").to_vec();
    let rows = Job { elf, program: Some("called".to_owned()), ..Job::default() }.run()?;
    let [Err(row)] = rows.as_slice() else { return Err(format!("{rows:?}").into()) };
    let place = row.place.as_ref().ok_or("no place")?;
    let source = place.source.as_ref().map(|(file, line, ..)| (file.as_str(), *line));
    assert_eq!((row.program.as_str(), row.rule.as_deref()), ("called", Some("map-descriptor")));
    assert_eq!((place.function.as_deref(), source), (Some("inner"), Some(("./literal.bpf.c", 40))));
    Ok(())
}

/// Rule and message, of each line.
fn told() -> impl Iterator<Item = (&'static str, &'static str)> {
    MESSAGES.lines().filter_map(|line| line.split_once(": "))
}

fn messages() -> Result<(), Failed> {
    let met = |message: &str| find(message).map_or("none", |rule| rule.name);
    let wrong: Vec<String> =
        told().filter(|(name, text)| met(text) != *name).map(|(name, text)| format!("{text}\n  meets {}, not {name}", met(text))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// A pattern that no message needs is a guess.
fn patterns() -> Result<(), Failed> {
    let mut idle = BTreeSet::new();
    for rule in rules() {
        let mine: Vec<&str> = told().filter(|(name, _)| *name == rule.name).map(|(_, text)| text).collect();
        for pattern in rule.patterns {
            if !mine.iter().any(|text| Rule::fits(pattern, text)) {
                idle.insert(format!("{}: {pattern}", rule.name));
            }
        }
    }
    if idle.is_empty() { Ok(()) } else { Err(idle.into_iter().collect::<Vec<_>>().join("\n").into()) }
}

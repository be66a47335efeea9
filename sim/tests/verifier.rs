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
use treeline_sim::bpf::Object;
use treeline_sim::kernel::Features;
use treeline_sim::verifier::{Report, Rule, find, rules, verify};
use treeline_sim::vm::{Hook, Options, Shape};

const MESSAGES: &str = include_str!("../../testdata/verifier/messages.txt");

fn main() {
    let allowed = Features::probe().functions;
    assert!(allowed || std::env::var_os("CI").is_none(), "under CI the kernel must be there (CAP_BPF, CAP_NET_ADMIN)");
    let mut trials = refused::trials();
    trials.push(Trial::test("an_accepted_program_has_its_numbers", numbers));
    trials.push(Trial::test("a_program_without_source_lines_is_explained", plain));
    trials.push(Trial::test("mutated_programs_that_are_rejected_are_explained", mutation::explained));
    let mut trials: Vec<Trial> = trials.into_iter().map(|trial| trial.with_ignored_flag(!allowed)).collect();
    trials.push(Trial::test("each_message_meets_its_rule_before_all_others", messages));
    trials.push(Trial::test("each_pattern_has_a_message", patterns));
    trials.push(Trial::test("each_program_is_named_for_a_rule", refused::count));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn report(code: &[u8], maps: &[Shape]) -> Result<Report, Failed> {
    let object = Object::from_bytecode("test", Hook::Xdp, code, maps, &Options::default())?;
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

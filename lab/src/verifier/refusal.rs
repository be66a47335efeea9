//! A program that the kernel did not take: the message, where it stands, and what it means.

use super::loss::{self, Loss};
use super::path::{Source, Step, Walk};
use super::{Diagnosis, Rule, effect, rule, state};
use crate::bpf::Program;
use crate::kernel::Rejection;
use crate::vm::listing;
use serde::{Deserialize, Serialize};

/// Why the kernel did not take a program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// The kernel's error number.
    pub errno: i32,
    /// The verifier's message, as it stands in the log.
    pub message: String,
    /// The name of the rule that was broken; `None` for a message of no known rule.
    pub name: Option<String>,
    /// That rule, in a sentence.
    pub rule: Option<String>,
    /// What usually helps; the kernel's own suggestion where no rule is known.
    pub remedy: Option<String>,
    /// The instruction it stopped at.
    pub instruction: Option<usize>,
    /// That instruction as the log shows it, or in assembly.
    pub text: String,
    /// The function it is in, where that is not the program itself.
    pub function: Option<String>,
    /// The source line: file, line, column, text.
    pub source: Option<(String, u32, u32, String)>,
    /// What the registers that the instruction names held, in words.
    pub registers: Vec<(String, String)>,
    /// The branches that led there, in the order in which each was last gone, with how often.
    pub branches: Vec<Step>,
    /// Where what is not released was acquired: the instruction and its source.
    pub acquired: Option<(usize, Option<Source>)>,
    /// What made it so, where that is not the instruction itself.
    pub cause: Option<Cause>,
    /// What newer kernels explain themselves.
    pub diagnosis: Option<Diagnosis>,
    /// The log did not fit: the way there may be that of another path, and end early.
    pub is_cut: bool,
}

/// What lies behind a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What happened, as a clause.
    pub text: String,
    /// The instruction that did it.
    pub instruction: Option<usize>,
    /// Its source line.
    pub source: Option<Source>,
}

impl Refusal {
    /// `message` is what the verifier said where its log was short, in case the long one does not have it.
    pub(super) fn new(program: &Program, rejection: &Rejection, mut walk: Walk, message: &str) -> Self {
        let errno = rejection.error.raw_os_error().unwrap_or(0);
        let is_cut = errno == libc::ENOSPC;
        if is_cut && !message.is_empty() {
            message.clone_into(&mut walk.message);
        }
        let instruction = walk.instruction.or_else(|| place(program, &walk.message));
        let rule = if walk.message.is_empty() { rule::of_error(errno) } else { rule::find(&walk.message) };
        let stale = rule.filter(|rule| NUMBERS.contains(&rule.name)).and_then(|_| walk.loss(program));
        let rule = stale.as_ref().map_or(rule, |(_, loss)| Some(rule_of(loss.kind)));
        let suggestion = walk.diagnosis.as_ref().map(|diagnosis| diagnosis.suggestion.clone()).filter(|text| !text.is_empty());
        let function = instruction.and_then(|instruction| program.function(instruction)).filter(|function| function.start > 0);
        Self {
            errno,
            name: rule.map(|rule| rule.name.to_owned()),
            rule: rule.map(|rule| rule.rule.to_owned()),
            remedy: rule.map(|rule| rule.remedy.to_owned()).or(suggestion),
            registers: registers(&walk, stale.as_ref()),
            cause: match &stale {
                Some((register, loss)) => Some(lost_by(program, &walk, *register, loss)),
                None => instruction.and_then(|instruction| unrelocated(program, instruction)),
            },
            branches: walk.branches(program),
            text: instruction
                .map(|instruction| if walk.text.is_empty() { assembly(program, instruction) } else { walk.text.clone() })
                .unwrap_or_default(),
            function: function.map(|function| function.name.clone()),
            source: instruction
                .and_then(|instruction| program.line(instruction))
                .map(|line| (line.file.clone(), line.line, line.column, line.text.clone())),
            acquired: acquired(&walk.message).map(|instruction| (instruction, source(program, instruction))),
            instruction,
            message: walk.message,
            diagnosis: walk.diagnosis,
            is_cut,
        }
    }
}

/// Rules that a number breaks where an address is wanted: it may have been one.
const NUMBERS: [&str; 9] = [
    "scalar-dereference",
    "register-unwritten",
    "argument-kind",
    "function-arguments",
    "kernel-pointer-type",
    "release-unacquired",
    "object-ownership",
    "dynptr",
    "iterator",
];

fn rule_of(kind: loss::Kind) -> &'static Rule {
    match kind {
        loss::Kind::Packet => &rule::STALE_PACKET,
        loss::Kind::Released | loss::Kind::Overwritten => &rule::USE_AFTER_RELEASE,
        loss::Kind::Unlocked => &rule::USE_AFTER_UNLOCK,
    }
}

/// What the registers held; of the one whose address became invalid the log may still show the address.
fn registers(walk: &Walk, stale: Option<&(u8, Loss)>) -> Vec<(String, String)> {
    let mut registers = walk.registers();
    let Some((register, loss)) = stale.filter(|(_, loss)| !loss.was.is_empty()) else { return registers };
    let name = format!("r{register}");
    let told = format!("a number; up to instruction {} it was {}", walk.place(loss.position).instruction, state::words(&loss.was));
    match registers.iter_mut().find(|(known, _)| *known == name) {
        Some((_, held)) => *held = told,
        None => registers.push((name, told)),
    }
    registers
}

fn lost_by(program: &Program, walk: &Walk, register: u8, loss: &Loss) -> Cause {
    let place = walk.place(loss.position);
    let (instruction, text) = (place.instruction, place.text.as_str());
    let what = match (effect::called(text), effect::target(program, instruction).and_then(|start| program.function(start))) {
        (Some(name), _) => format!("`{name}`"),
        (None, Some(function)) => match effect::changes_packet(program, instruction) {
            Some((helper, at)) => format!("`{}`, which calls `bpf_{helper}` at instruction {at},", function.name),
            None => format!("`{}`", function.name),
        },
        (None, None) => format!("`{text}`"),
    };
    let done = match loss.kind {
        loss::Kind::Packet => format!("may move the packet, and made r{register} invalid"),
        loss::Kind::Released => format!("released what r{register} points to"),
        loss::Kind::Unlocked => format!("gave back the lock under which r{register} was valid"),
        loss::Kind::Overwritten => format!("overwrote the dynptr that r{register} is a slice of"),
    };
    Cause {
        text: format!("instruction {instruction}, {what} {done}"),
        instruction: Some(instruction),
        source: source(program, instruction),
    }
}

/// Of a call of no helper, which stands where CO-RE found nothing.
fn unrelocated(program: &Program, instruction: usize) -> Option<Cause> {
    let missing = program.unrelocated.get(&instruction)?;
    Some(Cause { text: format!("an invalid CO-RE relocation: {missing}"), instruction: None, source: None })
}

fn source(program: &Program, instruction: usize) -> Option<Source> {
    program.line(instruction).map(|line| (line.file.clone(), line.line, line.text.clone()))
}

/// `Unreleased reference id=2 alloc_insn=5`
fn acquired(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("alloc_insn=")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn assembly(program: &Program, instruction: usize) -> String {
    let end = (instruction + 2).min(program.instructions.len());
    let text = program.instructions.get(instruction..end).map(listing).unwrap_or_default();
    text.lines().next().and_then(|line| line.split_once(": ")).map(|(_, text)| text.to_owned()).unwrap_or_default()
}

/// The instruction of a message that came before the walk and names none.
fn place(program: &Program, message: &str) -> Option<usize> {
    const ENDS: [u8; 4] = [0x95, 0x05, 0x06, 0x0d];
    if let Some(code) = message.strip_prefix("unknown opcode ") {
        let code = u8::from_str_radix(code, 16).ok()?;
        return program.instructions.iter().position(|insn| insn.opc == code);
    }
    if message.starts_with("last insn is not an exit") {
        let next = |position: usize| program.functions.get(position + 1).map_or(program.instructions.len(), |next| next.start);
        let mut ends = (0..program.functions.len()).filter_map(|position| next(position).checked_sub(1));
        return ends.find(|end| program.instructions.get(*end).is_some_and(|insn| !ENDS.contains(&insn.opc)));
    }
    None
}

//! The verifier's way through a program, read from its full log.
//!
//! Instructions stand as `7: (79) r1 = *(u64 *)(r0 +0)`, often with the registers they changed behind `;`. Where the verifier takes up
//! a branch it left, it says `from 5 to 9: ` with all registers: then what came after 5 is no part of the path.

use crate::bpf::Program;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A branch on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The conditional jump.
    pub instruction: usize,
    /// As the log shows it.
    pub text: String,
    /// Whether it jumped.
    pub taken: bool,
    /// Its source line: file, line, text.
    pub source: Option<(String, u32, String)>,
}

/// Where the log ends.
#[derive(Debug, Default)]
pub(super) struct Walk {
    path: Vec<(usize, String)>,
    pub(super) longest: usize,
    pub(super) instruction: Option<usize>,
    pub(super) text: String,
    pub(super) message: String,
    states: BTreeMap<String, String>,
}

/// Reads a whole log.
pub(super) fn walk(log: &str) -> Walk {
    let mut walk = Walk::default();
    let mut message: Vec<&str> = Vec::new();
    for line in log.lines() {
        if line.starts_with("processed ") || line.starts_with("verification time ") || line.starts_with("stack depth ") {
            continue;
        }
        if let Some((from, _)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" to ")) {
            let from = from.parse().ok();
            let kept = walk.path.iter().rposition(|(instruction, _)| Some(*instruction) == from).map_or(0, |position| position + 1);
            walk.path.truncate(kept);
            walk.states.clear();
            walk.note(line);
            message.clear();
        } else if let Some((instruction, rest)) = numbered(line) {
            if let Some(text) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(_, text)| text) {
                let (text, state) = text.split_once(';').unwrap_or((text, ""));
                if text.trim().starts_with("call ") {
                    // A call leaves these without a value.
                    walk.states
                        .retain(|name, _| !matches!(name.as_str(), "r1" | "r2" | "r3" | "r4" | "r5") || state.contains(name.as_str()));
                }
                walk.path.push((instruction, text.trim().to_owned()));
                walk.longest = walk.longest.max(walk.path.len());
                walk.note(state);
            } else {
                walk.note(rest);
            }
            message.clear();
        } else if !line.starts_with(';') && !line.trim().is_empty() && !line.starts_with("mark_precise") {
            message.push(line.trim());
        }
    }
    if let Some((instruction, text)) = walk.path.last() {
        (walk.instruction, walk.text) = (Some(*instruction), text.clone());
    }
    walk.message = message.join("\n");
    walk
}

/// `7: rest`
fn numbered(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.split_once(": ")?;
    Some((number.parse().ok()?, rest))
}

impl Walk {
    /// Keeps the states of registers and stack slots: `R1=ctx() R10=fp0`, 5.10's `R1_w=inv3`.
    fn note(&mut self, state: &str) {
        for word in state.split_whitespace() {
            if let Some((name, value)) = word.split_once('=')
                && name.starts_with('R')
            {
                let name = name.split('_').next().unwrap_or(name).to_lowercase();
                self.states.insert(name, value.to_owned());
            }
        }
    }

    /// What the registers that the last instruction names held.
    pub(super) fn registers(&self) -> Vec<(String, String)> {
        // `r1 = *(u64 *)(r0 +0)` does not read r1.
        let read = self
            .text
            .split_once(" = ")
            .map_or(self.text.as_str(), |(target, value)| if target.starts_with('*') { &self.text } else { value });
        let mentioned = |name: &str| {
            let narrow = name.replacen('r', "w", 1);
            read.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == name || word == narrow)
                || self.message.split_whitespace().any(|word| word.split('(').next().is_some_and(|word| word.eq_ignore_ascii_case(name)))
        };
        self.states.iter().filter(|(name, _)| mentioned(name)).map(|(name, state)| (name.clone(), words(state))).collect()
    }

    /// The conditional jumps of the path.
    pub(super) fn branches(&self, program: &Program) -> Vec<Step> {
        let pairs = self.path.windows(2).filter(|pair| pair[0].1.starts_with("if ") || pair[0].1.contains(" goto "));
        let step = |pair: &[(usize, String)]| Step {
            instruction: pair[0].0,
            text: pair[0].1.clone(),
            taken: pair[1].0 != pair[0].0 + 1,
            source: program.line(pair[0].0).map(|line| (line.file.clone(), line.line, line.text.clone())),
        };
        pairs.filter(|pair| pair[0].1.starts_with("if ")).map(step).collect()
    }
}

/// A register's state in words, with the verifier's own behind them.
fn words(state: &str) -> String {
    const WORDS: [(&str, &str); 13] = [
        ("map_value_or_null", "what a map lookup gave: the address of a value, or null"),
        ("map_value", "the address of a map's value"),
        ("map_ptr", "a map"),
        ("ctx", "the context"),
        ("fp", "an address in the stack"),
        ("pkt_end", "the packet's end"),
        ("pkt_meta", "an address in the packet's metadata"),
        ("pkt", "an address in the packet"),
        ("scalar", "a number"),
        ("inv", "a number"),
        ("ringbuf_mem_or_null", "a reserved record, or null"),
        ("mem", "the address of memory of known size"),
        ("sock", "a socket"),
    ];
    let plain = state.trim_start_matches('P');
    let found = WORDS.iter().find(|(word, _)| plain.starts_with(word)).map(|(_, words)| *words);
    match found {
        Some(words) => format!("{words} ({state})"),
        None if plain.parse::<i64>().is_ok() || plain.starts_with("0x") => format!("the number {plain}"),
        None => state.to_owned(),
    }
}

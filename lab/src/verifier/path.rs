//! The verifier's way through a program, read from its full log.
//!
//! Instructions stand as `7: (79) r1 = *(u64 *)(r0 +0)`, often with the registers they changed behind `;`. Where the verifier takes up
//! a branch it left, it says `from 5 to 9: ` with all registers: then what came after 5 is no part of the path. What it says last, of no
//! known form, is its message; since 7.3 an explanation of its own may follow, see `diagnosis`.

use super::diagnosis::{self, Diagnosis};
use super::loss::{self, Loss};
use super::place::Place;
use super::state;
use crate::bpf::Program;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A source line: file, number, text.
pub type Source = (String, u32, String);

/// A branch on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The conditional jump.
    pub instruction: usize,
    /// As the log shows it.
    pub text: String,
    /// Whether it jumped.
    pub taken: bool,
    /// How often the path went this way.
    pub times: usize,
    /// Its source line: file, line, text.
    pub source: Option<Source>,
}

/// Where the log ends.
#[derive(Debug, Default)]
pub(super) struct Walk {
    path: Vec<Place>,
    /// What the log shows of registers before the first instruction.
    before: String,
    pub(super) longest: usize,
    pub(super) instruction: Option<usize>,
    pub(super) text: String,
    pub(super) message: String,
    pub(super) diagnosis: Option<Diagnosis>,
    states: BTreeMap<String, String>,
    /// The last instruction is a call, and nothing tells that it went well.
    in_call: bool,
}

/// Lines that tell of the verifier's work, by how they begin. None of them is a reason.
const WORK: [&str; 35] = [
    "processed ",
    "verification time ",
    "stack depth ",
    "func#",
    "mark_precise",
    "last_idx ",
    "regs=",
    "parent ",
    "propagating ",
    "frame0",
    "frame1",
    "frame2",
    "frame3",
    "frame4",
    "frame5",
    "frame6",
    "frame7",
    "caller:",
    "callee:",
    "returning from callee:",
    "to caller at ",
    "Validating ",
    "Func#",
    "cur state:",
    "old state:",
    "SCC ",
    "Live regs before insn:",
    "topo_order",
    "subprog#",
    "subprog ",
    "stack use/def",
    "force_precise",
    "live stack update",
    "falling back",
    "# WARNING",
];

/// Lines after which 7.x lists the program, as it stands and not as it is walked.
const LISTINGS: [&str; 3] = ["subprog#", "stack use/def", "Live regs before insn:"];

/// Reads a whole log.
pub(super) fn walk(log: &str) -> Walk {
    let (log, diagnosis) = diagnosis::split(log);
    let mut walk = Walk { diagnosis, ..Walk::default() };
    let mut message: Vec<&str> = Vec::new();
    let mut in_listing = false;
    for line in log.lines() {
        in_listing |= LISTINGS.iter().any(|start| line.starts_with(start));
        if let Some((from, rest)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" to ")) {
            walk.resume(from, rest);
            message.clear();
        } else if let Some((instruction, rest)) = numbered(line) {
            let code = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(_, text)| text);
            match code {
                Some(_) if in_listing => {}
                Some(text) => walk.step(instruction, text),
                None => {
                    in_listing = false;
                    walk.leave_call();
                    walk.note(rest);
                }
            }
            message.clear();
        } else if line.starts_with("Validating ") || line.starts_with("Func#") && line.contains("is safe for any args") {
            // Each global function is a walk of its own; where one is called, `Func#1 is global and assumed valid`.
            (walk.path, walk.before, walk.states) = (Vec::new(), String::new(), BTreeMap::new());
            message.clear();
        } else if line.starts_with("callee:") || line.starts_with("to caller at ") {
            walk.states.clear();
            walk.in_call = false;
        } else if line.starts_with(" R") || line.starts_with(" frame") {
            walk.note(line);
        } else if !line.starts_with(';') && !line.trim().is_empty() && !in_listing && !is_work(line) {
            // One message has no line's end.
            message.push(line.split("verification time ").next().unwrap_or(line).trim());
        }
    }
    walk.message = message.join("\n");
    walk.stop();
    walk
}

/// Also liveness, as 6.18 tells it: `(7,10) frame 0 insn 10 +live -8`.
fn is_work(line: &str) -> bool {
    let is_liveness = line.strip_prefix('(').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    is_liveness || line.contains(": propagating ") || WORK.iter().any(|start| line.starts_with(start))
}

/// `7: rest`
fn numbered(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.split_once(": ")?;
    Some((number.parse().ok()?, rest))
}

impl Walk {
    fn step(&mut self, instruction: usize, text: &str) {
        let (text, state) = text.split_once(';').unwrap_or((text, ""));
        let text = text.trim();
        self.leave_call();
        self.in_call = text.starts_with("call ");
        self.path.push(Place { instruction, text: text.to_owned(), after: Vec::new(), resumed: false });
        self.longest = self.longest.max(self.path.len());
        if !state.trim().is_empty() {
            self.leave_call();
        }
        self.note(state);
    }

    /// A call that went well leaves r1 to r5 without a value; of one that did not, they tell why.
    fn leave_call(&mut self) {
        if std::mem::take(&mut self.in_call) {
            self.states.retain(|name, _| !matches!(name.as_str(), "r1" | "r2" | "r3" | "r4" | "r5"));
        }
    }

    /// `from 5 to 9: R0=...`: the last visit of 5 whose other way was left for later.
    fn resume(&mut self, from: &str, rest: &str) {
        let from = from.parse().ok();
        let to = rest.split([':', ' ']).next().and_then(|to| to.parse::<usize>().ok());
        let next = |position: usize| self.path.get(position + 1).map(|place| place.instruction);
        let left = |position: &usize| {
            let place = &self.path[*position];
            Some(place.instruction) == from && !place.resumed && next(*position) != to
        };
        let position = (0..self.path.len()).rev().find(left);
        self.path.truncate(position.map_or(0, |position| position + 1));
        if let Some(place) = self.path.last_mut() {
            place.resumed = true;
            place.after.clear();
        }
        self.states.clear();
        self.note(rest.split_once(": ").map_or("", |(_, states)| states));
    }

    /// Keeps the states of registers.
    fn note(&mut self, state: &str) {
        match self.path.last_mut() {
            Some(place) if !state.trim().is_empty() => place.after.push(state.to_owned()),
            Some(_) => {}
            None => state.clone_into(&mut self.before),
        }
        self.states.extend(state::registers(state).map(|(name, state)| (name, state.to_owned())));
    }

    /// The instruction it stopped at: the one that the message names, the last one walked, or none where all paths were walked before.
    fn stop(&mut self) {
        // What is looked at once all paths are walked (`check_max_stack_depth` and the passes after it). Of the two messages on deep
        // calls it is the one with an exclamation mark.
        const AFTERWARDS: [&str; 11] = [
            "combined stack size",
            "stack size of subprog",
            "frames is too deep !",
            "recursive call from",
            "tail_calls are not allowed",
            "within callback",
            "within exception cb",
            "cannot be called from callback",
            "tail_call abusing map_ptr",
            "cannot be patched due to 16-bit range",
            "insn array",
        ];
        let named = self.message.split("insn ").skip(1).find_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok()
        });
        // The walk itself says the same of a packet load.
        let is_load = self.path.last().is_some_and(|place| place.text.contains("skb["));
        if !is_load && AFTERWARDS.iter().any(|words| self.message.contains(words)) {
            self.path.clear();
            self.states.clear();
            self.instruction = named;
        } else if let Some(named) = named {
            let text = self.path.iter().rev().find(|place| place.instruction == named).map(|place| place.text.clone());
            (self.instruction, self.text) = (Some(named), text.unwrap_or_default());
        } else if let Some(place) = self.path.last() {
            (self.instruction, self.text) = (Some(place.instruction), place.text.clone());
        }
    }

    /// What the registers that the last instruction names held.
    pub(super) fn registers(&self) -> Vec<(String, String)> {
        // `r1 = *(u64 *)(r0 +0)` does not read r1.
        let read = self
            .text
            .split_once(" = ")
            .map_or(self.text.as_str(), |(target, value)| if target.starts_with('*') { &self.text } else { value });
        let read = if read == "exit" { "r0" } else { read };
        let mentioned = |name: &str| {
            let narrow = name.replacen('r', "w", 1);
            read.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == name || word == narrow)
                || self.message.split_whitespace().any(|word| word.split('(').next().is_some_and(|word| word.eq_ignore_ascii_case(name)))
        };
        self.states.iter().filter(|(name, _)| mentioned(name)).map(|(name, state)| (name.clone(), state::words(state))).collect()
    }

    /// The register that the message is about whose address became invalid on the path, and how.
    pub(super) fn loss(&self, program: &Program) -> Option<(u8, Loss)> {
        loss::find(program, &self.before, &self.path, &self.message)
    }

    /// A place of the path.
    pub(super) fn place(&self, position: usize) -> &Place {
        &self.path[position]
    }

    /// The conditional jumps of the path.
    pub(super) fn branches(&self, program: &Program) -> Vec<Step> {
        // A loop's branches stand there once, where the path left them last.
        let mut last: BTreeMap<(usize, bool), (usize, usize)> = BTreeMap::new();
        for (position, pair) in self.path.windows(2).enumerate().filter(|(_, pair)| pair[0].text.starts_with("if ")) {
            let way = (pair[0].instruction, pair[1].instruction != pair[0].instruction + 1);
            let times = last.get(&way).map_or(0, |(_, times)| *times);
            last.insert(way, (position, times + 1));
        }
        let mut ways: Vec<_> = last.into_iter().collect();
        ways.sort_unstable_by_key(|(_, (position, _))| *position);
        let step = |((instruction, taken), (position, times)): ((usize, bool), (usize, usize))| Step {
            instruction,
            text: self.path[position].text.clone(),
            taken,
            times,
            source: program.line(instruction).map(|line| (line.file.clone(), line.line, line.text.clone())),
        };
        ways.into_iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(walk: &Walk) -> Vec<usize> {
        walk.path.iter().map(|place| place.instruction).collect()
    }

    #[test]
    fn a_branch_taken_up_again_is_the_last_visit_that_was_left() {
        let log = "0: R1=ctx() R10=fp0\n0: (b7) r6 = 0\n1: (2d) if r6 > r7 goto pc+2\n2: (07) r6 += 1\n3: (05) goto pc-3\n\
                   1: (2d) if r6 > r7 goto pc+2\n2: (07) r6 += 1\n3: (05) goto pc-3\n1: (2d) if r6 > r7 goto pc+2\n2: (95) exit\n\
                   from 1 to 4: R6=2\n4: (95) exit\nfrom 1 to 4: R6=1\n4: (95) exit\n";
        assert_eq!(ways(&walk(log)), [0, 1, 2, 3, 1, 4]);
    }

    #[test]
    fn the_message_is_what_is_neither_walk_nor_work() {
        let log = "func#0 @0\n0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n; return 1;\n0: (26) if w2 > 0x3 goto pc+5\n R0_w=inv1 R1=ctx(id=0,off=0,imm=0)\n\
                   1: (0f) r2 += r1\nlast_idx 6 first_idx 0\nregs=2 stack=0 before 5: (57) r1 &= 12\nparent didn't have regs=2 stack=0 marks\n\
                   2: R0_w=inv1 R2_w=pkt(id=1,off=0,r=0,umax_value=12,var_off=(0x0; 0xc)) R10=fp0\n2: (71) r0 = *(u8 *)(r2 +0)\n\
                   invalid access to packet, off=0 size=1, R2(id=1,off=0,r=0)\nR2 offset is outside of the packet\n\
                   verification time 4953 usec\nstack depth 0\nprocessed 8 insns (limit 1000000)\n";
        let walk = walk(log);
        assert_eq!(walk.message, "invalid access to packet, off=0 size=1, R2(id=1,off=0,r=0)\nR2 offset is outside of the packet");
        assert_eq!((walk.instruction, walk.text.as_str()), (Some(2), "r0 = *(u8 *)(r2 +0)"));
        let told = "an address in the packet, at an offset from 0 to 12, not compared with its end";
        assert_eq!(walk.registers(), [("r2".to_owned(), told.to_owned())]);
    }

    #[test]
    fn a_call_of_a_global_function_is_no_new_walk() {
        let call = "0: R1=ctx() R10=fp0\n0: (b7) r6 = 2\n1: (85) call pc+2\nFunc#1 ('one') is global and assumed valid.\n2: R0=scalar()\n2: (95) exit\n";
        assert_eq!(ways(&walk(call)), [0, 1, 2]);
        let done = "Func#1 ('one') is safe for any args that match its prototype\n";
        assert!(ways(&walk(&format!("{call}Validating one() func#1...\n4: R1=ctx() R10=fp0\n4: (95) exit\n{done}"))).is_empty());
    }

    #[test]
    fn a_listing_of_the_program_is_no_walk() {
        let line = |number: usize| format!("{number:3}: (b7) r0 = 1\n");
        let listing: String = (0..200).map(line).collect();
        let log = format!("func#0 @0\nsubprog#0: analyzing (depth 0)...\nsubprog#0 one:\n{listing}Live regs before insn:\n{listing}");
        assert_eq!(walk(&log).longest, 0);
        assert_eq!(walk(&format!("{log}0: R1=ctx() R10=fp0\n0: (b7) r0 = 1\n1: (95) exit\n")).longest, 2);
    }

    #[test]
    fn the_instruction_is_the_one_that_the_message_names() {
        let after = "0: R1=ctx() R10=fp0\n0: (05) goto pc-1\ninfinite loop detected at insn 0\ncur state: R1=ctx() R10=fp0\nold state: R1=ctx() R10=fp0\n";
        let walked = walk(after);
        assert_eq!((walked.instruction, walked.message.as_str()), (Some(0), "infinite loop detected at insn 0"));
        let glued = "0: R1=ctx() R10=fp0\n0: (85) call bpf_tail_call#12\nexpected prog array map for tail callverification time 925 usec\n";
        assert_eq!(walk(glued).message, "expected prog array map for tail call");
        let whole = "0: R1=ctx() R10=fp0\n0: (95) exit\ncombined stack size of 2 calls is 544. Too large\n";
        assert_eq!(walk(whole).instruction, None);
    }
}

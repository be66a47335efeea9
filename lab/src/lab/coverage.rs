//! What of a program the packets reached: source lines and both ways of each conditional jump, from the vm's trace.
//!
//! A line's count is that of its instruction that ran most often: compilers put one line's instructions in several places. Of an object without
//! line information there are jumps, by instruction, and no lines. Not here: counting, which is [`crate::vm::Trace`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::bpf::Program;
use crate::vm::Trace;

/// Counts, added up over captures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How often each line ran: by file and number.
    lines: BTreeMap<(String, u32), u64>,
    /// How often each function was entered: by file, line and name.
    functions: BTreeMap<(String, u32, String), u64>,
    /// How often each jump fell through and jumped: by file and line, program and instruction.
    branches: BTreeMap<(String, u32, String, usize), [u64; 2]>,
}

/// A conditional jump that never went one of its ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The source file; empty without line information.
    pub file: String,
    /// The line; 0 without line information.
    pub line: u32,
    /// The program.
    pub program: String,
    /// The jump's index in the program, in 8-byte slots.
    pub instruction: usize,
    /// How often it fell through, and jumped.
    pub counts: [u64; 2],
}

impl Coverage {
    /// Adds what a program did.
    pub fn add(&mut self, program: &Program, trace: &Trace) {
        let executed = |instruction: usize| trace.executed.get(instruction).copied().unwrap_or(0);
        let mut of_lines: BTreeMap<(String, u32), u64> = BTreeMap::new();
        // Line 0 is what the compiler made from no line.
        for (position, line) in program.lines.iter().enumerate().filter(|(_, line)| line.line > 0) {
            let end = program.lines.get(position + 1).map_or(program.instructions.len(), |next| next.instruction);
            let most = (line.instruction..end).map(executed).max().unwrap_or(0);
            let count = of_lines.entry((line.file.clone(), line.line)).or_default();
            *count = (*count).max(most);
        }
        for (line, count) in of_lines {
            *self.lines.entry(line).or_default() += count;
        }
        let known = |line: &&crate::bpf::Line| line.line > 0;
        let place = |instruction: usize| {
            program.line(instruction).filter(known).map_or_else(Default::default, |line| (line.file.clone(), line.line))
        };
        for function in &program.functions {
            // A function may begin with what has no line.
            let first = program.lines.iter().filter(|line| line.instruction >= function.start).find(known);
            let (file, line) = first.map_or_else(Default::default, |line| (line.file.clone(), line.line));
            *self.functions.entry((file, line, function.name.clone())).or_default() += executed(function.start);
        }
        for branch in &trace.branches {
            let (file, line) = place(branch.instruction);
            let [fallen, taken] = self.branches.entry((file, line, program.name.clone(), branch.instruction)).or_default();
            (*fallen, *taken) = (*fallen + branch.fallen, *taken + branch.taken);
        }
    }

    /// Lines that ran, and lines there are.
    #[must_use]
    pub fn lines(&self) -> (usize, usize) {
        (self.lines.values().filter(|count| **count > 0).count(), self.lines.len())
    }

    /// Ways of conditional jumps that were gone, and ways there are.
    #[must_use]
    pub fn branches(&self) -> (usize, usize) {
        (self.branches.values().flatten().filter(|count| **count > 0).count(), 2 * self.branches.len())
    }

    /// The jumps that never went one of their ways, or were never reached, by file and line.
    pub fn missed(&self) -> impl Iterator<Item = Missed> {
        let missed = self.branches.iter().filter(|(_, counts)| counts.contains(&0));
        missed.map(|((file, line, program, instruction), counts)| Missed {
            file: file.clone(),
            line: *line,
            program: program.clone(),
            instruction: *instruction,
            counts: *counts,
        })
    }

    /// The counts as lcov's tracefile (geninfo(1)), which genhtml and most services read. Jumps without a line are left out.
    #[must_use]
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        let mut files: Vec<&String> = self.lines.keys().map(|(file, _)| file).collect();
        files.dedup();
        for file in files {
            // Writing into a text does not fail.
            let _ = self.section(&mut text, file);
        }
        text
    }

    fn section(&self, text: &mut String, file: &str) -> std::fmt::Result {
        writeln!(text, "TN:\nSF:{file}")?;
        let functions = || self.functions.iter().filter(|((of, _, _), _)| of == file);
        for ((_, line, name), _) in functions() {
            writeln!(text, "FN:{line},{name}")?;
        }
        for ((_, _, name), count) in functions() {
            writeln!(text, "FNDA:{count},{name}")?;
        }
        writeln!(text, "FNF:{}\nFNH:{}", functions().count(), functions().filter(|(_, count)| **count > 0).count())?;
        let branches = || self.branches.iter().filter(|((of, _, _, _), _)| of == file);
        for (block, ((_, line, _, _), counts)) in branches().enumerate() {
            for (way, count) in counts.iter().enumerate() {
                // A dash: the jump itself was never reached.
                let count = if *counts == [0, 0] { "-".to_owned() } else { count.to_string() };
                writeln!(text, "BRDA:{line},{block},{way},{count}")?;
            }
        }
        let gone = branches().flat_map(|(_, counts)| counts).filter(|count| **count > 0).count();
        writeln!(text, "BRF:{}\nBRH:{gone}", 2 * branches().count())?;
        let lines = || self.lines.iter().filter(|((of, _), _)| of == file);
        for ((_, line), count) in lines() {
            writeln!(text, "DA:{line},{count}")?;
        }
        writeln!(text, "LF:{}\nLH:{}\nend_of_record", lines().count(), lines().filter(|(_, count)| **count > 0).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Line;
    use crate::vm::{Hook, Object, Options, Vm};

    /// `r0 = *(u32 *)(r1 + 12)` (line 1), `if r0 == 1 goto +1` (2), `r0 = 7` (3), `exit` (4).
    fn program() -> Object {
        let code = [
            [0x61, 0x10, 12, 0, 0, 0, 0, 0],
            [0x15, 0x00, 1, 0, 1, 0, 0, 0],
            [0xb7, 0x00, 0, 0, 7, 0, 0, 0],
            [0x95, 0x00, 0, 0, 0, 0, 0, 0],
        ];
        let mut object = Object::from_bytecode("one", Hook::Xdp, &code.concat(), &[]).expect("sound");
        let line = |instruction: usize| Line {
            instruction,
            file: "one.c".to_owned(),
            line: u32::try_from(instruction + 1).expect("four"),
            column: 1,
            text: String::new(),
        };
        object.programs_mut()[0].lines = (0..4).map(line).collect();
        object
    }

    #[test]
    fn lines_and_ways_that_were_gone_are_told_from_those_that_were_not() {
        let object = program();
        let mut vm = Vm::load_with(&object, &["one"], &Options { trace: true, ..Options::default() }).expect("loads");
        for _ in 0..3 {
            vm.run(&[0; 64], 0).expect("runs");
        }
        let mut coverage = Coverage::default();
        let trace = vm.trace(0).expect("traced");
        coverage.add(&object.programs()[0], &trace);
        assert_eq!((coverage.lines(), coverage.branches()), ((3, 4), (1, 2)));
        let missed: Vec<_> = coverage.missed().map(|missed| (missed.line, missed.instruction, missed.counts)).collect();
        assert_eq!(missed, [(2, 1, [0, 3])], "the interface's number is 1");
        coverage.add(&object.programs()[0], &trace);
        let expected = "TN:\nSF:one.c\nFN:1,one\nFNDA:6,one\nFNF:1\nFNH:1\nBRDA:2,0,0,0\nBRDA:2,0,1,6\nBRF:2\nBRH:1\n\
                        DA:1,6\nDA:2,6\nDA:3,0\nDA:4,6\nLF:4\nLH:3\nend_of_record\n";
        assert_eq!(coverage.lcov(), expected);
    }
}

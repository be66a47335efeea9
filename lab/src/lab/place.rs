//! An instruction of a program for readers: its number, its assembly with maps by name, the source line it is from.

use std::fmt;

use crate::bpf::{Line, Object, Program};
use crate::vm::{HELPERS, disassembled};

/// One instruction and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The program.
    pub program: String,
    /// The function it is in, if that is another than the program's own.
    pub function: Option<String>,
    /// Its index in the linked program, in 8-byte slots, as the verifier's log counts.
    pub instruction: usize,
    /// Its assembly.
    pub text: String,
    /// The source line, of an object with line information.
    pub line: Option<Line>,
}

impl Place {
    /// The instruction of a program of this object.
    #[must_use]
    pub fn of(object: &Object, program: &Program, instruction: usize) -> Self {
        let function = program.function(instruction).filter(|function| function.start > 0);
        let insn = program.instructions.get(instruction).filter(|insn| insn.opc == rbpf::ebpf::LD_DW_IMM);
        let map = insn.and_then(|insn| object.maps().get(usize::try_from(insn.imm).ok()?));
        let offset = program.instructions.get(instruction + 1).map_or(0, |insn| insn.imm);
        let text = match (insn, map) {
            (Some(insn), Some(map)) if insn.src == 1 => format!("lddw r{}, map {}", insn.dst, map.name),
            (Some(insn), Some(map)) if insn.src == 2 => format!("lddw r{}, map {} + {offset}", insn.dst, map.name),
            _ => call(program, instruction).unwrap_or_else(|| disassembled(&program.instructions, instruction)),
        };
        Self {
            program: program.name.clone(),
            function: function.map(|function| function.name.clone()),
            instruction,
            text,
            line: line(program, instruction).cloned(),
        }
    }

    /// The source as compilers show it, `file:line: text`; `None` without line information.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let line = self.line.as_ref()?;
        let text = line.text.trim();
        Some(if text.is_empty() { format!("{}:{}", line.file, line.line) } else { format!("{}:{}: {text}", line.file, line.line) })
    }
}

/// A call by the name of what is called.
fn call(program: &Program, instruction: usize) -> Option<String> {
    let insn = program.instructions.get(instruction).filter(|insn| insn.opc == rbpf::ebpf::CALL)?;
    if insn.src == 0 {
        return Some(format!("call bpf_{}", HELPERS.iter().find(|helper| helper.number == insn.imm)?.name));
    }
    let target = i64::try_from(instruction).ok()? + 1 + i64::from(insn.imm);
    Some(format!("call {}", program.function(usize::try_from(target).ok()?)?.name))
}

/// The line, or where the compiler gave the instruction none (line 0), the one before it in the function.
fn line(program: &Program, instruction: usize) -> Option<&Line> {
    let start = program.function(instruction).map_or(0, |function| function.start);
    let before = program.lines.iter().rev().skip_while(|line| line.instruction > instruction);
    before.take_while(|line| line.instruction >= start).find(|line| line.line > 0)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        if let Some(function) = &self.function {
            write!(f, ", function {function}")?;
        }
        write!(f, ", instruction {} `{}`", self.instruction, self.text)
    }
}

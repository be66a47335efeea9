//! Refusals: errors of loading that name the program and the instruction.

use super::VmError;
use super::emit::LENGTH_MAX;
use super::instruction::text;
use rbpf::ebpf::Insn;

/// Makes errors that name the program and the instruction.
pub(super) struct Refusal<'a> {
    pub(super) program: &'a str,
    pub(super) instructions: &'a [Insn],
}

impl Refusal<'_> {
    pub(super) fn at(&self, index: usize, reason: &str) -> VmError {
        let (program, text) = (self.program.to_owned(), text(self.instructions, index));
        VmError::Refused { program, instruction: index, text, reason: reason.to_owned() }
    }

    pub(super) fn no_register(&self, index: usize) -> VmError {
        VmError::NoRegister { program: self.program.to_owned(), instruction: index, text: text(self.instructions, index) }
    }

    pub(super) fn too_long(&self, length: usize) -> VmError {
        self.whole(format!("{length} instructions after lowering, rbpf jumps rightly in {LENGTH_MAX}"))
    }

    pub(super) fn whole(&self, reason: String) -> VmError {
        VmError::Program { program: self.program.to_owned(), reason }
    }
}

//! Why an object, or one of its programs, cannot be read.

use thiserror::Error;

/// Why an object or a program of it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ObjectError {
    /// The bytes are no BPF ELF object.
    #[error("cannot read the BPF object: {text}")]
    Unreadable {
        /// What is wrong with it.
        text: String,
    },
    /// The file is an object, and nothing in it is a program.
    #[error("no programs found: {reason}")]
    NoPrograms {
        /// What there is instead.
        reason: String,
    },
    /// The object has no program of that name.
    #[error("no program `{program}` in the object, which has: {known}")]
    NoProgram {
        /// The name asked for.
        program: String,
        /// The names there are, comma-separated.
        known: String,
    },
    /// A program that cannot be linked; others of the object may be fine.
    #[error("program `{program}` (section `{section}`): {reason}")]
    Program {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// What it uses that cannot be had.
        reason: String,
    },
    /// The same, of an instruction of the program.
    #[error("program `{program}` (section `{section}`), {place}: {reason}")]
    Instruction {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// The instruction.
        place: Box<InstructionPlace>,
        /// Why it cannot be linked.
        reason: String,
    },
    /// A name in [`ReadOptions`](super::ReadOptions) that the object does not have.
    #[error("the object has no {what} `{name}`")]
    Unknown {
        /// What was named: a map or a global.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A value in [`ReadOptions`](super::ReadOptions) that does not fit its variable.
    #[error("variable `{name}` has {expected} bytes, the value given {given}")]
    ValueSize {
        /// The variable.
        name: String,
        /// Its bytes in the object.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
}

/// An instruction that cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InstructionPlace {
    /// Its index in the linked program, in 8-byte slots, as the verifier's log counts.
    pub instruction: usize,
    /// Its assembly.
    pub text: String,
    /// The function it is in, where that is not the program itself.
    pub function: Option<String>,
    /// The source line: file, line, column, text.
    pub source: Option<(String, u32, u32, String)>,
}

impl std::fmt::Display for InstructionPlace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "instruction {} `{}`", self.instruction, self.text)?;
        if let Some((file, line, ..)) = &self.source {
            write!(out, " ({file}:{line})")?;
        }
        Ok(())
    }
}

impl ObjectError {
    /// The program that is refused.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        match self {
            Self::Program { program, .. } | Self::Instruction { program, .. } => Some(program),
            _ => None,
        }
    }

    pub(super) fn unreadable(error: &dyn std::error::Error) -> Self {
        Self::Unreadable { text: crate::cause::explain(error) }
    }
}

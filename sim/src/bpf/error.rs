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
    /// A name in [`Options`](super::Options) that the object does not have.
    #[error("the object has no {what} `{name}`")]
    Unknown {
        /// What was named: a map or a global.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A value in [`Options`](super::Options) that does not fit its variable.
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

impl ObjectError {
    /// The program that is refused.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        match self {
            Self::Program { program, .. } => Some(program),
            _ => None,
        }
    }

    pub(super) fn unreadable(error: &dyn std::error::Error) -> Self {
        Self::Unreadable { text: crate::cause::explain(error) }
    }
}

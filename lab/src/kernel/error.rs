//! Why the kernel did not do what it was asked, with what is missing.

use super::Rejection;
use crate::bpf::ObjectError;
use std::io;
use thiserror::Error;

/// What failed, and the kernel's error number.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The program cannot be had from the object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A right is missing.
    #[error("{what}: {source}; it needs root, or CAP_BPF with CAP_NET_ADMIN (and CAP_PERFMON for what looks into the kernel)")]
    Right {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map cannot be created or filled.
    #[error("map `{map}`: {what}: {source}{hint}")]
    Map {
        /// The map.
        map: String,
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
        /// What may help, with a separator before it.
        hint: &'static str,
    },
    /// A map's definition that no kernel would take.
    #[error("map `{map}`: {reason}")]
    Definition {
        /// The map.
        map: String,
        /// What is wrong.
        reason: String,
    },
    /// An instruction names a map that the object does not have. Never loaded: the number would be that of any map of this process.
    #[error("program `{program}`, instruction {instruction}: the object has no map number {map}")]
    NoMap {
        /// The program.
        program: String,
        /// The instruction, in 8-byte slots.
        instruction: usize,
        /// The position that it names.
        map: i32,
    },
    /// The system call itself failed, not the verifier.
    #[error("program `{program}`: {source}")]
    Load {
        /// The program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The verifier refuses the program.
    #[error("program `{program}`: {rejection}")]
    Rejected {
        /// The program.
        program: String,
        /// Its words.
        rejection: Box<Rejection>,
    },
    /// The program was not loaded before it was asked for.
    #[error("program `{program}` is not loaded")]
    NotLoaded {
        /// The program.
        program: String,
    },
    /// A run did not take place.
    #[error("a run of program `{program}`: {source}")]
    Run {
        /// The program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl KernelError {
    pub(super) fn map(map: &str, what: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM) => Self::Right { what: format!("map `{map}`: {what}"), source },
            Some(libc::ENOMEM) => Self::Map { map: map.to_owned(), what, source, hint: "; too large, or RLIMIT_MEMLOCK is too low" },
            _ => Self::Map { map: map.to_owned(), what, source, hint: "" },
        }
    }
}

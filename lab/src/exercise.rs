//! Any bytes -> a finding, or none: the library functions behind the fuzz targets, one a target.
//!
//! | exercise | the bytes are | what must hold |
//! |---|---|---|
//! | [`capture`] | a capture file | the reader neither panics nor depends on how the bytes arrive; frames come before damage |
//! | [`program`] | a BPF program with packets | the VM does what the kernel does; any bytecode is refused, runs or faults, and ends |
//! | [`map`] | a map and a program's operations upon it | the VM runs them, and keeps no more than the map takes |
//!
//! `fuzz/` calls them with new inputs, `sim/tests/regression.rs` with the committed ones. Not here: searching for inputs.

use std::fmt::Display;

pub mod capture;
pub mod map;
pub mod program;

/// Something that must not be.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// The capture reader broke a promise.
    #[error("frame {frame}: {promise}: {found}")]
    Capture {
        /// Frames read before.
        frame: u64,
        /// The promise.
        promise: &'static str,
        /// What happened instead.
        found: String,
    },
    /// The VM did not run operations upon a map.
    #[error("{what}\n{exercise}")]
    Map {
        /// What happened.
        what: String,
        /// The map and the operations.
        exercise: String,
    },
    /// The VM and the kernel differ over a program.
    #[error("{what}\n{listing}")]
    Program {
        /// The difference.
        what: String,
        /// The program, an instruction a line.
        listing: String,
    },
}

/// Panics with the finding's text: the way to end a fuzz target.
pub fn insist<T, E: Display>(result: Result<T, E>) {
    if let Err(finding) = result {
        panic!("{finding}");
    }
}

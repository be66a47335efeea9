//! Why a kernel could not be had, booted or asked.

use std::io;

/// An error of the guests' host side.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The text names no series of kernels.
    #[error("{text}: not a series of kernels; one is like 6.1, or 7.x for the newest of all 7")]
    Line {
        /// What was given.
        text: String,
    },
    /// The line's kernel cannot be had here and now.
    #[error("no kernel {line}: {reason}")]
    Missing {
        /// The line.
        line: String,
        /// Why, and what to do.
        reason: String,
    },
    /// There is no QEMU and none can be fetched.
    #[error("no QEMU: {reason}; install qemu-system-x86_64")]
    Emulator {
        /// Why.
        reason: String,
    },
    /// There is no guest binary and it cannot be built.
    #[error("no guest init: {reason}; build treeline-guest elsewhere (docs/kernels.md) and give it with --guest FILE or in TREELINE_GUEST")]
    Binary {
        /// Why, and what to do.
        reason: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The guest died, hung or said what it should not.
    #[error("the guest of kernel {kernel} {reason}{console}")]
    Broken {
        /// The kernel's line.
        kernel: String,
        /// What happened.
        reason: String,
        /// The end of what its console showed, each line indented on a line of its own.
        console: String,
    },
    /// The guest could not do a job.
    #[error("kernel {kernel}: {reason}")]
    Refused {
        /// The kernel's line.
        kernel: String,
        /// Its answer.
        reason: String,
    },
}

/// An [`GuestError::Io`] of `what`.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> GuestError {
    let what = what.into();
    |source| GuestError::Io { what, source }
}

//! Which engine classifies live traffic.

use clap::ValueEnum;

/// Who classifies packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A program in the kernel.
    Kernel,
    /// The same classifier here, one receive call per packet.
    UserRecv,
    /// The same over a memory-mapped receive ring.
    UserRing,
}

impl Engine {
    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::UserRecv => "user-recv",
            Self::UserRing => "user-ring",
        }
    }
}

//! Other kernels, without root: Debian's, each in QEMU, with one static binary of ours as its init.
//!
//! ```text
//! line -> archive -> kernel image ─┐
//!              guest binary ───────┴-> machine <-> message <-> treeline-guest
//! ```
//!
//! A machine boots once and does job after job. What it is given and what it answers lies in memory that both sides see; a byte on the serial
//! line says that it is there. Not here: the guest's side (the crate `treeline-guest`).

pub mod archive;

pub mod binary;

pub mod emulator;

pub mod error;

pub mod fleet;

mod initramfs;

pub mod instance;

pub mod line;

pub mod machine;

pub mod message;

pub mod program;

pub use archive::{Archive, Image};
pub use error::GuestError;
pub use fleet::Fleet;
pub use line::Line;
pub use machine::Machine;

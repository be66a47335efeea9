//! The kernel: an object's maps created and its programs loaded by `bpf(2)` itself, from Linux 5.10 on; then run, and their maps and records read.
//!
//! ```text
//! bpf::Object -> Loader -> Loaded (maps by name) -> load(program) -> LoadedProgram
//! LoadedProgram -> run -> map, record
//! ```
//!
//! What a kernel does not know (kinds of types, flags, names) is found out by asking it once and left out. Instructions that an
//! older kernel refuses can be rewritten, see [`rewrite`], where a caller allows it.
//!
//! Not here: attaching, pinning, and what is done with the file descriptors.

/// The kernel's name among engines.
pub const NAME: &str = "kernel";

pub mod affinity;
mod error;
mod feature;
pub mod instance;
mod loader;
pub mod map;
mod mapping;
mod programs;
pub mod record;
pub mod rewrite;
pub mod run;
pub mod syscall;
mod types;

pub use error::KernelError;
pub use feature::Features;
pub use loader::{Loaded, LoadedMap, LoadedProgram, Loader, Log, Rejection, cpus_count};
pub use programs::Programs;

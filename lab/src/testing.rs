//! What a test of a program is written with: an object, a program of it loaded everywhere, packets, verdicts, maps.
//!
//! [`Lab::run`] runs a packet in every engine and compares what they did and what their maps hold; where they differ it panics, with the
//! instruction and the source line that made the difference. A lab has the VM, the kernel where programs may be loaded (where the environment
//! has `CI` it is an error if they may not), and the kernels that [`Program::beside`] adds.

mod error;
mod kernel;
mod lab;
mod map;
mod object;
mod run;
pub mod verdict;

pub use error::{Error, Result};
pub use kernel::{Kernel, Verification, kernels};
pub use lab::{Lab, Replayed};
pub use map::Map;
pub use object::{Object, Program};
pub use run::Run;

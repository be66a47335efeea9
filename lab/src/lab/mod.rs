//! The lab: any program over a capture, in the vm and in the kernel, compared after each packet.
//!
//! ```text
//! Frame -> vm ─────────┐
//! Frame -> kernel ─────┴-> Outcome, entries of maps -> agreement, or the first Divergence -> report
//! ```
//!
//! What is compared after each packet: the return value; the packet's bytes and length, and XDP's metadata before it; the context's fields that a
//! program may write and a test run shows; the records sent to ring buffers and perf event arrays; of maps the entries that the vm's program
//! looked up, changed or deleted, and all of small maps. Whole maps are compared at the end and now and then ([`replay`] says when).
//! What is not: where a redirect leads and what a program prints (the kernel shows neither), kinds of maps that cannot be read ([`map`]).
//!
//! Both see the capture's clock, one seeded generator and CPU 0 ([`clock`]). Not here: the classifier's own engines and their oracle
//! (`treeline-sim`), which compare more than any program shows.

pub mod bytes;
pub mod clock;
pub mod coverage;
pub mod difference;
mod finding;
pub mod kernel;
pub mod map;
pub mod origin;
mod outcome;
mod place;
pub mod replay;
pub mod report;
mod slice;
pub mod summary;
pub mod verdict;
mod vm;

pub use coverage::Coverage;
pub use difference::Difference;
pub use origin::{Origin, Origins};
pub use outcome::{Outcome, Record, Shown};
pub use place::Place;
pub use replay::Replay;
pub use summary::{Divergence, Summary};
pub use vm::Machine;

use crate::Frame;
use crate::vm::Trace;

/// One way to run a program over frames, with its maps.
pub trait Engine {
    /// Its name in options and reports.
    fn name(&self) -> &str;

    /// Why it cannot take this frame, if so: a short text by which such frames are counted. No engine runs such a frame.
    fn refuses(&self, frame: &Frame) -> Option<&'static str> {
        let _ = frame;
        None
    }

    /// Runs the program over a frame. Two engines agree on it if what they return is equal.
    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError>;

    /// The entries that the last run used: position of the map, key. `None`: the engine does not know.
    fn touched(&self) -> Option<Vec<(usize, Vec<u8>)>> {
        None
    }

    /// An entry's value, of a per-CPU map CPU 0's; `None` if there is none.
    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError>;

    /// All entries of a map, by key.
    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError>;

    /// How many entries a map has, where that costs nothing to know.
    fn entries_count(&self, map: usize) -> Option<usize> {
        let _ = map;
        None
    }

    /// What each program did so far, by its name, if the engine was asked to trace.
    fn traces(&self) -> Vec<(String, Trace)> {
        Vec::new()
    }

    /// Puts an entry into a map before the first frame; of a queue or stack the key is empty.
    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError>;
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Why an engine could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The engine cannot be used here.
    #[error("the {engine} engine is not available: {reason}")]
    Unavailable {
        /// The engine.
        engine: String,
        /// What is missing and what to do.
        reason: String,
    },
    /// The engine will not run this program, or not on.
    #[error("{engine}: {reason}")]
    Refused {
        /// The engine.
        engine: String,
        /// Why, in the engine's words, which name the instruction or the map.
        reason: String,
    },
    /// The program did in the vm what the kernel's verifier would have forbidden, or went beyond a limit.
    #[error("{engine}: {place}: {fault}")]
    Fault {
        /// The engine.
        engine: String,
        /// The instruction.
        place: Box<Place>,
        /// What it did.
        fault: String,
    },
    /// An option names something that is not there, or has the wrong size.
    #[error("{option}: {reason}")]
    Option {
        /// The option.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
}

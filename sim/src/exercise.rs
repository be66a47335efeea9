//! Any bytes -> a finding, or none: the library functions behind the fuzz targets, one a target.
//!
//! | exercise | the bytes are | what must hold |
//! |---|---|---|
//! | [`packet`] | one frame | classifier, reference and etherparse read the same packet |
//! | [`sequence`] | settings, a tree and frames with times | every exact engine and the reference agree after every frame |
//! | [`capture`] | a capture file | the reader neither panics nor depends on how the bytes arrive; frames come before damage |
//! | [`import`] | a model of another library | what is accepted reads back equal, and is exact on the grid |
//! | [`map`] | a map and a program's operations upon it | the VM runs them, and keeps no more than the map takes |
//! | [`model`] | a model file | what is accepted reads back equal, and decides every features vector |
//!
//! `fuzz/` calls them with new inputs, `sim/tests/regression.rs` with the committed ones. Not here: searching for inputs.

use crate::engine::EngineError;
use crate::oracle::Divergence;

pub mod capture;
pub mod import;
pub mod map;
pub mod model;
pub mod packet;
pub mod sequence;

/// Something that must not be.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// Two engines differ.
    #[error("{0}")]
    Divergence(Box<Divergence>),
    /// An engine broke.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A packet that the classifier and etherparse read differently.
    #[error("{what}: the classifier reads {classifier}, etherparse {etherparse}")]
    Reading {
        /// The field.
        what: &'static str,
        /// The classifier's value.
        classifier: String,
        /// etherparse's.
        etherparse: String,
    },
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
    /// A model was accepted that should not have been.
    #[error("an accepted model {promise}: {found}")]
    Model {
        /// What an accepted model does.
        promise: &'static str,
        /// What this one does.
        found: String,
    },
}

/// Panics with the finding's text: the way to end a fuzz target.
pub fn insist<T>(result: Result<T, Finding>) {
    if let Err(finding) = result {
        panic!("{finding}");
    }
}

//! Any bytes -> a finding, or none: the library functions behind the fuzz targets, one a target.
//!
//! | exercise | the bytes are | what must hold |
//! |---|---|---|
//! | [`packet`] | one frame | classifier, reference and etherparse read the same packet |
//! | [`sequence`] | settings, a tree and frames with times | every exact engine and the reference agree after every frame |
//! | [`import`] | a model of another library | what is accepted reads back equal, and is exact on the grid |
//! | [`model`] | a model file | what is accepted reads back equal, and decides every features vector |
//!
//! `fuzz/` calls them with new inputs, `sim/tests/regression.rs` with the committed ones. Not here: those of captures, programs and
//! maps ([`treeline_lab::exercise`]), and searching for inputs.

use crate::engine::EngineError;
use crate::oracle::Divergence;

pub mod import;
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
    /// A model was accepted that should not have been.
    #[error("an accepted model {promise}: {found}")]
    Model {
        /// What an accepted model does.
        promise: &'static str,
        /// What this one does.
        found: String,
    },
}

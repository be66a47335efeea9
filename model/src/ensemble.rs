//! Many trees that vote: what stays of a boosted model or a forest after its import.
//!
//! Each tree adds its leaf's values to sums, one a *output*; a rule makes the sums one class. Splits compare in fixed point as the single
//! tree's do. The sums are floating point in the library's own precision and order, so that near ties fall as they do there.
//! The kernel has no floating point: the native engine runs an ensemble, vm and kernel refuse it.
//!
//! Not here: why a packet was decided so, for whoever explains it ([`Ballot`]).

mod ballot;
mod error;
mod file;
mod vote;

pub use ballot::{Ballot, Reached};
pub use error::EnsembleError;
pub(crate) use file::{parse, text};
pub use vote::{Arithmetic, Rule, Vote};

use serde_json::{Map, Value};
use treeline_ebpf::Features;
use treeline_ebpf::feature::{FEATURES, FRACTION_BITS, MIDSTREAM, PACKETS};

use crate::{Error, Node, schema, shape};

/// Trees an ensemble may have.
pub const TREES_MAX: usize = 4096;
/// Nodes of all its trees together.
pub const ENSEMBLE_NODES_MAX: usize = 1 << 18;
/// Bytes of its document.
pub const ENSEMBLE_BYTES_MAX: usize = 32 << 20;

/// Trees that vote, checked as a [`Model`](crate::Model) is. Only such a value exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    description: String,
    classes: Vec<String>,
    vote: Vote,
    trees: Vec<Member>,
    training: Option<Map<String, Value>>,
    packets_min: u32,
    midstream_passes: bool,
}

/// One tree of an ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The output to which the first value of a leaf is added; the others follow.
    pub output: usize,
    /// The nodes, root first. A leaf's `class` is the index of its values.
    pub nodes: Vec<Node>,
    /// What each leaf adds, all of one length.
    pub values: Vec<Vec<f64>>,
}

impl Ensemble {
    /// An ensemble of `trees`. `classes` starts with [`BENIGN`](crate::BENIGN). What is not a tree, or does not fit the vote, is refused with
    /// its place.
    pub fn new(description: impl Into<String>, classes: Vec<String>, vote: Vote, trees: Vec<Member>) -> Result<Self, Error> {
        schema::check_classes(&classes)?;
        vote.check(classes.len())?;
        check_count(trees.len())?;
        let nodes = trees.iter().map(|tree| tree.nodes.len()).sum();
        if nodes > ENSEMBLE_NODES_MAX {
            return Err(EnsembleError::TooManyNodes { found: nodes }.into());
        }
        for (tree, member) in trees.iter().enumerate() {
            member.check(vote.base.len()).map_err(|error| Error::Tree { tree, error: Box::new(error) })?;
        }
        Ok(Self { description: description.into(), classes, vote, trees, training: None, packets_min: 1, midstream_passes: false })
    }

    /// The ensemble with `training` as the record of how it came about, which nothing here interprets.
    #[must_use]
    pub fn with_training(mut self, training: Map<String, Value>) -> Self {
        self.training = Some(training);
        self
    }

    /// The ensemble with a first verdict at packet `packets_min` of a flow, counted from 1; the packets before it are benign. Unlike a single
    /// tree's, the wait is no node and needs no room.
    pub fn with_packets_min(mut self, packets_min: u32) -> Result<Self, Error> {
        shape::check_packets_min(packets_min)?;
        self.packets_min = packets_min;
        Ok(self)
    }

    /// The ensemble that passes the flows that began in the middle of a TCP connection, as a single tree may.
    #[must_use]
    pub fn with_midstream_passed(mut self, passes: bool) -> Self {
        self.midstream_passes = passes;
        self
    }

    /// The class of a packet, the slots behind the features included: benign where the ensemble is not asked.
    #[must_use]
    pub fn judge(&self, features: &Features) -> u16 {
        let waits = features.value(PACKETS as u64) < i64::from(self.packets_min) << FRACTION_BITS;
        let passes = waits || (self.midstream_passes && features.value(MIDSTREAM as u64) > 0);
        if passes { 0 } else { self.decide(&features.values()) }
    }

    /// The class of fixed-point features: an index into [`classes`](Self::classes). Whether the ensemble is to be asked is not looked at.
    #[must_use]
    pub fn decide(&self, features: &[i64; FEATURES]) -> u16 {
        self.vote.class(self.trees.iter().map(|tree| (tree.output, tree.descend(features))))
    }

    /// The document, one line a node. The same ensemble always gives the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        text(self)
    }

    /// What the ensemble is, in its author's words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The classes' names; 0 is benign, every other one malicious.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How the sums become a class.
    #[must_use]
    pub fn vote(&self) -> &Vote {
        &self.vote
    }

    /// The trees, in the order in which they are summed.
    #[must_use]
    pub fn trees(&self) -> &[Member] {
        &self.trees
    }

    /// The packet of a flow, counted from 1, at which the trees are asked first.
    #[must_use]
    pub fn packets_min(&self) -> u32 {
        self.packets_min
    }

    /// Whether the flows that began in the middle of a TCP connection are benign without asking the trees.
    #[must_use]
    pub fn midstream_passes(&self) -> bool {
        self.midstream_passes
    }

    /// How the ensemble came about, if its file says so.
    #[must_use]
    pub fn training(&self) -> Option<&Map<String, Value>> {
        self.training.as_ref()
    }
}

/// Refuses a number of trees that is no ensemble's.
fn check_count(trees: usize) -> Result<(), EnsembleError> {
    match trees {
        0 => Err(EnsembleError::NoTrees),
        1..=TREES_MAX => Ok(()),
        found => Err(EnsembleError::TooManyTrees { found }),
    }
}

impl Member {
    /// The values of the leaf that `features` reach. The nodes are a checked tree.
    pub(crate) fn descend(&self, features: &[i64; FEATURES]) -> &[f64] {
        let mut index = 0;
        loop {
            match self.nodes[index] {
                Node::Leaf { class } => return &self.values[usize::from(class)],
                Node::Inner { feature, threshold, left, right } => {
                    index = if features[usize::from(feature)] <= threshold { left } else { right }.into();
                }
            }
        }
    }

    fn check(&self, outputs: usize) -> Result<(), Error> {
        shape::check(&self.nodes, self.values.len())?;
        let width = self.values.first().map_or(0, Vec::len);
        if width == 0 || width > outputs || self.output > outputs - width {
            return Err(EnsembleError::Output { output: self.output, width, outputs }.into());
        }
        for (node, leaf) in self.nodes.iter().enumerate() {
            let Node::Leaf { class } = *leaf else { continue };
            let values = &self.values[usize::from(class)];
            if values.len() != width {
                return Err(EnsembleError::Width { node, found: values.len(), expected: width }.into());
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                return Err(EnsembleError::NotFinite { node, place }.into());
            }
        }
        Ok(())
    }
}

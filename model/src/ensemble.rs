//! Many trees that vote: what stays of a boosted model or a forest after its import.
//!
//! Each tree adds its leaf's values to sums, one a *output*; a rule makes the sums one class. Splits compare in fixed point as the single
//! tree's do. The sums are floating point in the library's own precision and order, so that near ties fall as they do there.
//! The kernel has no floating point: the native engine runs an ensemble, vm and kernel refuse it.
//!
//! Not here: a wait for a flow's first packets (`packets_min`), which only a single tree has.

mod error;
mod file;
mod vote;

pub use error::EnsembleError;
pub(crate) use file::{parse, text};
pub use vote::{Arithmetic, Rule, Vote};

use serde_json::{Map, Value};
use treeline_ebpf::feature::FEATURES;

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
        Ok(Self { description: description.into(), classes, vote, trees, training: None })
    }

    /// The ensemble with `training` as the record of how it came about, which nothing here interprets.
    #[must_use]
    pub fn with_training(mut self, training: Map<String, Value>) -> Self {
        self.training = Some(training);
        self
    }

    /// The class of fixed-point features: an index into [`classes`](Self::classes).
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

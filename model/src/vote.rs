//! Many trees that vote: what stays of a boosted model or a forest after its import.
//!
//! Each tree (a *base estimator*) adds its leaf's values to sums, one an *output*; the [`Combination`] makes the sums one class. Splits compare in
//! fixed point as the single tree's do. The sums are floating point in the library's own precision and order, so that near ties fall as they do
//! there. The kernel has no floating point: the native engine and the reference run a vote, vm and kernel refuse it.
//!
//! Not here: why a packet was decided so, for whoever explains it ([`Votes`]).

mod combination;
mod error;
mod votes;

pub use combination::{Arithmetic, Choice, Combination};
pub use error::VoteError;
pub use votes::{Reached, Votes};

use treeline_ebpf::feature::FEATURES;

use crate::{Error, Node, shape};

/// Base estimators that a vote may have.
pub const ESTIMATORS_MAX: usize = 4096;
/// Nodes of all of them together.
pub const VOTE_NODES_MAX: usize = 1 << 18;

/// Trees that vote, checked as a single [`Tree`](crate::Tree) is. Only such a value exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    combination: Combination,
    estimators: Vec<Estimator>,
}

/// One tree of a vote.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimator {
    /// The output to which the first value of a leaf is added; the others follow.
    pub output: usize,
    /// The nodes, root first. A leaf's `class` is the index of its values.
    pub nodes: Vec<Node>,
    /// What each leaf adds, all of one length.
    pub values: Vec<Vec<f64>>,
}

impl Vote {
    /// A vote of `estimators`. What is not a tree, or does not fit the combination, is refused with its place.
    pub fn new(combination: Combination, estimators: Vec<Estimator>) -> Result<Self, Error> {
        combination.check()?;
        check_count(estimators.len())?;
        let nodes = estimators.iter().map(|estimator| estimator.nodes.len()).sum();
        if nodes > VOTE_NODES_MAX {
            return Err(VoteError::TooManyNodes { found: nodes }.into());
        }
        for (tree, estimator) in estimators.iter().enumerate() {
            estimator.check(combination.base.len()).map_err(|error| Error::Estimator { tree, error: Box::new(error) })?;
        }
        Ok(Self { combination, estimators })
    }

    /// How the sums become a class.
    #[must_use]
    pub fn combination(&self) -> &Combination {
        &self.combination
    }

    /// The trees, in the order in which they are summed.
    #[must_use]
    pub fn estimators(&self) -> &[Estimator] {
        &self.estimators
    }

    /// The class of fixed-point features: an index into the model's classes.
    #[must_use]
    pub fn class(&self, features: &[i64; FEATURES]) -> u16 {
        self.combination.class(self.estimators.iter().map(|estimator| (estimator.output, estimator.descend(features))))
    }

    /// Refuses a vote for classes that a model of so many has not.
    pub(crate) fn check(&self, classes: usize) -> Result<(), VoteError> {
        self.combination.check_classes(classes)
    }
}

/// Refuses a number of trees that is no vote's.
pub(crate) fn check_count(trees: usize) -> Result<(), VoteError> {
    match trees {
        0 => Err(VoteError::NoTrees),
        1..=ESTIMATORS_MAX => Ok(()),
        found => Err(VoteError::TooManyTrees { found }),
    }
}

impl Estimator {
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
            return Err(VoteError::Output { output: self.output, width, outputs }.into());
        }
        for (node, leaf) in self.nodes.iter().enumerate() {
            let Node::Leaf { class } = *leaf else { continue };
            let values = &self.values[usize::from(class)];
            if values.len() != width {
                return Err(VoteError::Width { node, found: values.len(), expected: width }.into());
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                return Err(VoteError::NotFinite { node, place }.into());
            }
        }
        Ok(())
    }
}

//! Why a vote is refused. Places are the fields' of its document; inside a tree, `Error::Estimator` puts `trees[N].` before them.

use super::{ESTIMATORS_MAX, VOTE_NODES_MAX};

/// What a vote has wrong beyond what a tree can.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VoteError {
    /// There is no tree.
    #[error("trees: none, expected at least one; a single tree is written as nodes")]
    NoTrees,
    /// Too many trees.
    #[error("trees: found {found}, expected at most {ESTIMATORS_MAX}; train with fewer trees")]
    TooManyTrees {
        /// How many there are.
        found: usize,
    },
    /// Too many nodes in all trees together.
    #[error("trees: found {found} nodes together, expected at most {VOTE_NODES_MAX}; train with fewer or smaller trees")]
    TooManyNodes {
        /// How many there are.
        found: usize,
    },
    /// A tree votes for outputs that there are not.
    #[error("output: found {output} with {width} values a leaf, expected within {outputs} outputs; vote.base lists one number an output")]
    Output {
        /// The tree's first output.
        output: usize,
        /// Values a leaf.
        width: usize,
        /// Outputs of the vote.
        outputs: usize,
    },
    /// A leaf adds more or fewer values than the tree's first.
    #[error("nodes[{node}].values: found {found}, expected {expected} as in the tree's first leaf")]
    Width {
        /// The node.
        node: usize,
        /// Its values.
        found: usize,
        /// The first leaf's.
        expected: usize,
    },
    /// A value is not a number, or infinite.
    #[error("nodes[{node}].values[{place}]: not a finite number")]
    NotFinite {
        /// The node.
        node: usize,
        /// Which of its values.
        place: usize,
    },
    /// The vote's numbers do not fit its rule.
    #[error("vote.{field}: found {found}, expected {expected}")]
    Vote {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What would fit.
        expected: String,
    },
}

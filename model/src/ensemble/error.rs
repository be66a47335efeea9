//! Why an ensemble is refused. Places are the fields' of its document; inside a tree, `Error::Tree` puts `trees[N].` before them.

use super::{ENSEMBLE_BYTES_MAX, ENSEMBLE_NODES_MAX, TREES_MAX};

/// What an ensemble has wrong beyond what a tree can.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// The document is longer than [`ENSEMBLE_BYTES_MAX`].
    #[error("more than {ENSEMBLE_BYTES_MAX} bytes; train with fewer or smaller trees")]
    TooLarge,
    /// There is no tree.
    #[error("trees: none, expected at least one; a single tree is written as nodes")]
    NoTrees,
    /// Too many trees.
    #[error("trees: found {found}, expected at most {TREES_MAX}; train with fewer trees")]
    TooManyTrees {
        /// How many there are.
        found: usize,
    },
    /// Too many nodes in all trees together.
    #[error("trees: found {found} nodes together, expected at most {ENSEMBLE_NODES_MAX}; train with fewer or smaller trees")]
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

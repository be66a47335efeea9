//! Why a model is refused: what was found, at which position, what is expected, and what to do.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use treeline_ebpf::feature::{FEATURES, FRACTION_BITS};
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX};

use crate::precondition::PACKETS_MIN_MAX;
use crate::{BENIGN, BYTES_MAX, CLASSES_MAX, FORMAT, VERSION, VoteError};

/// A model that cannot be read, written or built. Nodes, features and classes are named by their index in the file's lists, root first.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file's content is refused.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: Box<Error>,
    },
    /// The operating system did not give or take the bytes.
    #[error("cannot read or write the model: {error}")]
    Io {
        /// The system's reason.
        error: std::io::Error,
    },
    /// The text is longer than [`BYTES_MAX`].
    #[error("more than {BYTES_MAX} bytes; the largest tree takes less than 1 MiB: train with fewer or smaller trees, or shorten the texts")]
    TooLarge,
    /// The text is not one JSON document.
    #[error("line {line}, column {column}: not JSON: {reason}; a model is one JSON document")]
    NotJson {
        /// Line of the text, from 1.
        line: usize,
        /// Byte of the line, from 1; 0 where the parser stands before the first.
        column: usize,
        /// The parser's reason.
        reason: String,
    },
    /// A field is missing, unknown, given twice, or its value has the wrong type or does not fit.
    #[error("line {line}, column {column}: {field}: {reason}; write the fields and types of version {VERSION}")]
    Field {
        /// The field's place, such as `nodes[3].threshold`.
        field: String,
        /// Line of the text, from 1.
        line: usize,
        /// Byte of the line, from 1; 0 where the parser stands before the first.
        column: usize,
        /// The parser's reason: what was found, what is expected.
        reason: String,
    },
    /// The document is something else.
    #[error("format: found {}, expected {FORMAT:?}; give a model, or convert the file to one", found.as_ref().map_or("none".to_owned(), |name| format!("{name:?}")))]
    Format {
        /// The name found, if there is one.
        found: Option<String>,
    },
    /// The document is of another version.
    #[error("version: found {found}, expected {VERSION}; train or write the model again for this version")]
    Version {
        /// The version found.
        found: u64,
    },
    /// The model is a vote where one tree is asked for.
    #[error(
        "trees: an ensemble, expected one tree (nodes); train or import one tree, or use a command that takes both: evaluate, explain, replay --engine native,reference"
    )]
    NotOneTree,
    /// The document holds no rule, or more than one.
    #[error("found {found}, expected nodes (one tree), or vote and trees; write the fields and types of version {VERSION}")]
    Rule {
        /// The fields found.
        found: String,
    },
    /// Beyond what a tree can have wrong.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// A tree of a vote is refused.
    #[error("trees[{tree}].{error}")]
    Estimator {
        /// The tree.
        tree: usize,
        /// The reason, its place inside the tree.
        error: Box<Error>,
    },
    /// Thresholds are on another grid.
    #[error("schema.fraction_bits: found {found}, expected {FRACTION_BITS}; scale the thresholds by 2^{FRACTION_BITS}, rounding down")]
    FractionBits {
        /// The fractional bits found.
        found: u64,
    },
    /// The classifier has no such feature.
    #[error("schema.features[{position}].name: unknown feature {found:?}; train with the {FEATURES} features of the classifier only")]
    FeatureUnknown {
        /// Index in the file's list.
        position: usize,
        /// The name found.
        found: String,
    },
    /// A feature of the classifier is not listed.
    #[error("schema.features: {name:?} is missing, expected at position {position}; list all {FEATURES} features, used or not")]
    FeatureMissing {
        /// Where it belongs.
        position: usize,
        /// Its name.
        name: &'static str,
    },
    /// A feature is listed again.
    #[error("schema.features[{position}].name: {name:?} is listed already at position {first}; list each feature once")]
    FeatureTwice {
        /// Index of the second.
        position: usize,
        /// Index of the first.
        first: usize,
        /// Its name.
        name: &'static str,
    },
    /// The features are listed in another order.
    #[error(
        "schema.features[{position}].name: found {found:?}, expected {expected:?}; list the features, and number them in the nodes, in the classifier's order"
    )]
    FeatureOrder {
        /// Index in the file's list.
        position: usize,
        /// The name found.
        found: &'static str,
        /// The name that belongs there.
        expected: &'static str,
    },
    /// A feature is measured in another unit.
    #[error(
        "schema.features[{position}].unit: found {found:?}, expected {expected:?} for {name:?}; convert the thresholds of this feature"
    )]
    FeatureUnit {
        /// Index in the file's list.
        position: usize,
        /// The feature's name.
        name: &'static str,
        /// The unit found.
        found: String,
        /// The classifier's unit.
        expected: &'static str,
    },
    /// No class is listed.
    #[error("classes: none, expected at least {BENIGN:?}; list the classes, {BENIGN:?} first")]
    NoClasses,
    /// More classes than 16 bits can number.
    #[error("classes: found {found}, expected at most {CLASSES_MAX}; merge classes")]
    TooManyClasses {
        /// How many there are.
        found: usize,
    },
    /// Class 0 is the one that passes, and must say so.
    #[error("classes[0]: found {found:?}, expected {BENIGN:?}; list {BENIGN:?} first, every other class counts as malicious")]
    NotBenign {
        /// The name found.
        found: String,
    },
    /// Two classes bear one name.
    #[error("classes[{position}]: {name:?} is listed already at position {first}; give each class its own name")]
    ClassTwice {
        /// Index of the second.
        position: usize,
        /// Index of the first.
        first: usize,
        /// The name.
        name: String,
    },
    /// There is no root.
    #[error("nodes: none, expected at least a root; a tree that decides nothing is one leaf")]
    NoNodes,
    /// More nodes than the kernel's array holds.
    #[error("nodes: found {found}, expected at most {NODES_MAX}; train with fewer leaves")]
    TooManyNodes {
        /// How many there are.
        found: usize,
    },
    /// A node is neither inner nor leaf.
    #[error("nodes[{node}]: found {found}, expected feature, threshold, left and right, or {leaf} alone; complete the node")]
    NodeFields {
        /// The node.
        node: usize,
        /// The names of its fields.
        found: String,
        /// The field that a leaf has here.
        leaf: &'static str,
    },
    /// A node asks for a feature that does not exist.
    #[error("nodes[{node}].feature: found {found}, expected below {FEATURES}; number the features as schema.features does, from 0")]
    FeatureRange {
        /// The node.
        node: usize,
        /// The feature found.
        found: u64,
    },
    /// A leaf names a class that does not exist.
    #[error("nodes[{node}].class: found {found}, expected below {classes}; number the classes as they are listed, from 0")]
    ClassRange {
        /// The node.
        node: usize,
        /// The class found.
        found: u64,
        /// How many classes there are.
        classes: usize,
    },
    /// A child does not exist.
    #[error("nodes[{node}].{side}: found {found}, expected below {nodes}; point to a node of the list, from 0")]
    ChildRange {
        /// The node.
        node: usize,
        /// Which child.
        side: Side,
        /// The index found.
        found: u64,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A child is the node itself or one above it.
    #[error("nodes[{node}].{side}: leads back to node {child}; point to a node below, so that every path ends in a leaf")]
    Cycle {
        /// The node.
        node: usize,
        /// Which child.
        side: Side,
        /// The node above.
        child: usize,
    },
    /// Two edges lead to one node.
    #[error("nodes[{node}].{side}: node {child} is already the {first_side} child of node {first}; write the subtree twice")]
    TwoParents {
        /// The second parent.
        node: usize,
        /// Which child of the second.
        side: Side,
        /// The shared node.
        child: usize,
        /// The first parent.
        first: usize,
        /// Which child of the first.
        first_side: Side,
    },
    /// No path leads from the root to a node.
    #[error("nodes[{node}]: not reachable from the root, node 0; remove it, or point to it")]
    Unreachable {
        /// The first such node.
        node: usize,
    },
    /// The wait for a flow's first packets is out of range.
    #[error("packets_min: found {found}, expected 1 to {PACKETS_MIN_MAX}; 1 judges a flow from its first packet")]
    PacketsMin {
        /// The number found.
        found: u64,
    },
    /// What the model is not asked about is a question in front of the tree, and the tree is as large or as deep as one may be.
    #[error(
        "packets_min, midstream_passes: two nodes and a level each ({gates} of them) beside the tree's {nodes} nodes and depth {depth}, at most {NODES_MAX} and {DEPTH_MAX}; leave them out, or train a smaller tree"
    )]
    NoRoomToPass {
        /// How many questions.
        gates: usize,
        /// The tree's nodes.
        nodes: usize,
        /// The tree's depth.
        depth: usize,
    },
    /// A node is further from the root than the kernel walks.
    #[error("nodes[{node}]: more than {DEPTH_MAX} edges below the root; train with a smaller depth")]
    TooDeep {
        /// The node.
        node: usize,
    },
}

impl Error {
    /// The same with the file that it is about.
    pub(crate) fn of(self, path: &Path) -> Self {
        Self::File { path: path.to_owned(), error: Box::new(self) }
    }
}

/// Which child of an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where a feature at or below the threshold goes.
    Left,
    /// Where a feature above the threshold goes.
    Right,
}

impl Display for Side {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

//! One decision tree, checked.

use treeline_ebpf::{FEATURES, Tree as Array};

use crate::{Error, Node, RealNode, leaves, pack, path, shape};

/// A decision tree: one root, no cycle, at most `NODES_MAX` nodes and `DEPTH_MAX` edges of depth, all features and classes known. Only such
/// a value exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
    depth: usize,
}

impl Tree {
    /// A tree of `nodes`, root first, whose leaves name one of `classes` classes.
    pub fn new(nodes: Vec<Node>, classes: usize) -> Result<Self, Error> {
        let depth = shape::check(&nodes, classes)?;
        Ok(Self { nodes, depth })
    }

    /// The nodes, root first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes with thresholds as real numbers in the features' units, root first. Exact within 2^53 of zero in fixed point.
    #[must_use]
    pub fn real_nodes(&self) -> impl ExactSizeIterator<Item = RealNode> + '_ {
        self.nodes.iter().map(|&node| RealNode::from(node))
    }

    /// Edges between the root and the deepest leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many leaves there are.
    #[must_use]
    pub fn leaves(&self) -> usize {
        leaves(&self.nodes)
    }

    /// The indices of the nodes that `features` pass, from the root to the leaf.
    pub fn path(&self, features: [i64; FEATURES]) -> impl Iterator<Item = usize> {
        path(&self.nodes, features)
    }

    /// The array that the classifier walks, 128 KiB: a left child behind its parent. In a debug build the empty tree passes over the stack once on
    /// its way into the box.
    #[must_use]
    pub fn to_array(&self) -> Box<Array> {
        pack::array(&self.nodes)
    }
}

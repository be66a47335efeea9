//! features -> verdict: the tree as a scientist would write it down (rule 11).

use super::feature::{FEATURES, Feature};

/// Nodes a tree may have.
const NODES_MAX: usize = 8_192;
/// Edges from the root to the deepest leaf.
const DEPTH_MAX: usize = 32;

/// A node of a [`FloatTree`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FloatNode {
    /// `features[feature] <= threshold` goes left.
    Split {
        /// Number of the feature, below [`FEATURES`].
        feature: usize,
        /// In the feature's own unit. A fixed-point threshold divided by 65,536.
        threshold: f64,
        /// Index of the node on the left.
        left: usize,
        /// Index of the node on the right.
        right: usize,
    },
    /// The end of a path.
    Leaf {
        /// 0 is benign, any other malicious.
        class: u16,
    },
}

/// A decision tree whose root is node 0. Every path through it ends in a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatTree {
    nodes: Vec<FloatNode>,
}

/// Why nodes are not a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// None at all or too many.
    #[error("{count} nodes, a tree has 1 to {NODES_MAX}")]
    Count {
        /// Nodes given.
        count: usize,
    },
    /// A split of something that is not a feature, or by something that is not a number.
    #[error("node {node} splits feature {feature} by a threshold that is not a number, or there is no such feature (0 to 11)")]
    Split {
        /// Index of the split.
        node: usize,
        /// The feature it names.
        feature: usize,
    },
    /// A child that does not exist.
    #[error("node {node} points to node {child}, beyond the last")]
    Child {
        /// Index of the split.
        node: usize,
        /// The missing child.
        child: usize,
    },
    /// A path longer than 32 edges; a circle is one.
    #[error("node {node} has a path of {DEPTH_MAX} edges to it and another edge from it")]
    Depth {
        /// The split at which the path is too long.
        node: usize,
    },
}

impl FloatTree {
    /// Checks that every path from node 0 ends in a leaf after at most 32 edges, and every split can be decided.
    pub fn new(nodes: Vec<FloatNode>) -> Result<Self, TreeError> {
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            return Err(TreeError::Count { count: nodes.len() });
        }
        for (index, node) in nodes.iter().enumerate() {
            let FloatNode::Split { feature, threshold, left, right } = *node else { continue };
            if feature >= FEATURES || threshold.is_nan() {
                return Err(TreeError::Split { node: index, feature });
            }
            if let Some(child) = [left, right].into_iter().find(|&child| child >= nodes.len()) {
                return Err(TreeError::Child { node: index, child });
            }
        }
        let tree = Self { nodes };
        match tree.split_at_depth_max() {
            Some(node) => Err(TreeError::Depth { node }),
            None => Ok(tree),
        }
    }

    /// A tree that gives every packet the same class.
    #[must_use]
    pub fn constant(class: u16) -> Self {
        Self { nodes: vec![FloatNode::Leaf { class }] }
    }

    /// A split that some path reaches over as many edges as a path may have. Level by level, for two paths may share nodes.
    fn split_at_depth_max(&self) -> Option<usize> {
        let mut level = vec![false; self.nodes.len()];
        level[0] = true;
        for _ in 0..DEPTH_MAX {
            let mut next = vec![false; self.nodes.len()];
            for (index, node) in self.nodes.iter().enumerate() {
                if let (true, FloatNode::Split { left, right, .. }) = (level[index], *node) {
                    next[left] = true;
                    next[right] = true;
                }
            }
            level = next;
        }
        (0..self.nodes.len()).find(|&index| level[index] && matches!(self.nodes[index], FloatNode::Split { .. }))
    }

    /// The class of the leaf the features reach, and whether fixed point may have left the path somewhere.
    pub(super) fn descend(&self, features: &[Feature; FEATURES]) -> (u16, bool) {
        let mut index = 0;
        let mut ambiguous = false;
        loop {
            match self.nodes[index] {
                FloatNode::Leaf { class } => return (class, ambiguous),
                FloatNode::Split { feature, threshold, left, right } => {
                    ambiguous |= features[feature].is_ambiguous_at(threshold);
                    index = if features[feature].at_most(threshold) { left } else { right };
                }
            }
        }
    }
}

//! What growth gives: the tree, and what training saw at each node.

use treeline_ebpf::feature::FEATURES;

use crate::Node;

/// A tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Grown {
    /// The nodes, root first, children after their parents, as [`Model::from_nodes`](crate::Model::from_nodes) takes them. A leaf has the class of the
    /// greatest weight; of equal ones, the first.
    pub nodes: Vec<Node>,
    /// What training saw at each node.
    pub details: Vec<Detail>,
}

/// What training saw at a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// Rows of a weight above 0.
    pub rows_count: usize,
    /// Their weights, by class.
    pub weights: Vec<f64>,
    /// Gini's impurity, 0 to 1: the chance that two rows, drawn by weight, differ in class.
    pub impurity: f64,
    /// By how much its split lowers the weighted impurity of the whole tree; 0 for leaves.
    pub decrease: f64,
}

impl Grown {
    /// Each feature's share of the decrease of impurity, in sum 1; all 0 for a single leaf.
    #[must_use]
    pub fn importances(&self) -> [f64; FEATURES] {
        let mut shares = [0.0; FEATURES];
        for (node, detail) in self.nodes.iter().zip(&self.details) {
            if let Node::Inner { feature, .. } = node {
                shares[usize::from(*feature)] += detail.decrease;
            }
        }
        let total: f64 = shares.iter().sum();
        if total > 0.0 { shares.map(|share| share / total) } else { shares }
    }

    /// The weighted mean impurity of the leaves: what growth minimises.
    #[must_use]
    pub fn impurity(&self) -> f64 {
        let weight = |detail: &Detail| detail.weights.iter().sum::<f64>();
        let leaves = self.nodes.iter().zip(&self.details).filter(|(node, _)| matches!(node, Node::Leaf { .. }));
        leaves.map(|(_, detail)| weight(detail) * detail.impurity).sum::<f64>() / weight(&self.details[0])
    }
}

//! Checked nodes + features -> the nodes passed, root to leaf: for whoever counts or explains what the classifier's own walk decides.

use treeline_ebpf::FEATURES;

use crate::Node;

/// The indices of the nodes that `features` pass, from the root to the leaf. `nodes` are a checked tree's.
pub fn path(nodes: &[Node], features: [i64; FEATURES]) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(0_usize), move |&index| match *nodes.get(index)? {
        Node::Inner { feature, threshold, left, right } => {
            let goes_left = features[usize::from(feature)] <= threshold;
            Some(if goes_left { left } else { right }.into())
        }
        Node::Leaf { .. } => None,
    })
}

/// Edges between the root and the deepest leaf of a checked tree.
#[must_use]
pub fn depth(nodes: &[Node]) -> usize {
    let (mut open, mut deepest) = (vec![(0_usize, 0)], 0);
    while let Some((index, depth)) = open.pop() {
        match nodes[index] {
            Node::Inner { left, right, .. } => open.extend([left, right].map(|child| (usize::from(child), depth + 1))),
            Node::Leaf { .. } => deepest = deepest.max(depth),
        }
    }
    deepest
}

/// How many of `nodes` are leaves.
#[must_use]
pub fn leaves(nodes: &[Node]) -> usize {
    nodes.iter().filter(|node| matches!(node, Node::Leaf { .. })).count()
}

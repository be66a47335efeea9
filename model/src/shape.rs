//! Nodes must be one tree: every node has one parent, the root none, and no leaf is deeper than the kernel walks.
//!
//! The check walks with a list of its own, so that no input can exhaust the stack; it visits each node once.

use treeline_ebpf::feature::FEATURES;
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX};

use crate::{Error, Node, Side};

/// The tree's depth: edges between the root and the deepest leaf.
pub(crate) fn check(nodes: &[Node], classes: usize) -> Result<usize, Error> {
    check_count(nodes.len())?;
    for (index, node) in nodes.iter().enumerate() {
        check_node(index, node, nodes.len(), classes)?;
    }
    let mut walk = Walk { edges: vec![None; nodes.len()], open: vec![(0, 0)], depth: 0 };
    while let Some((index, depth)) = walk.open.pop() {
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep { node: index });
        }
        walk.depth = walk.depth.max(depth);
        if let Node::Inner { left, right, .. } = nodes[index] {
            walk.follow(index, Side::Left, usize::from(left), depth)?;
            walk.follow(index, Side::Right, usize::from(right), depth)?;
        }
    }
    match walk.edges.iter().skip(1).position(Option::is_none) {
        Some(behind_root) => Err(Error::Unreachable { node: behind_root + 1 }),
        None => Ok(walk.depth),
    }
}

/// Refuses a number of nodes that the kernel's array cannot hold.
pub(crate) fn check_count(nodes: usize) -> Result<(), Error> {
    match nodes {
        0 => Err(Error::NoNodes),
        1..=NODES_MAX => Ok(()),
        found => Err(Error::TooManyNodes { found }),
    }
}

/// Refuses a tree in front of which so many splits have no room: each takes two nodes and a level.
pub(crate) fn check_splits_before(splits: usize, nodes: usize, depth: usize) -> Result<(), Error> {
    if nodes + 2 * splits > NODES_MAX || depth + splits > DEPTH_MAX {
        return Err(Error::NoRoomToPass { gates: splits, nodes, depth });
    }
    Ok(())
}

fn check_node(index: usize, node: &Node, nodes: usize, classes: usize) -> Result<(), Error> {
    match *node {
        Node::Leaf { class } if usize::from(class) >= classes => Err(Error::ClassRange { node: index, found: class.into(), classes }),
        Node::Leaf { .. } => Ok(()),
        Node::Inner { feature, .. } if usize::from(feature) >= FEATURES => Err(Error::FeatureRange { node: index, found: feature.into() }),
        Node::Inner { left, right, .. } => {
            for (side, child) in [(Side::Left, left), (Side::Right, right)] {
                if usize::from(child) >= nodes {
                    return Err(Error::ChildRange { node: index, side, found: child.into(), nodes });
                }
            }
            Ok(())
        }
    }
}

struct Walk {
    /// The edge that leads to each node; none to the root and to nodes not met so far.
    edges: Vec<Option<(usize, Side)>>,
    /// Nodes met but not visited, with their depth.
    open: Vec<(usize, usize)>,
    depth: usize,
}

impl Walk {
    fn follow(&mut self, node: usize, side: Side, child: usize, depth: usize) -> Result<(), Error> {
        if self.is_above(child, node) {
            return Err(Error::Cycle { node, side, child });
        }
        if let Some((first, first_side)) = self.edges[child].replace((node, side)) {
            return Err(Error::TwoParents { node, side, child, first, first_side });
        }
        self.open.push((child, depth + 1));
        Ok(())
    }

    /// Whether `upper` is `node` or above it; at most [`DEPTH_MAX`] steps, since no deeper node is visited.
    fn is_above(&self, upper: usize, mut node: usize) -> bool {
        loop {
            if node == upper {
                return true;
            }
            match self.edges[node] {
                Some((parent, _)) => node = parent,
                None => return false,
            }
        }
    }
}

//! Checked nodes -> the kernel's nodes, a left child behind its parent.

use treeline_ebpf::Tree;
use treeline_ebpf::tree::NODES_MAX;

use crate::Node;

/// The nodes in the order of a walk that goes left first, as the kernel's array holds them. `nodes` are one tree, root first.
fn pack(nodes: &[Node]) -> Vec<treeline_ebpf::Node> {
    let order = preorder(nodes);
    let mut places = vec![0_u16; nodes.len()];
    for (place, &index) in (0..).zip(&order) {
        places[usize::from(index)] = place;
    }
    let packed = order.iter().map(|&index| match nodes[usize::from(index)] {
        Node::Inner { feature, threshold, right, .. } => treeline_ebpf::Node::inner(feature, threshold, places[usize::from(right)]),
        Node::Leaf { class } => treeline_ebpf::Node::leaf(class),
    });
    packed.collect()
}

/// The array with the nodes.
pub(crate) fn array(nodes: &[Node]) -> Box<Tree> {
    // A constant: a debug build copies it once, where an array expression inside `Box::new` would be copied from frame to frame.
    const EMPTY: Tree = Tree { nodes: [treeline_ebpf::Node { threshold: 0, link: 0 }; NODES_MAX] };
    let mut tree = Box::new(EMPTY);
    for (slot, node) in tree.nodes.iter_mut().zip(pack(nodes)) {
        *slot = node;
    }
    tree
}

fn preorder(nodes: &[Node]) -> Vec<u16> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut open = vec![0_u16];
    while let Some(index) = open.pop() {
        order.push(index);
        if let Node::Inner { left, right, .. } = nodes[usize::from(index)] {
            open.extend([right, left]);
        }
    }
    order
}

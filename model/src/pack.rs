//! Checked nodes -> the kernel's nodes, a left child behind its parent.

use crate::Node;

/// The nodes in the order of a walk that goes left first, as the kernel's array holds them. `nodes` are one tree, root first.
pub(crate) fn pack(nodes: &[Node]) -> Vec<treeline_ebpf::Node> {
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

//! Checked nodes + features -> the nodes passed, root to leaf: for whoever counts or explains what the classifier's own walk decides.

use treeline_ebpf::Features;

use crate::{Model, Node};

impl Model {
    /// The indices of the nodes that `features` pass, from the root to the leaf. Whether the model waits for later packets
    /// ([`packets_min`](Self::packets_min)) is not asked.
    pub fn path(&self, features: &Features) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(0_usize), move |&index| match *self.nodes().get(index)? {
            Node::Inner { feature, threshold, left, right } => {
                let goes_left = features.value(feature.into()) <= threshold;
                Some(if goes_left { left } else { right }.into())
            }
            Node::Leaf { .. } => None,
        })
    }
}

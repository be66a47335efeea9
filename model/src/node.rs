//! One node of the tree, in fixed point as the file and the kernel have it, or in real numbers as the reference wants it.

use treeline_ebpf::feature::FRACTION_BITS;

/// A node of a checked tree. Indices are into the tree's node list, root first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A question: `features[feature] <= threshold` goes left.
    Inner {
        /// Index into `treeline_ebpf::feature::NAMES`.
        feature: u16,
        /// In the feature's unit, fixed point with 16 fractional bits.
        threshold: i64,
        /// Index of the left child.
        left: u16,
        /// Index of the right child.
        right: u16,
    },
    /// An answer.
    Leaf {
        /// Index into the model's classes; 0 is benign.
        class: u16,
    },
}

/// A [`Node`] whose threshold is a real number in the feature's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RealNode {
    /// A question: `features[feature] <= threshold` goes left.
    Inner {
        /// Index into `treeline_ebpf::feature::NAMES`.
        feature: u16,
        /// In the feature's unit: bytes, ns, a port, a protocol number, or a share of 1.
        threshold: f64,
        /// Index of the left child.
        left: u16,
        /// Index of the right child.
        right: u16,
    },
    /// An answer.
    Leaf {
        /// Index into the model's classes; 0 is benign.
        class: u16,
    },
}

impl From<Node> for RealNode {
    /// Exact for thresholds within 2^53 of zero (fixed point; 137 s in a gap); beyond, the nearest f64.
    fn from(node: Node) -> Self {
        match node {
            Node::Inner { feature, threshold, left, right } => Self::Inner { feature, threshold: real(threshold), left, right },
            Node::Leaf { class } => Self::Leaf { class },
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "documented: exact within 2^53")]
fn real(fixed: i64) -> f64 {
    fixed as f64 / f64::from(1_u32 << FRACTION_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_becomes_real_exactly_within_53_bits() {
        assert_eq!(real(0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(real(1).to_bits(), 2.0_f64.powi(-16).to_bits());
        assert_eq!(real(-1).to_bits(), (-(2.0_f64.powi(-16))).to_bits());
        assert_eq!(real((1500 << 16) + 32_768).to_bits(), 1500.5_f64.to_bits());
        assert_eq!(real((1 << 53) - 1).to_bits(), (2.0_f64.powi(37) - 2.0_f64.powi(-16)).to_bits());
    }
}

//! features -> tree: a walk over a packed node array, 16 bytes a node, root first.

use crate::{Features, Skip};

/// Nodes a tree may have.
pub const NODES_MAX: usize = 8192;
/// Edges between the root and the deepest leaf.
pub const DEPTH_MAX: usize = 32;

/// The sign bit, which costs one instruction to test.
const LEAF: u64 = 1 << 63;
/// Of the feature's slot; three bits up, the slot's byte offset in the vector.
const FEATURE_SHIFT: u32 = 3;
const RIGHT_SHIFT: u32 = 16;

/// An inner node (`features[feature] <= threshold` goes left) or a leaf with its class.
///
/// An inner node's left child is the next node of the array, so that a step to the left waits for no load. `link` is packed so that a step
/// takes few instructions: of an inner node bits 3..7 are the feature, 16.. the right child; of a leaf bit 63 is set and the low 16 bits
/// are the class.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Node {
    /// Fixed point, 16 fractional bits; 0 in a leaf.
    pub threshold: i64,
    /// The packed fields.
    pub link: u64,
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// An inner node; its left child follows it.
    #[must_use]
    pub const fn inner(feature: u16, threshold: i64, right: u16) -> Self {
        Self { threshold, link: (feature as u64) << FEATURE_SHIFT | (right as u64) << RIGHT_SHIFT }
    }

    /// A leaf; class 0 is benign.
    #[must_use]
    pub const fn leaf(class: u16) -> Self {
        Self { threshold: 0, link: LEAF | class as u64 }
    }
}

/// A whole tree as the kernel holds it. All zeros, a tree that was never loaded, decides nothing.
#[repr(C)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The nodes; those behind the last are zero.
    pub nodes: [Node; NODES_MAX],
}

/// The class of the leaf that `features` reach, or [`Skip::Undecided`] if none is within [`DEPTH_MAX`] edges, which
/// only a tree that no loader checked can cause.
#[inline(always)]
pub fn descend(tree: &Tree, features: &Features) -> Result<u16, Skip> {
    descend_from(0, tree, features)
}

/// The same from the node at `root`: 0, which a kernel program hides from the verifier, as that would follow the steps to the left from a
/// node it knows each by itself.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the mask keeps the index inside")]
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out on purpose")]
#[expect(clippy::range_plus_one, reason = "an inclusive range costs two comparisons a step")]
pub fn descend_from(root: usize, tree: &Tree, features: &Features) -> Result<u16, Skip> {
    let mut index = root;
    for _ in 0..DEPTH_MAX + 1 {
        let node = tree.nodes[index & (NODES_MAX - 1)];
        if node.link & LEAF != 0 {
            return Ok(node.link as u16);
        }
        let goes_left = features.value(node.link >> FEATURE_SHIFT) <= node.threshold;
        index = if goes_left { index + 1 } else { (node.link >> RIGHT_SHIFT) as usize };
    }
    Err(Skip::Undecided)
}

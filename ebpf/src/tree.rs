//! features -> tree: a walk over a packed node array, 16 bytes a node, root first.

use crate::{Features, Skip};

/// Nodes a tree may have.
pub const NODES_MAX: usize = 8192;
/// Edges between the root and the deepest leaf.
pub const DEPTH_MAX: usize = 32;

const LEAF: u64 = 0xffff;

/// An inner node (`features[feature] <= threshold` goes left) or a leaf with its class.
///
/// `link` holds four 16-bit fields, lowest first: feature (0xffff marks a leaf), left, right, class.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Node {
    /// Fixed point, 16 fractional bits; 0 in a leaf.
    pub threshold: i64,
    /// The packed fields.
    pub link: u64,
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// An inner node.
    #[must_use]
    pub const fn inner(feature: u16, threshold: i64, left: u16, right: u16) -> Self {
        Self { threshold, link: feature as u64 | (left as u64) << 16 | (right as u64) << 32 }
    }

    /// A leaf; class 0 is benign.
    #[must_use]
    pub const fn leaf(class: u16) -> Self {
        Self { threshold: 0, link: LEAF | (class as u64) << 48 }
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
#[expect(clippy::indexing_slicing, reason = "the mask keeps the index inside")]
#[expect(clippy::cast_possible_truncation, reason = "fields of 16 bits")]
pub fn descend(tree: &Tree, features: &Features) -> Result<u16, Skip> {
    let mut index = 0;
    for _ in 0..=DEPTH_MAX {
        let node = tree.nodes[index as usize & (NODES_MAX - 1)];
        let feature = node.link & 0xffff;
        if feature == LEAF {
            return Ok((node.link >> 48) as u16);
        }
        index = if features.value(feature) <= node.threshold { node.link >> 16 } else { node.link >> 32 } & 0xffff;
    }
    Err(Skip::Undecided)
}

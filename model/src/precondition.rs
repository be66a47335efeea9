//! Which packets a model classifies at all.

use treeline_ebpf::Features;
use treeline_ebpf::feature::{FRACTION_BITS, MIDSTREAM, PACKETS};

use crate::{Error, Node, Side};

/// The most packets a model may wait for.
pub(crate) const PACKETS_MIN_MAX: u32 = 1_000_000;

/// What must be true of a packet for a model to classify it; else it is benign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precondition {
    packets_min: u32,
    midstream_passes: bool,
}

impl Default for Precondition {
    /// Every packet.
    fn default() -> Self {
        Self { packets_min: 1, midstream_passes: false }
    }
}

impl Precondition {
    /// From packet `packets_min` of a flow on, counted from 1; of flows that began in the middle of a TCP connection
    /// ([`treeline_ebpf::Flow::is_midstream`]) none, if they pass.
    pub fn new(packets_min: u32, midstream_passes: bool) -> Result<Self, Error> {
        match packets_min {
            1..=PACKETS_MIN_MAX => Ok(Self { packets_min, midstream_passes }),
            found => Err(Error::PacketsMin { found: found.into() }),
        }
    }

    /// The packet of a flow, counted from 1, that is classified first.
    #[must_use]
    pub fn packets_min(self) -> u32 {
        self.packets_min
    }

    /// Whether the flows that began in the middle of a TCP connection pass as benign.
    #[must_use]
    pub fn midstream_passes(self) -> bool {
        self.midstream_passes
    }

    /// Whether packet `packet`, counted from 1, of a flow that is midstream or not is classified.
    #[must_use]
    pub fn holds(self, packet: u64, midstream: bool) -> bool {
        let waits = self.packets_min > 1 && packet < self.packets_min.into();
        !(waits || midstream && self.midstream_passes)
    }

    /// The same of the slots behind the features.
    #[must_use]
    pub fn holds_for(self, features: &Features) -> bool {
        let packet = features.value(PACKETS as u64) >> FRACTION_BITS;
        self.holds(packet.cast_unsigned(), features.value(MIDSTREAM as u64) > 0)
    }

    /// As splits before a tree's root: a slot, a threshold, and on which side of it the packet is benign.
    fn splits(self) -> impl Iterator<Item = (u16, i64, Side)> {
        #[expect(clippy::cast_possible_truncation, reason = "a slot's number is below 16")]
        const SLOTS: [u16; 2] = [PACKETS as u16, MIDSTREAM as u16];
        let waits = (self.packets_min > 1).then(|| (SLOTS[0], i64::from(self.packets_min - 1) << FRACTION_BITS, Side::Left));
        let passes = self.midstream_passes.then_some((SLOTS[1], 0, Side::Right));
        waits.into_iter().chain(passes)
    }

    /// How many splits it takes before a tree's root.
    pub(crate) fn splits_count(self) -> usize {
        self.splits().count()
    }

    /// The nodes of a tree with a split for each condition and its benign leaf in front. So what a model does not classify costs nothing where
    /// there is nothing of it, and comes and goes with its tree.
    pub(crate) fn before(self, tree: &[Node]) -> Vec<Node> {
        const SPLIT: u16 = 2;
        let (mut nodes, mut first) = (Vec::with_capacity(tree.len() + 2 * usize::from(SPLIT)), 0);
        for (feature, threshold, benign) in self.splits() {
            let (left, right) = match benign {
                Side::Left => (first + 1, first + SPLIT),
                Side::Right => (first + SPLIT, first + 1),
            };
            nodes.extend([Node::Inner { feature, threshold, left, right }, Node::Leaf { class: 0 }]);
            first += SPLIT;
        }
        nodes.extend(tree.iter().map(|&node| match node {
            Node::Inner { feature, threshold, left, right } => Node::Inner { feature, threshold, left: left + first, right: right + first },
            leaf @ Node::Leaf { .. } => leaf,
        }));
        nodes
    }
}

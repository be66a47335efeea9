//! Random models and features for property tests: feature `proptest`.
//!
//! Thresholds and values are drawn near what traffic has: ports, lengths of 20 to 1,500 bytes, gaps of 1 µs to 100 s, and their means and
//! deviations with fractions; now and then zero, one step around it, and the ends of the range. Shrinking drops splits, then simplifies them.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use treeline_ebpf::Features;
use treeline_ebpf::feature::{FEATURES, FRACTION_BITS};
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX};

use crate::{BENIGN, Model, Node, Precondition};

/// Models of up to 64 leaves, bushy ones and chains down to `DEPTH_MAX`.
pub fn model() -> impl Strategy<Value = Model> {
    model_within(64, DEPTH_MAX)
}

/// Models of at most `leaves_max` leaves (at least 1) and `depth_max` edges of depth, both cut to what the kernel takes.
pub fn model_within(leaves_max: usize, depth_max: usize) -> impl Strategy<Value = Model> {
    let splits_max = leaves_max.clamp(1, NODES_MAX / 2) - 1;
    let splits = vec(split(), 0..=splits_max);
    // How many of two splits go to the newest leaf: none makes a bushy tree, two make a chain as long as the depth allows.
    let skew = 0_u8..=2;
    (2_u16..=4, any::<Index>(), splits, skew).prop_map(move |(classes, root_class, splits, skew)| {
        let mut tree = Growth { nodes: vec![Node::Leaf { class: class(root_class, classes) }], open: vec![(0, 0)], depth_max };
        for split in &splits {
            tree.split(split, skew, classes);
        }
        let names = (0..classes).map(|class| if class == 0 { BENIGN.to_owned() } else { format!("malicious {class}") });
        Model::from_nodes("a random tree", names.collect(), tree.nodes).expect("growing a leaf keeps a tree a tree")
    })
}

/// The models of `models`, half of them waiting for up to four packets of a flow, half of them passing what is midstream.
pub fn passing(models: impl Strategy<Value = Model>) -> impl Strategy<Value = Model> {
    (models, prop_oneof![Just(1_u32), 2_u32..=5], any::<bool>()).prop_map(|(model, packets_min, midstream)| {
        let passing = Precondition::new(packets_min, midstream).and_then(|precondition| model.clone().with_precondition(precondition));
        passing.unwrap_or(model) // No room for questions in front of the deepest trees.
    })
}

/// Feature vectors of typical values, not related to any model.
pub fn features() -> impl Strategy<Value = Features> {
    let values: Vec<_> = (0..FEATURES).map(value).collect();
    values.prop_map(vector)
}

/// Feature vectors of which each value, where `model` asks for it, is mostly a threshold or one step beside it.
pub fn features_near(model: &Model) -> impl Strategy<Value = Features> + use<> {
    let mut thresholds = vec![Vec::new(); FEATURES];
    for node in model.trees().flatten() {
        if let Node::Inner { feature, threshold, .. } = *node {
            thresholds[usize::from(feature)].push(threshold);
        }
    }
    let values = thresholds.into_iter().enumerate().map(|(feature, thresholds)| {
        if thresholds.is_empty() {
            return value(feature);
        }
        let near = (any::<Index>(), -1_i64..=1).prop_map(move |(index, step)| index.get(&thresholds).saturating_add(step).max(0));
        prop_oneof![4 => near, 1 => value(feature)].boxed()
    });
    values.collect::<Vec<_>>().prop_map(vector)
}

struct Growth {
    nodes: Vec<Node>,
    /// Leaves that may be split, with their depth.
    open: Vec<(usize, usize)>,
    depth_max: usize,
}

#[derive(Debug, Clone)]
struct Split {
    leaf: Index,
    /// Below the tree's skew: the newest leaf instead of `leaf`.
    turn: u8,
    feature: u16,
    threshold: i64,
    classes: (Index, Index),
}

impl Growth {
    fn split(&mut self, split: &Split, skew: u8, classes: u16) {
        if self.open.is_empty() {
            return;
        }
        let place = if split.turn < skew { self.open.len() - 1 } else { split.leaf.index(self.open.len()) };
        let (leaf, depth) = self.open.swap_remove(place);
        let (left, right) = (self.nodes.len(), self.nodes.len() + 1);
        self.nodes.extend([split.classes.0, split.classes.1].map(|index| Node::Leaf { class: class(index, classes) }));
        self.nodes[leaf] = Node::Inner { feature: split.feature, threshold: split.threshold, left: narrow(left), right: narrow(right) };
        if depth + 1 < self.depth_max.min(DEPTH_MAX) {
            self.open.extend([(left, depth + 1), (right, depth + 1)]);
        }
    }
}

fn split() -> impl Strategy<Value = Split> {
    (0..FEATURES).prop_flat_map(|feature| {
        (any::<Index>(), 0_u8..2, threshold(feature), any::<(Index, Index)>()).prop_map(move |(leaf, turn, threshold, classes)| Split {
            leaf,
            turn,
            feature: narrow(feature),
            threshold,
            classes,
        })
    })
}

fn threshold(feature: usize) -> BoxedStrategy<i64> {
    prop_oneof![15 => value(feature), 1 => prop_oneof![Just(-1), Just(0), Just(1), Just(i64::MIN), Just(i64::MAX)]].boxed()
}

/// A typical value of `feature`, fixed point, never negative.
fn value(feature: usize) -> BoxedStrategy<i64> {
    match feature {
        0 | 1 => whole(0..=65_535).boxed(),
        2 => prop_oneof![4 => prop_oneof![Just(6), Just(17), Just(1)], 1 => 0_i64..=255].prop_map(|number| number << FRACTION_BITS).boxed(),
        3 => whole(20..=1_500).boxed(),
        4 => gap_ns().prop_map(|ns| ns << FRACTION_BITS).boxed(),
        5 => whole(0..=1).boxed(),
        6 => fractional(20..=1_500).boxed(),
        7 | 10 => (gap_ns(), 0_i64..1 << FRACTION_BITS).prop_map(|(ns, fraction)| (ns << FRACTION_BITS) + fraction).boxed(),
        9 => fractional(0..=740).boxed(),
        _ => fractional(0..=0).boxed(),
    }
}

/// As many gaps between 1 and 10 µs as between 10 and 100 s.
fn gap_ns() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0), 15 => (3_u32..=10, 1_000_i64..10_000).prop_map(|(decade, lead)| lead * 10_i64.pow(decade) / 1_000)]
}

fn whole(range: RangeInclusive<i64>) -> impl Strategy<Value = i64> {
    range.prop_map(|number| number << FRACTION_BITS)
}

fn fractional(range: RangeInclusive<i64>) -> impl Strategy<Value = i64> {
    (range.start() << FRACTION_BITS)..=((range.end() + 1) << FRACTION_BITS)
}

fn vector(values: Vec<i64>) -> Features {
    let mut slots = [0; FEATURES];
    for (slot, value) in slots.iter_mut().zip(values) {
        *slot = value.cast_unsigned();
    }
    Features::from(slots)
}

fn class(index: Index, classes: u16) -> u16 {
    narrow(index.index(usize::from(classes)))
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("below NODES_MAX")
}

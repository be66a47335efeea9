//! Features to verdict: rules 11 and 12, and what leaves no trace.

use treeline_ebpf::{Config, Outcome};
use treeline_sim::reference::{FloatNode, FloatTree, Reference, TreeError};

use super::{cut, frame};
use crate::native::Pair;
use crate::recipe::Recipe;

// Rule 11

fn split(feature: usize, threshold: f64, left: usize, right: usize) -> FloatNode {
    FloatNode::Split { feature, threshold, left, right }
}

#[test]
fn a_benign_leaf_is_benign_and_a_threshold_itself_goes_left() {
    for (threshold, class) in [(27, 4), (28, 0), (29, 0)] {
        let mut pair = Pair::new(Config::default(), &[Ok((3, threshold << 16, 1, 2)), Err(0), Err(4)]);
        assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).outcome, Outcome::Judged(class));
    }
}

#[test]
fn a_tree_of_32_edges_ends_in_its_leaf() {
    // Each split sends a length of 28 right, to the next split; every left child is a leaf of class 1.
    let mut plan: Vec<_> = (0..32).flat_map(|depth| [Ok((3, 27 << 16, 2 * depth + 1, 2 * depth + 2)), Err(1)]).collect();
    plan.push(Err(7));
    let mut pair = Pair::new(Config::default(), &plan);
    assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).outcome, Outcome::Judged(7));
}

#[test]
fn nodes_that_are_no_tree_are_refused() {
    let leaf = FloatNode::Leaf { class: 0 };
    let check = |nodes: Vec<FloatNode>, expect: Option<TreeError>| assert_eq!(FloatTree::new(nodes).err(), expect);
    check(vec![], Some(TreeError::Count { count: 0 }));
    check(vec![leaf; 8_192], None);
    check(vec![leaf; 8_193], Some(TreeError::Count { count: 8_193 }));
    check(vec![split(12, 0.0, 1, 1), leaf], Some(TreeError::Split { node: 0, feature: 12 }));
    check(vec![split(0, f64::NAN, 1, 1), leaf], Some(TreeError::Split { node: 0, feature: 0 }));
    check(vec![split(0, 0.0, 1, 2), leaf], Some(TreeError::Child { node: 0, child: 2 }));
    check(vec![split(0, 0.0, 1, 0), leaf], Some(TreeError::Depth { node: 0 }));
    let chain = |edges: usize| (0..edges).map(|node| split(0, 0.0, node + 1, node + 1)).chain([leaf]).collect();
    check(chain(32), None);
    check(chain(33), Some(TreeError::Depth { node: 32 }));
}

// Rule 12

#[test]
fn only_a_malicious_packet_in_enforce_mode_is_dropped() {
    for (enforce, class, expect) in [(0, 0, false), (0, 1, false), (1, 0, false), (1, 1, true)] {
        let mut pair = Pair::new(Config { enforce, ..Config::default() }, &[Err(class)]);
        assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).dropped, expect);
        assert!(!pair.step(&frame(0, vec![])).dropped);
    }
}

// The engine

#[test]
fn frames_that_are_passed_leave_no_flow() {
    let mut reference = Reference::new(Config::default(), FloatTree::constant(0));
    reference.judge(&frame(0, cut(&Recipe::default(), 40)));
    assert_eq!(reference.flows_count(), 0);
    reference.judge(&frame(0, Recipe::default().bytes()));
    reference.judge(&frame(1, Recipe::default().back().bytes()));
    assert_eq!(reference.flows_count(), 1);
}

//! The quantisation contract: does the fixed-point tree decide as the library does on the float form of every vector?
//!
//! Along one feature both the library's comparison and ours turn once, so two questions a split, at our threshold and one step above it,
//! settle all vectors. Where the library disagrees, and also where the number *as written* would put the turn elsewhere (the library's
//! rounding moved it), the split is listed with a vector that reaches it and goes the other way.

use treeline_ebpf::feature::{FEATURES, NAMES};

use super::TimeUnit;
use super::forest::{Branch, Forest, Tree};
use super::grid::Question;
use crate::Node;
use crate::ensemble::Member;

/// No feature reaches this: the flow's bounds.
const FEATURE_MAX: i64 = (1 << 59) - 1;

/// What a comparison of the imported model with its float form found.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Splits of all trees.
    pub splits: usize,
    /// Splits that the library decides otherwise than the fixed-point tree. Empty: the model is exact on the grid.
    pub inexact: Vec<Witness>,
    /// Splits that the library's rounding moved away from the number written in its file, so that comparing real numbers decides otherwise
    /// than both the library and the fixed-point tree.
    pub moved: Vec<Witness>,
}

/// A split on which float and fixed disagree, and a vector that shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Witness {
    /// The tree.
    pub tree: usize,
    /// The node of the imported tree.
    pub node: usize,
    /// The classifier's feature.
    pub feature: &'static str,
    /// As the library's file has it.
    pub threshold: f64,
    /// Our threshold, fixed point.
    pub fixed: i64,
    /// A vector, fixed point, that reaches the node: fixed point sends it one way, the float form the other.
    pub vector: [i64; FEATURES],
    /// The model's class by the float comparison, an index into its classes.
    pub float_class: u16,
    /// The class by the fixed-point comparison.
    pub fixed_class: u16,
}

impl Contract {
    /// Whether the fixed-point model decides every vector as the library does.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.inexact.is_empty()
    }
}

/// Compares `members` with the forest that they were placed from.
pub(crate) fn check(forest: &Forest, members: &[Member], unit: TimeUnit) -> Contract {
    let mut contract = Contract { splits: 0, inexact: Vec::new(), moved: Vec::new() };
    for (tree, (source, member)) in forest.trees.iter().zip(members).enumerate() {
        // Each node with the vectors that reach it in fixed point: from and to, both included.
        let mut open = vec![(0, [0; FEATURES], [FEATURE_MAX; FEATURES])];
        while let Some((node, from, to)) = open.pop() {
            let (Branch::Split { feature, threshold, strict, .. }, Node::Inner { threshold: fixed, left, right, .. }) =
                (&source.nodes[node], member.nodes[node])
            else {
                continue;
            };
            let (feature, threshold) = (*feature, *threshold);
            contract.splits += 1;
            let question = Question::new(feature, threshold, *strict, forest.precision, unit);
            let ask = |library: fn(&Question, i64) -> bool| {
                let value = disagreement(from[feature], to[feature], fixed, |value| library(&question, value))?;
                let mut vector = from;
                vector[feature] = value;
                let float = |question: &Question, value| library(question, value);
                let classes = (float_class(forest, unit, &vector, float), fixed_class(forest, members, &vector));
                let (float_class, fixed_class) = classes;
                Some(Witness { tree, node, feature: NAMES[feature].0, threshold, fixed, vector, float_class, fixed_class })
            };
            contract.inexact.extend(ask(Question::goes_left));
            contract.moved.extend(ask(|question, value| value <= question.written()));
            let (mut below, mut above) = (to, from);
            below[feature] = to[feature].min(fixed);
            above[feature] = from[feature].max(fixed.saturating_add(1));
            // A side that no vector reaches has nothing to disagree about.
            if above[feature] <= to[feature] {
                open.push((right.into(), above, to));
            }
            if from[feature] <= below[feature] {
                open.push((left.into(), from, below));
            }
        }
    }
    contract
}

/// A value within `from..=to` that `float` and `value <= fixed` send different ways. Both turn once along the values.
fn disagreement(from: i64, to: i64, fixed: i64, float: impl Fn(i64) -> bool) -> Option<i64> {
    let ends = [fixed.clamp(from, to), fixed.saturating_add(1).clamp(from, to)];
    ends.into_iter().find(|&value| float(value) != (value <= fixed))
}

fn float_class(forest: &Forest, unit: TimeUnit, vector: &[i64; FEATURES], goes_left: impl Fn(&Question, i64) -> bool) -> u16 {
    let leaf = |tree: &'_ Tree| -> usize {
        let mut node = 0;
        loop {
            match &tree.nodes[node] {
                Branch::Leaf(_) => return node,
                &Branch::Split { feature, threshold, strict, left, right } => {
                    let question = Question::new(feature, threshold, strict, forest.precision, unit);
                    node = if goes_left(&question, vector[feature]) { left } else { right };
                }
            }
        }
    };
    forest.vote.class(forest.trees.iter().map(|tree| match &tree.nodes[leaf(tree)] {
        Branch::Leaf(values) => (tree.output, values.as_slice()),
        Branch::Split { .. } => unreachable!("the walk ends in a leaf"),
    }))
}

fn fixed_class(forest: &Forest, members: &[Member], vector: &[i64; FEATURES]) -> u16 {
    forest.vote.class(members.iter().map(|member| (member.output, member.descend(vector))))
}

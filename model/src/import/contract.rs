//! The quantisation contract: does the fixed-point tree decide as the library does on the float form of every vector?
//!
//! Along one feature both the library's comparison and ours turn once, so two questions a split, at our threshold and one step above it,
//! settle all vectors. Where the library disagrees, and also where the number *as written* would put the turn elsewhere (the library's
//! rounding moved it) and a value that the feature can have lies between, the split is listed with a vector that reaches it and goes the other
//! way. Thresholds that divide none of a feature's values are listed too: they seldom mean what was trained.

use treeline_ebpf::feature::{FEATURES, FRACTION_BITS, NAMES};

use super::TimeUnit;
use super::forest::{Branch, Column, Forest, Tree};
use super::grid::Question;
use super::reach::Reach;
use crate::Node;
use crate::vote::Estimator;

/// No feature reaches this: the flow's bounds.
const FEATURE_MAX: i64 = (1 << 59) - 1;
/// Gaps of real traffic divide at this and above, fixed-point ns: 1 ms.
const GAP_USUAL: i64 = 1_000_000 << FRACTION_BITS;

/// What a comparison of the imported model with its float form found.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Splits of all trees.
    pub splits: usize,
    /// Splits that the library decides otherwise than the fixed-point tree. Empty: the model is exact on the grid.
    pub inexact: Vec<Witness>,
    /// Splits that the library's rounding moved away from the number written in its file, so that comparing real numbers decides otherwise
    /// than both the library and the fixed-point tree. Only where a value that the feature can have lies between the two.
    pub moved: Vec<Witness>,
    /// Splits whose threshold lies outside of what the feature can be: all packets go one way.
    pub unreachable: Vec<Unreachable>,
    /// The largest threshold on a time, as the file has it, if all of them lie below 1 ms: in another unit they would not.
    pub short_times: Option<f64>,
}

/// A split that no value of its feature divides.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreachable {
    /// The tree.
    pub tree: usize,
    /// The node of the imported tree.
    pub node: usize,
    /// The classifier's feature.
    pub feature: &'static str,
    /// As the library's file has it.
    pub threshold: f64,
    /// The smallest and the largest value of the feature, as the model's columns have it.
    pub range: (f64, f64),
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
pub(crate) fn check(forest: &Forest, members: &[Estimator], unit: TimeUnit) -> Contract {
    let (unreachable, short_times) = (unreachable(forest, unit), short_times(forest, unit));
    let mut contract = Contract { splits: 0, inexact: Vec::new(), moved: Vec::new(), unreachable, short_times };
    for (tree, (source, member)) in forest.trees.iter().zip(members).enumerate() {
        // Each node with the vectors that reach it in fixed point: from and to, both included.
        let mut open = vec![(0, [0; FEATURES], [FEATURE_MAX; FEATURES])];
        while let Some((node, from, to)) = open.pop() {
            let (Branch::Split { feature, threshold, strict, .. }, Node::Inner { threshold: fixed, left, right, .. }) =
                (&source.nodes[node], member.nodes[node])
            else {
                continue;
            };
            let (column, threshold) = (forest.columns[*feature], *threshold);
            let feature = column.feature;
            contract.splits += 1;
            let question = Question::new(column, threshold, *strict, forest.precision, unit);
            let witness = |library: fn(&Question, i64) -> bool, vector: [i64; FEATURES]| {
                let classes = (float_class(forest, unit, &vector, library), fixed_class(forest, members, &vector));
                let (float_class, fixed_class) = classes;
                Witness { tree, node, feature: NAMES[feature].0, threshold, fixed, vector, float_class, fixed_class }
            };
            if let Some(value) = disagreement(from[feature], to[feature], fixed, |value| question.goes_left(value)) {
                let mut vector = from;
                vector[feature] = value;
                contract.inexact.push(witness(Question::goes_left, vector));
            }
            let as_written: fn(&Question, i64) -> bool = |question, value| value <= question.written();
            contract.moved.extend(between(&from, &to, feature, fixed, question.written()).map(|vector| witness(as_written, vector)));
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

/// A vector that packets can have, within `from` and `to`, whose `feature` is above the lower and not above the higher of two thresholds.
fn between(from: &[i64; FEATURES], to: &[i64; FEATURES], feature: usize, fixed: i64, written: i64) -> Option<[i64; FEATURES]> {
    let (low, high) = (fixed.min(written), fixed.max(written));
    let mut vector = [0; FEATURES];
    for (place, value) in vector.iter_mut().enumerate() {
        let (first, last) = if place == feature { (low.saturating_add(1), high) } else { (0, FEATURE_MAX) };
        *value = Reach::of(place).value_within(from[place].max(first), to[place].min(last))?;
    }
    Some(vector)
}

/// The splits of all trees with what they are asked of, in the order of the file.
fn splits(forest: &Forest, unit: TimeUnit) -> impl Iterator<Item = (usize, usize, Column, Question)> + '_ {
    forest.trees.iter().enumerate().flat_map(move |(tree, source)| {
        source.nodes.iter().enumerate().filter_map(move |(node, branch)| match *branch {
            Branch::Split { feature, threshold, strict, .. } => {
                let column = forest.columns[feature];
                Some((tree, node, column, Question::new(column, threshold, strict, forest.precision, unit)))
            }
            Branch::Leaf(_) => None,
        })
    })
}

/// What to know of columns of integers beyond 2^53: the 32-bit number nearest to an integer is not always that of its nearest 64-bit number.
pub(crate) fn depends_on_width(forest: &Forest, unit: TimeUnit) -> Option<String> {
    let count = splits(forest, unit).filter(|(.., question)| question.depends_on_width()).count();
    (count > 0).then(|| {
        format!(
            "{count} thresholds on integers lie beyond 2^53: as the library decides when it is given the integers as 64-bit floats; given as integers, \
             a few values beside the threshold may go the other way"
        )
    })
}

fn unreachable(forest: &Forest, unit: TimeUnit) -> Vec<Unreachable> {
    let outside = splits(forest, unit).filter(|(_, _, column, question)| !Reach::of(column.feature).is_divided_by(question.last_left()));
    let told = outside.map(|(tree, node, column, question)| {
        let reach = Reach::of(column.feature);
        let range = (question.real(reach.first), question.real(reach.last));
        Unreachable { tree, node, feature: NAMES[column.feature].0, threshold: question.threshold, range }
    });
    told.collect()
}

fn short_times(forest: &Forest, unit: TimeUnit) -> Option<f64> {
    let times = splits(forest, unit).filter(|(_, _, column, _)| column.is_time()).map(|(.., question)| question);
    let largest = times.max_by_key(Question::last_left)?;
    (largest.last_left() < GAP_USUAL).then_some(largest.threshold)
}

fn float_class(forest: &Forest, unit: TimeUnit, vector: &[i64; FEATURES], goes_left: fn(&Question, i64) -> bool) -> u16 {
    let leaf = |tree: &'_ Tree| -> usize {
        let mut node = 0;
        loop {
            match &tree.nodes[node] {
                Branch::Leaf(_) => return node,
                &Branch::Split { feature, threshold, strict, left, right } => {
                    let column = forest.columns[feature];
                    let question = Question::new(column, threshold, strict, forest.precision, unit);
                    node = if goes_left(&question, vector[column.feature]) { left } else { right };
                }
            }
        }
    };
    forest.vote.class(forest.trees.iter().map(|tree| match &tree.nodes[leaf(tree)] {
        Branch::Leaf(values) => (tree.output, values.as_slice()),
        Branch::Split { .. } => unreachable!("the walk ends in a leaf"),
    }))
}

fn fixed_class(forest: &Forest, members: &[Estimator], vector: &[i64; FEATURES]) -> u16 {
    forest.vote.class(members.iter().map(|member| (member.output, member.descend(vector))))
}

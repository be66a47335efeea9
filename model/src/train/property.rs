//! What holds for every table, tried on small random ones against exact arithmetic, and on hostile ones.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use treeline_ebpf::feature::FEATURES;

use super::{Error, Grown, Progress, Settings, Table, grow};
use crate::{BENIGN, Model, Node};

fn grown(table: &Table, settings: &Settings) -> Result<Grown, Error> {
    grow(table, settings, |_| ControlFlow::Continue(()))
}

/// The growth done again, slowly and in exact fractions: at each step every threshold of every open leaf is tried, and the rows are counted again each time.
mod slow {
    use super::*;

    /// A leaf that may be split.
    #[derive(Debug)]
    struct Leaf {
        depth: usize,
        rows: Vec<usize>,
        node: usize,
    }

    /// A fraction of a positive denominator.
    type Fraction = (i128, i128);

    fn add(a: Fraction, b: Fraction) -> Fraction {
        (a.0 * b.1 + b.0 * a.1, a.1 * b.1)
    }

    fn compare(a: Fraction, b: Fraction) -> Ordering {
        (a.0 * b.1).cmp(&(b.0 * a.1))
    }

    /// Asserts that each split of `nodes`, in the order in which they were made, gains as much as any could, and that none is missing.
    pub fn assert_greedy(table: &Table, settings: &Settings, nodes: &[Node]) {
        let rows: Vec<usize> = (0..table.len()).filter(|&row| table.weights[row] > 0.0).collect();
        let mut leaves = vec![Leaf { depth: 0, rows, node: 0 }];
        loop {
            let best = leaves.iter().flat_map(|leaf| gains(table, leaf, settings)).max_by(|a, b| compare(*a, *b));
            let next = 2 * leaves.len() - 1;
            let split = nodes.iter().enumerate().find_map(|(node, kind)| match *kind {
                Node::Inner { feature, threshold, left, right } if usize::from(left) == next => {
                    assert_eq!(right, left + 1);
                    Some((node, usize::from(feature), threshold))
                }
                _ => None,
            });
            match (best, split) {
                (Some(best), Some((node, feature, threshold))) => {
                    let place = leaves.iter().position(|leaf| leaf.node == node).expect("an open leaf is split");
                    let leaf = leaves.remove(place);
                    assert!(thresholds(table, &leaf.rows, feature).contains(&threshold), "node {node}: {feature} {threshold}");
                    let sides = sides(table, &leaf.rows, feature, threshold);
                    assert_eq!(compare(gain(table, &leaf.rows, &sides), best), Ordering::Equal, "node {node} is split, another gains more");
                    leaves.extend(sides.into_iter().zip(next..).map(|(rows, node)| Leaf { depth: leaf.depth + 1, rows, node }));
                }
                (best, None) => return assert!(best.is_none() || leaves.len() == settings.leaves_max, "another split gains {best:?}"),
                (None, Some((node, ..))) => panic!("node {node} cannot be split"),
            }
        }
    }

    /// What each possible split of a leaf gains.
    fn gains(table: &Table, leaf: &Leaf, settings: &Settings) -> Vec<Fraction> {
        if leaf.depth == settings.depth_max || impurity(table, &leaf.rows).0 == 0 {
            return vec![];
        }
        let cuts =
            (0..FEATURES).flat_map(|feature| thresholds(table, &leaf.rows, feature).into_iter().map(move |threshold| (feature, threshold)));
        let sides = cuts.map(|(feature, threshold)| sides(table, &leaf.rows, feature, threshold));
        let allowed = sides.filter(|sides| sides.iter().all(|rows| rows.len() >= settings.leaf_rows_min));
        allowed.map(|sides| gain(table, &leaf.rows, &sides)).collect()
    }

    fn gain(table: &Table, rows: &[usize], [left, right]: &[Vec<usize>; 2]) -> Fraction {
        let remains = add(impurity(table, left), impurity(table, right));
        add(impurity(table, rows), (-remains.0, remains.1))
    }

    /// The grid's points halfway between neighbouring values.
    fn thresholds(table: &Table, rows: &[usize], feature: usize) -> Vec<i64> {
        let values: BTreeSet<i64> = rows.iter().map(|&row| table.columns[feature][row]).collect();
        let values: Vec<i128> = values.into_iter().map(i128::from).collect();
        // In 128 bits nothing overflows, and a shift rounds down.
        values.windows(2).map(|pair| i64::try_from((pair[0] + pair[1]) >> 1).expect("between two")).collect()
    }

    fn sides(table: &Table, rows: &[usize], feature: usize, threshold: i64) -> [Vec<usize>; 2] {
        let (left, right) = rows.iter().partition(|&&row| table.columns[feature][row] <= threshold);
        [left, right]
    }

    /// Gini's impurity times the weight: (weight² - squares) / weight, in quarters, of which all weights here are multiples.
    fn impurity(table: &Table, rows: &[usize]) -> Fraction {
        #[expect(clippy::cast_possible_truncation, reason = "the weights of this file are small")]
        let quarters =
            |class| rows.iter().filter(|&&row| table.classes[row] == class).map(|&row| (table.weights[row] * 4.0) as i128).sum::<i128>();
        let (weight, squares) = (0..4).map(quarters).fold((0, 0), |(weight, squares), sum| (weight + sum, squares + sum * sum));
        (weight * weight - squares, weight)
    }
}

/// Values of which some are equal, some neighbours, and some so far apart that their difference has 65 bits.
fn value() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -3_i64..4, 2 => (0_i64..9).prop_map(|port| port << 16), 1 => any::<i64>(), 1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)]]
}

fn weight() -> impl Strategy<Value = f32> {
    prop_oneof![4 => Just(1.0), 2 => (0_u8..9).prop_map(|quarters| f32::from(quarters) / 4.0)]
}

fn table(rows_max: usize) -> impl Strategy<Value = Table> {
    let row = (proptest::array::uniform12(value()), 0_u16..4, weight());
    let tables = vec(row, 1..=rows_max).prop_map(Table::from_iter);
    tables.prop_filter("a row must count", |table| table.weights.iter().any(|&weight| weight > 0.0))
}

fn settings() -> impl Strategy<Value = Settings> {
    let seed = prop_oneof![Just(None), any::<u64>().prop_map(Some)];
    let leaf_rows_min = prop_oneof![2 => Just(1), 1 => 1_usize..6];
    let parts = (0_usize..6, 1_usize..24, leaf_rows_min, seed);
    parts.prop_map(|(depth_max, leaves_max, leaf_rows_min, seed)| Settings { depth_max, leaves_max, leaf_rows_min, seed })
}

/// The leaf that a row reaches.
fn leaf(nodes: &[Node], features: &[i64; FEATURES]) -> usize {
    let mut index = 0;
    while let Node::Inner { feature, threshold, left, right } = nodes[index] {
        index = if features[usize::from(feature)] <= threshold { left } else { right }.into();
    }
    index
}

/// A tree that the model takes, with details that its rows bear out.
fn assert_sound(table: &Table, settings: &Settings, grown: &Grown) {
    let classes = (0..4).map(|class| if class == 0 { BENIGN.to_owned() } else { class.to_string() }).collect();
    let model = Model::from_nodes("", classes, grown.nodes.clone()).unwrap_or_else(|error| panic!("{error}"));
    assert!(model.depth() <= settings.depth_max && model.leaves() <= settings.leaves_max);
    let mut counts = vec![0; grown.nodes.len()];
    (0..table.len()).filter(|&row| table.weights[row] > 0.0).for_each(|row| counts[leaf(&grown.nodes, &table.features(row))] += 1);
    for ((node, detail), count) in grown.nodes.iter().zip(&grown.details).zip(counts) {
        assert!((0.0..=1.0).contains(&detail.impurity) && detail.decrease > -1e-12, "{detail:?}");
        if let Node::Leaf { class } = node {
            assert_eq!(count, detail.rows_count);
            assert!(
                (count >= settings.leaf_rows_min || grown.nodes.len() == 1)
                    && detail.weights.iter().all(|&sum| sum <= detail.weights[usize::from(*class)])
            );
        }
    }
}

proptest! {
    #[test]
    fn each_split_gains_as_much_as_any_could(table in table(30), settings in settings()) {
        slow::assert_greedy(&table, &settings, &grown(&table, &settings).expect("a tree").nodes);
    }

    #[test]
    fn every_tree_is_sound(table in table(120), settings in settings()) {
        assert_sound(&table, &settings, &grown(&table, &settings).expect("a tree"));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(table in table(120), settings in settings()) {
        let turned = (0..table.len()).rev().map(|row| (table.features(row), table.classes[row], table.weights[row])).collect();
        prop_assert_eq!(grown(&table, &settings), grown(&turned, &settings));
    }

    #[test]
    fn a_weight_of_two_is_the_row_twice(table in table(60), settings in settings()) {
        // A row doubled is two rows of a leaf.
        let settings = Settings { leaf_rows_min: 1, ..settings };
        let (mut weighed, mut doubled) = (Table::default(), Table::default());
        for row in 0..table.len() {
            let twice = table.weights[row] >= 1.0;
            weighed.push(table.features(row), table.classes[row], if twice { 2.0 } else { 1.0 });
            (0..=usize::from(twice)).for_each(|_| doubled.push(table.features(row), table.classes[row], 1.0));
        }
        prop_assert_eq!(grown(&weighed, &settings).expect("a tree").nodes, grown(&doubled, &settings).expect("a tree").nodes);
    }
}

/// 5,000 rows with few values a column, so that there are ties in plenty.
fn large() -> Table {
    let mut table = Table::default();
    let mut state = 7_u64;
    for _ in 0..5000 {
        let mut draw = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % end).cast_signed()
        };
        let features = std::array::from_fn(|feature| draw(if feature < 6 { 7 } else { 1 << 30 }));
        let class = u16::try_from((features[0] + features[7] / (1 << 28) + draw(3)) % 3).expect("three classes");
        table.push(features, class, 0.1 + f32::from(class));
    }
    table
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let table = large();
    let settings = Settings { seed: Some(3), ..Settings::default() };
    let trees = [1, 2, 3, 16].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| grown(&table, &settings)).expect("a tree")
    });
    assert!(trees[0].nodes.len() > 500, "{} nodes", trees[0].nodes.len());
    assert!(trees.iter().all(|tree| *tree == trees[0]));
}

#[test]
fn the_seed_decides_between_equal_columns() {
    let table = (0..10).map(|row| ([row; FEATURES], u16::from(row > 4), 1.0)).collect();
    let root = |seed| match grown(&table, &Settings { seed, ..Settings::default() }).expect("a tree").nodes[0] {
        Node::Inner { feature, threshold: 4, .. } => feature,
        node => panic!("{node:?}"),
    };
    assert_eq!(root(None), 0);
    let drawn: BTreeSet<u16> = (0..200).map(|seed| root(Some(seed))).collect();
    assert_eq!(drawn.len(), FEATURES);
    assert_eq!(root(Some(5)), root(Some(5)));
}

#[test]
fn rows_that_cannot_be_told_apart_give_one_leaf_of_the_majority() {
    let rows = [(0, 1.0), (2, 1.5), (1, 0.75), (1, 0.75), (3, 0.0)];
    let table = rows.into_iter().map(|(class, weight)| ([i64::MIN; FEATURES], class, weight)).collect();
    let tree = grown(&table, &Settings::default()).expect("a tree");
    assert_eq!(tree.nodes, [Node::Leaf { class: 1 }], "of equal weights, the first class");
    assert!(tree.importances().iter().all(|&share| share == 0.0));
}

#[test]
fn one_class_gives_one_leaf() {
    let table = (0..100).map(|row| ([row; FEATURES], 3, 1.0)).collect();
    assert_eq!(grown(&table, &Settings::default()).expect("a tree").nodes, [Node::Leaf { class: 3 }]);
}

#[test]
fn the_ends_of_the_range_are_split_halfway() {
    let rows = [([i64::MIN; FEATURES], 0, 1.0), ([i64::MAX; FEATURES], 1, 1.0)];
    let mut table = Table::from_iter(rows);
    let tree = grown(&table, &Settings::default()).expect("a tree");
    assert!(matches!(tree.nodes[0], Node::Inner { threshold: -1, .. }), "{:?}", tree.nodes);
    table.columns[0] = vec![-2, -1];
    let tree = grown(&table, &Settings::default()).expect("a tree");
    assert!(matches!(tree.nodes[0], Node::Inner { feature: 0, threshold: -2, .. }), "{:?}", tree.nodes);
}

#[test]
fn a_split_without_gain_opens_the_way_to_one_with() {
    let mut table = Table::default();
    for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut features = [0; FEATURES];
        (features[3], features[8]) = (x, y);
        table.push(features, u16::from(x != y), 1.0);
    }
    let tree = grown(&table, &Settings::default()).expect("a tree");
    assert_eq!(tree.nodes.len(), 7);
    assert!(tree.impurity() == 0.0);
}

#[test]
fn weights_of_any_size_give_a_tree() {
    for weights in [[f32::MAX; 6], [f32::from_bits(1); 6], [f32::MAX, 1.0, f32::MIN_POSITIVE, f32::from_bits(1), 0.0, 1e30]] {
        let table = (0..6).zip(weights).map(|(row, weight)| ([row; FEATURES], u16::from(row % 2 == 0), weight)).collect();
        let settings = Settings::default();
        let tree = grown(&table, &settings).expect("a tree");
        assert!(tree.nodes.len() > 1);
        assert!(tree.details.iter().all(|detail| detail.impurity.is_finite() && detail.decrease.is_finite()));
    }
}

#[test]
fn progress_reaches_its_end_and_never_goes_back() {
    let mut seen = Vec::new();
    let settings = Settings { leaves_max: 4096, depth_max: 32, ..Settings::default() };
    let keep = |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    grow(&large(), &settings, keep).expect("a tree");
    assert!(seen.is_sorted_by_key(|progress: &Progress| progress.done));
    let last = seen.last().expect("a report");
    assert_eq!(last.done, last.total);
}

#[test]
fn a_training_ends_when_it_is_told_to() {
    let mut calls = 0;
    let break_later = |_| {
        calls += 1;
        if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(grow(&large(), &Settings::default(), break_later), Err(Error::Cancelled));
    assert_eq!(calls, 5);
}

#[test]
fn what_gives_no_tree_is_refused_by_name() {
    let check = |change: fn(&mut Table, &mut Settings), text: &str| {
        let mut table: Table = (0..3).map(|row| ([row; FEATURES], 0, 1.0)).collect();
        let mut settings = Settings::default();
        change(&mut table, &mut settings);
        assert_eq!(grown(&table, &settings).expect_err(text).to_string(), text);
    };
    check(|table, _| *table = Table::default(), "the table has no rows; give labelled rows");
    check(|table, _| table.columns[4].clear(), "column gap: 0 rows, expected 3 as in the other columns");
    check(|table, _| table.weights.push(1.0), "column weight: 4 rows, expected 3 as in the other columns");
    check(
        |table, _| table.classes[1] = 256,
        "row 1: class 256, expected below 256; number the classes from 0 without gaps, or merge classes",
    );
    check(|table, _| table.weights[2] = -1.0, "row 2: weight -1, expected a number of 0 or more");
    check(|table, _| table.weights[0] = f32::NAN, "row 0: weight NaN, expected a number of 0 or more");
    check(|table, _| table.weights[0] = f32::INFINITY, "row 0: weight inf, expected a number of 0 or more");
    check(|table, _| table.weights.fill(0.0), "all 3 rows have weight 0; give at least one row a weight");
    check(|_, settings| settings.depth_max = 33, "depth of 33, expected at most 32");
    check(|_, settings| settings.leaves_max = 0, "0 leaves, expected 1 to 4096");
    check(|_, settings| settings.leaf_rows_min = 0, "0 rows a leaf, expected at least 1");
    check(|_, settings| settings.leaves_max = 4097, "4097 leaves, expected 1 to 4096");
}

#[test]
fn balanced_classes_weigh_the_same() {
    let rows = [0, 0, 0, 0, 0, 0, 5, 5, 7].map(|class| ([0; FEATURES], class, 1.0));
    let mut table = Table::from_iter(rows);
    table.push([0; FEATURES], 9, 0.0);
    table.balance();
    assert_eq!(table.weights, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 3.0, 0.0]);
}

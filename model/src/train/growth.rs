//! Best-first growth: of all open nodes, the one whose best split gains most is split next.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use rayon::prelude::*;
use treeline_ebpf::feature::FEATURES;
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX};

use super::order::{self, place};
use super::split::{self, Cut, Side};
use super::weight::{self, Row};
use super::{Detail, Error, Grown, Table};
use crate::Node;

/// How far a tree may grow. The defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Edges between the root and the deepest leaf, at most.
    pub depth_max: usize,
    /// Leaves, at most.
    pub leaves_max: usize,
    /// Rows of a leaf, at least; 1 or more.
    pub leaf_rows_min: usize,
    /// Draws the order in which columns win ties; without it, the order of the features.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { depth_max: 10, leaves_max: 1000, leaf_rows_min: 1, seed: None }
    }
}

/// Work done, in passes over a row; an estimate that jumps ahead where nodes become pure early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// Until the end.
    pub total: u64,
}

/// Grows a tree from `table`.
///
/// `progress` is called on this thread, after each sorted batch of columns and after each split; when it breaks, the training ends with [`Error::Cancelled`].
/// The same table and settings always give the same tree. Beside the table, this takes about 75 bytes a row, and while columns are sorted up to 2.5 GiB more
/// (at least one column's share, 24 bytes a row).
pub fn grow(table: &Table, settings: &Settings, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Grown, Error> {
    if settings.depth_max > DEPTH_MAX {
        return Err(Error::Depth { found: settings.depth_max });
    }
    if !(1..=NODES_MAX / 2).contains(&settings.leaves_max) {
        return Err(Error::Leaves { found: settings.leaves_max });
    }
    if settings.leaf_rows_min == 0 {
        return Err(Error::LeafRows);
    }
    let mut report = |progress_now| match progress(progress_now) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    };
    let mut growth = Growth::new(table, settings, &mut report)?;
    growth.plant();
    while let Some(open) = growth.frontier.pop() {
        if growth.leaves_count() == settings.leaves_max {
            break;
        }
        growth.split(&open);
        report(growth.progress)?;
    }
    Ok(Grown { nodes: growth.nodes, details: growth.details })
}

struct Growth<'a> {
    table: &'a Table,
    settings: &'a Settings,
    /// The features in the order in which they win ties.
    features: [usize; FEATURES],
    /// The column of each of `features`, sorted within each open node.
    orders: Vec<Vec<u32>>,
    /// The rows by place. A node's rows lie side by side.
    rows: Vec<Row>,
    /// The table's row at each place.
    origin: Vec<u32>,
    /// Scratch memory: where a place moves when its node is split.
    target: Vec<u32>,
    nodes: Vec<Node>,
    details: Vec<Detail>,
    frontier: BinaryHeap<Open>,
    progress: Progress,
}

/// A node that can be split.
struct Open {
    node: usize,
    depth: usize,
    /// The places of its rows.
    places: Range<usize>,
    /// Bit i: the column of `features[i]` can be cut here; where it cannot, it cannot further down.
    varied: u16,
    /// The best split: the index into `features`, and where.
    column: usize,
    cut: Cut,
    gain: f64,
}

impl<'a> Growth<'a> {
    /// Passes over a row that sorting all columns is about as long as.
    const SORT_PASSES: u64 = 3;
    /// Bytes for the sorting of columns side by side.
    const SORT_BYTES_MAX: usize = 5 << 29;

    fn new(table: &'a Table, settings: &'a Settings, report: &mut impl FnMut(Progress) -> Result<(), Error>) -> Result<Self, Error> {
        let classes = table.check()?;
        let (rows, origin) = weight::rows(table)?;
        let features = tie_order(settings.seed);
        let count = rows.len() as u64;
        let mut progress = Progress { done: 0, total: count * (settings.depth_max as u64 + Self::SORT_PASSES) };
        let batch = (Self::SORT_BYTES_MAX / (rows.len() * order::SORT_BYTES)).clamp(1, FEATURES);
        let mut orders = Vec::with_capacity(FEATURES);
        for features in features.chunks(batch) {
            orders.par_extend(features.par_iter().map(|&feature| order::sort(&table.columns[feature], &origin)));
            progress.done = count * Self::SORT_PASSES * orders.len() as u64 / FEATURES as u64;
            report(progress)?;
        }
        let target = vec![0; rows.len()];
        let sums = weight::sums(&rows, classes);
        let (nodes, details, frontier) = (vec![], vec![], BinaryHeap::new());
        let mut growth = Self { table, settings, features, orders, rows, origin, target, nodes, details, frontier, progress };
        growth.add(growth.rows.len(), sums);
        Ok(growth)
    }

    fn leaves_count(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// Opens the root, if it can be split. Its rows stay where they are, as if all went to the left of a node above.
    fn plant(&mut self) {
        let places = 0..self.rows.len();
        if self.is_divisible(0, 0) {
            let cuts = self.search(&places, places.end, u16::MAX, [Some(0), None]);
            self.open(0, 0, places, cuts.iter().map(|cuts| cuts[0]));
        }
    }

    /// Splits a node in two leaves, and opens those that can be split.
    fn split(&mut self, open: &Open) {
        let Open { node, depth, ref places, column, cut, gain, .. } = *open;
        let (places, middle) = (places.clone(), places.start + cut.left_count);
        let entries = &self.orders[column][places.clone()];
        let value = |entry| self.table.columns[self.features[column]][self.origin[place(entry)] as usize];
        let threshold = between(value(entries[cut.left_count - 1]), value(entries[cut.left_count]));
        let moved: Vec<Row> = entries.iter().map(|&entry| self.rows[place(entry)]).collect();
        let (left_rows, right_rows) = moved.split_at(cut.left_count);
        let classes = self.details[node].weights.len();
        let left = self.add(left_rows.len(), weight::sums(left_rows, classes));
        let right = self.add(right_rows.len(), weight::sums(right_rows, classes));
        self.nodes[node] = Node::Inner { feature: narrow(self.features[column]), threshold, left: narrow(left), right: narrow(right) };
        self.details[node].decrease = gain;

        let depth = depth + 1;
        let children = [left, right].map(|child| self.is_divisible(child, depth).then_some(child));
        self.count(&[node, left, right], depth, children);
        if children == [None; 2] || self.leaves_count() == self.settings.leaves_max {
            return;
        }
        self.renumber(&places, column, &moved);
        drop(moved);
        let cuts = self.search(&places, middle, open.varied, children);
        for (side, places) in [places.start..middle, middle..places.end].into_iter().enumerate() {
            if let Some(child) = children[side] {
                self.open(child, depth, places, cuts.iter().map(|cuts| cuts[side]));
            }
        }
    }

    /// Adds a leaf, and gives its index.
    fn add(&mut self, rows_count: usize, weights: Vec<f64>) -> usize {
        let impurity = Side::of(&weights).impurity;
        self.nodes.push(Node::Leaf { class: weight::majority(&weights) });
        self.details.push(Detail { rows_count, weights, impurity, decrease: 0.0 });
        self.nodes.len() - 1
    }

    /// Whether a split of `node` is looked for. As in scikit-learn, a split that gains nothing is good enough: the next one may gain.
    fn is_divisible(&self, node: usize, depth: usize) -> bool {
        depth < self.settings.depth_max && self.details[node].impurity > f64::EPSILON
    }

    /// Moves a node's rows to the order of `column`, so that those of each child lie side by side.
    fn renumber(&mut self, places: &Range<usize>, column: usize, moved: &[Row]) {
        let entries = &self.orders[column][places.clone()];
        let origin: Vec<u32> = entries.iter().map(|&entry| self.origin[place(entry)]).collect();
        for (&entry, to) in entries.iter().zip(places.clone()) {
            self.target[place(entry)] = u32::try_from(to).expect("below ROWS_MAX");
        }
        self.rows[places.clone()].copy_from_slice(moved);
        self.origin[places.clone()].copy_from_slice(&origin);
    }

    /// Sorts every column into a node's children, and finds each child's best split by each column.
    fn search(&mut self, places: &Range<usize>, middle: usize, varied: u16, children: [Option<usize>; 2]) -> Vec<[Option<Cut>; 2]> {
        let Self { orders, rows, target, details, settings, .. } = self;
        // Few rows are faster searched than shared out.
        let columns_min = if places.len() < 2048 { FEATURES } else { 1 };
        let columns = orders.par_iter_mut().with_min_len(columns_min).enumerate();
        let cuts = columns.map_init(Vec::new, |spare, (column, entries)| {
            if varied & (1 << column) == 0 {
                return [None; 2];
            }
            let entries = &mut entries[places.clone()];
            if middle < places.end {
                order::partition(entries, target, middle, spare);
            }
            let (left, right) = entries.split_at(middle - places.start);
            let best = |child: Option<usize>, entries| split::best(entries, rows, &details[child?].weights, settings.leaf_rows_min);
            [best(children[0], left), best(children[1], right)]
        });
        cuts.collect()
    }

    /// Puts a node on the frontier with the best of `cuts`, which are by column; a column without a cut is constant here and below.
    fn open(&mut self, node: usize, depth: usize, places: Range<usize>, cuts: impl Iterator<Item = Option<Cut>>) {
        let mut varied = 0;
        let mut best: Option<(usize, Cut)> = None;
        for (column, cut) in cuts.enumerate().filter_map(|(column, cut)| Some((column, cut?))) {
            varied |= 1 << column;
            if best.is_none_or(|(_, best)| cut.score > best.score) {
                best = Some((column, cut));
            }
        }
        if let Some((column, cut)) = best {
            let side = |node: usize| Side::of(&self.details[node].weights);
            let gain = split::gain(side(0).weight, side(node), cut.sides);
            self.frontier.push(Open { node, depth, places, varied, column, cut, gain });
        }
    }

    /// Counts a split as done, and what a child that stays a leaf spares.
    fn count(&mut self, nodes: &[usize; 3], depth: usize, children: [Option<usize>; 2]) {
        let rows = |node: usize| self.details[node].rows_count as u64;
        let leaves = nodes[1..].iter().zip(children).filter(|(_, child)| child.is_none());
        let spared: u64 = leaves.map(|(&leaf, _)| rows(leaf) * (self.settings.depth_max - depth) as u64).sum();
        self.progress.done += rows(nodes[0]) + spared;
    }
}

/// Halfway from `low` to `high`, rounded down: at least `low` and less than `high`.
fn between(low: i64, high: i64) -> i64 {
    low.saturating_add_unsigned(high.abs_diff(low) / 2)
}

/// The features' order, or one drawn by `seed`.
fn tie_order(seed: Option<u64>) -> [usize; FEATURES] {
    let mut features = std::array::from_fn(|feature| feature);
    if let Some(seed) = seed {
        // SplitMix64 (Steele, Lea, Flood 2014), and a Fisher-Yates shuffle; a bias of 12 in 2^64 does not matter.
        let mut state = seed;
        for last in (1..FEATURES).rev() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (mixed ^ (mixed >> 31)) % (last as u64 + 1);
            features.swap(last, usize::try_from(drawn).expect("below FEATURES"));
        }
    }
    features
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("below NODES_MAX")
}

/// By gain; of equal gains, the node that was made first.
impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Open {}

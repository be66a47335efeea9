//! The best split of a node: Gini's impurity, and one pass over a column.

use super::order::{START, place};
use super::weight::Row;

/// A way to split a node by one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// How many of the node's rows go left.
    pub(super) left_count: usize,
    /// The left and the right side.
    pub(super) sides: [Side; 2],
    /// What remains of the impurity: the impurities of both sides times their weights, negative, so that greater is better.
    pub(super) score: f64,
}

/// A set of rows: all that Gini's criterion asks of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) weight: f64,
    pub(super) impurity: f64,
}

impl Side {
    /// Rows of `weight` in total, of which the squares of the classes' weights sum to `squares`. The impurity is the chance that two rows, drawn by weight,
    /// differ in class.
    ///
    /// The order of the operations here, in the score and in [`gain`] is that of scikit-learn (`sklearn/tree/_criterion.pyx`, `Gini`), so that equal counts give equal
    /// bits, and only true ties can be decided otherwise.
    fn new(weight: f64, squares: f64) -> Self {
        Self { weight, impurity: 1.0 - squares / (weight * weight) }
    }

    /// Rows whose weights by class are `sums`.
    pub(super) fn of(sums: &[f64]) -> Self {
        Self::new(sums.iter().sum(), sums.iter().map(|sum| sum * sum).sum())
    }
}

/// By how much splitting `node` into `left` and `right` lowers the impurity of a tree of weight `total`.
pub(super) fn gain(total: f64, node: Side, [left, right]: [Side; 2]) -> f64 {
    let remains = |side: Side| side.weight / node.weight * side.impurity;
    (node.weight / total) * (node.impurity - remains(right) - remains(left))
}

/// The best split of the rows that `entries` lists in the order of a column's values; none where all values are equal or no cut leaves
/// `rows_min` rows on both sides. `sums` are the rows' weights by class.
pub(super) fn best(entries: &[u32], rows: &[Row], sums: &[f64], rows_min: usize) -> Option<Cut> {
    match *sums {
        [first, second] => search(entries, rows, Two { total: [first, second], left: [0.0; 2] }, rows_min),
        _ => search(entries, rows, Many { right: sums.to_vec(), left: vec![0.0; sums.len()] }, rows_min),
    }
}

/// The weights on both sides of a cut that moves up through a node's rows.
trait Tally {
    /// Moves a row from right to left.
    fn pass(&mut self, row: Row);
    /// Moves all `rows` if none of the cuts between them can beat `best`; else does nothing. Gives whether it moved them.
    fn leap(&mut self, rows: &[Row], best: &Candidate) -> bool;
    /// The sum of the classes' weights and the sum of their squares, left and right.
    fn sums(&self) -> [(f64, f64); 2];
}

fn search<T: Tally>(entries: &[u32], rows: &[Row], mut tally: T, rows_min: usize) -> Option<Cut> {
    // Rows are fetched a block ahead: in a loop that does nothing else, the CPU has many fetches under way at once.
    const BLOCK: usize = 128;
    let allowed = rows_min..=entries.len().saturating_sub(rows_min);
    let mut fetched = [Row::default(); BLOCK];
    let mut best = Candidate::WORST;
    let mut left_count = 0;
    for entries in entries.chunks(BLOCK) {
        for (slot, &entry) in fetched.iter_mut().zip(entries) {
            *slot = rows[place(entry)];
        }
        if tally.leap(&fetched[..entries.len()], &best) {
            left_count += entries.len();
            continue;
        }
        for (&entry, &row) in entries.iter().zip(&fetched) {
            if entry & START != 0 && allowed.contains(&left_count) {
                let candidate = Candidate::new(left_count, tally.sums());
                if candidate.may_beat(&best) && candidate.beats(&best) {
                    best = candidate;
                }
            }
            tally.pass(row);
            left_count += 1;
        }
    }
    (best.left_count > 0).then(|| best.cut())
}

/// A cut, classified without a division, which would cost more than all else in the loop.
#[derive(Clone, Copy)]
struct Candidate {
    left_count: usize,
    /// Left and right: the sum of the classes' weights and the sum of their squares.
    sides: [(f64, f64); 2],
    /// Squares / weight, left plus right, as one fraction. The score is this less the node's weight. Both are within 2^-450 and 2^450 whatever the weights.
    over: f64,
    under: f64,
}

impl Candidate {
    /// More than all rounding of the fraction and of the score. The first is rounded to some 2^-52 of itself. So is the score, but of the node's weight, of which the
    /// fraction is at least one part in [`CLASSES_MAX`](super::CLASSES_MAX), 2^8.
    const SLACK: f64 = 1e-12;
    /// What every cut beats.
    const WORST: Self = Self { left_count: 0, sides: [(0.0, 0.0); 2], over: -1.0, under: 1.0 };

    fn new(left_count: usize, sides: [(f64, f64); 2]) -> Self {
        let [(left, left_squares), (right, right_squares)] = sides;
        Self { left_count, sides, over: left_squares * right + right_squares * left, under: left * right }
    }

    /// Whether the score is not clearly less: the question that most candidates fail.
    fn may_beat(&self, best: &Self) -> bool {
        self.over * best.under >= best.over * self.under * (1.0 - Self::SLACK)
    }

    /// Whether the score is greater. Only near equality is it computed.
    fn beats(&self, best: &Self) -> bool {
        self.over * best.under > best.over * self.under * (1.0 + Self::SLACK) || self.cut().score > best.cut().score
    }

    fn cut(&self) -> Cut {
        let sides = self.sides.map(|(weight, squares)| Side::new(weight, squares));
        let score = -sides[1].weight * sides[1].impurity - sides[0].weight * sides[0].impurity;
        Cut { left_count: self.left_count, sides, score }
    }
}

/// Two classes: the second's share says all, and stays in registers.
struct Two {
    /// By class.
    total: [f64; 2],
    /// Of all classes, and of the second.
    left: [f64; 2],
}

impl Tally for Two {
    fn pass(&mut self, Row { weight, class }: Row) {
        let weight = f64::from(weight);
        self.left[0] += weight;
        self.left[1] += if class == 0 { 0.0 } else { weight };
    }

    /// The score is a convex function of the weights on the left. So on a box, here all that the left side can be on its way over `rows`, it is greatest at a corner.
    fn leap(&mut self, rows: &[Row], best: &Candidate) -> bool {
        let mut after = Self { total: self.total, left: self.left };
        for &row in rows {
            after.pass(row);
        }
        let [before, after] = [self.left, after.left].map(|[both, second]| [both - second, second]);
        for first in [before[0], after[0]] {
            for second in [before[1], after[1]] {
                if Candidate::new(0, Self { total: self.total, left: [first + second, second] }.sums()).may_beat(best) {
                    return false;
                }
            }
        }
        self.left = [after[0] + after[1], after[1]];
        true
    }

    fn sums(&self) -> [(f64, f64); 2] {
        // Differences of sums are exact: see `weight`.
        let left = [self.left[0] - self.left[1], self.left[1]];
        let right = [self.total[0] - left[0], self.total[1] - left[1]];
        [left, right].map(|[first, second]| (first + second, first * first + second * second))
    }
}

/// Any number of classes.
struct Many {
    right: Vec<f64>,
    left: Vec<f64>,
}

impl Tally for Many {
    fn pass(&mut self, Row { weight, class }: Row) {
        let weight = f64::from(weight);
        self.left[usize::from(class)] += weight;
        self.right[usize::from(class)] -= weight;
    }

    fn leap(&mut self, _rows: &[Row], _best: &Candidate) -> bool {
        false
    }

    fn sums(&self) -> [(f64, f64); 2] {
        [&self.left, &self.right].map(|sums| (sums.iter().sum(), sums.iter().map(|sum| sum * sum).sum()))
    }
}

//! The training rows, by column.

use treeline_ebpf::feature::{FEATURES, NAMES};

use super::Error;

/// Rows a table may have: a row number and a flag share 32 bits.
pub const ROWS_MAX: usize = (1 << 31) - 1;
/// Classes a table may have. Sums for each class are kept at every node, and no labelled dataset comes near.
pub const CLASSES_MAX: usize = 256;

/// Labelled rows. 102 bytes a row.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The features in the order of `treeline_ebpf::feature::NAMES`, fixed point with 16 fractional bits.
    pub columns: [Vec<i64>; FEATURES],
    /// Each row's class, below [`CLASSES_MAX`].
    pub classes: Vec<u16>,
    /// How much each row counts: 0 or more. Single precision, because a weight is a preference and not a measurement, because class and weight then fit the
    /// 8 bytes that are fetched at random at every step, and because sums of 24-bit numbers in an `f64` stay exact.
    pub weights: Vec<f32>,
}

impl Table {
    /// An empty table with room for `rows`.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            columns: std::array::from_fn(|_| Vec::with_capacity(rows)),
            classes: Vec::with_capacity(rows),
            weights: Vec::with_capacity(rows),
        }
    }

    /// Appends a row.
    pub fn push(&mut self, features: [i64; FEATURES], class: u16, weight: f32) {
        for (column, value) in self.columns.iter_mut().zip(features) {
            column.push(value);
        }
        self.classes.push(class);
        self.weights.push(weight);
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The features of `row`.
    #[must_use]
    pub fn features(&self, row: usize) -> [i64; FEATURES] {
        std::array::from_fn(|column| self.columns[column][row])
    }

    /// Scales the weights so that each of the k classes that occur has 1/k of the total, which stays as it was. Rows of weight 1 get `n/(k·n_c)`, which is
    /// scikit-learn's `class_weight="balanced"`.
    pub fn balance(&mut self) {
        let mut sums = vec![0.0; 1 << 16];
        for (&class, &weight) in self.classes.iter().zip(&self.weights) {
            sums[usize::from(class)] += f64::from(weight);
        }
        let share = sums.iter().sum::<f64>() / f64::from(count(sums.iter().filter(|&&sum| sum > 0.0)));
        for (&class, weight) in self.classes.iter().zip(&mut self.weights) {
            if *weight > 0.0 {
                *weight = narrow(f64::from(*weight) * share / sums[usize::from(class)]);
            }
        }
    }

    /// Refuses a table that no tree can be grown from. Returns how many classes there are: one more than the greatest.
    pub(super) fn check(&self) -> Result<usize, Error> {
        let rows = self.columns[0].len();
        let features = NAMES.iter().zip(&self.columns).map(|((name, _), column)| (*name, column.len()));
        for (column, found) in features.chain([("class", self.classes.len()), ("weight", self.weights.len())]) {
            if found != rows {
                return Err(Error::Length { column, found, expected: rows });
            }
        }
        match rows {
            0 => return Err(Error::NoRows),
            found if found > ROWS_MAX => return Err(Error::TooManyRows { found }),
            _ => {}
        }
        if let Some((row, &found)) = self.classes.iter().enumerate().find(|(_, class)| usize::from(**class) >= CLASSES_MAX) {
            return Err(Error::Class { row, found });
        }
        if let Some((row, &found)) = self.weights.iter().enumerate().find(|(_, weight)| !(weight.is_finite() && **weight >= 0.0)) {
            return Err(Error::Weight { row, found });
        }
        Ok(self.classes.iter().max().map_or(0, |&class| usize::from(class) + 1))
    }
}

impl FromIterator<([i64; FEATURES], u16, f32)> for Table {
    /// The table of rows as [`Table::push`] takes them.
    fn from_iter<I: IntoIterator<Item = ([i64; FEATURES], u16, f32)>>(rows: I) -> Self {
        let mut table = Self::default();
        for (features, class, weight) in rows {
            table.push(features, class, weight);
        }
        table
    }
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).expect("at most 2^16 classes")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a weight is single precision; beyond its range it becomes infinite and is refused by `check`"
)]
fn narrow(weight: f64) -> f32 {
    weight as f32
}

//! A threshold as written -> the fixed-point threshold that turns where the library's comparison turns.
//!
//! The float form of a fixed-point feature is one f64 division: by 65536, or for a gap by 65536 times the nanoseconds of the model's unit.
//! A column of fixed-point integers is the nearest f64 of each. A library may round that to f32. Both steps keep order, so along one feature
//! its comparison turns at exactly one grid point, and a bisection over the comparison itself finds it: `X <= found` is the library's answer for every X of 0 and above, ties of rounding included.

use treeline_ebpf::feature::FRACTION_BITS;
use treeline_ebpf::tree::NODES_MAX;

use super::ImportError;
use super::forest::{Branch, Column, Forest, Precision, Tree};
use super::unit::TimeUnit;
use crate::vote::Estimator;
use crate::{Error, Node};

/// One split's question, as the library asks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub threshold: f64,
    pub strict: bool,
    pub precision: Precision,
    /// Fixed-point steps in one of the model's units.
    steps: i64,
}

impl Question {
    pub(crate) fn new(column: Column, threshold: f64, strict: bool, precision: Precision, unit: TimeUnit) -> Self {
        let steps = match column {
            Column { is_fixed: true, .. } => 1,
            _ if column.is_time() => unit.nanoseconds() << FRACTION_BITS,
            _ => 1 << FRACTION_BITS,
        };
        Self { threshold, strict, precision, steps }
    }

    /// Whether a 32-bit library decides some value otherwise where it is given the integer itself and not its nearest f64: both roundings together can
    /// end elsewhere than one.
    pub(crate) fn depends_on_width(&self) -> bool {
        self.steps == 1 && self.precision == Precision::F32 && self.threshold >= 2.0_f64.powi(53)
    }

    /// The float form of a fixed-point value.
    #[expect(clippy::cast_precision_loss, reason = "the contract's own rounding")]
    pub(crate) fn real(&self, value: i64) -> f64 {
        value as f64 / self.steps as f64
    }

    /// The library's answer for a fixed-point value.
    #[expect(clippy::cast_possible_truncation, reason = "the library's own rounding")]
    pub(crate) fn goes_left(&self, value: i64) -> bool {
        let real = match self.precision {
            Precision::F32 => f64::from(self.real(value) as f32),
            Precision::F64 => self.real(value),
            Precision::Exact => return value <= self.written(),
        };
        if self.strict { real < self.threshold } else { real <= self.threshold }
    }

    /// The last value of 0 and above that goes left by the library's comparison; -1 if none does.
    pub(crate) fn last_left(&self) -> i64 {
        if self.goes_left(i64::MAX) {
            return i64::MAX;
        }
        if !self.goes_left(0) {
            return -1;
        }
        let (mut left, mut right) = (0, i64::MAX);
        while right - left > 1 {
            let middle = left + (right - left) / 2;
            if self.goes_left(middle) { left = middle } else { right = middle }
        }
        left
    }

    /// The last value that goes left if numbers are compared as they are written, without any rounding; -1 if none does.
    pub(crate) fn written(&self) -> i64 {
        let (floor, whole) = scaled(self.threshold, self.steps);
        let last = if self.strict && whole { floor.saturating_sub(1) } else { floor };
        i64::try_from(last.max(-1)).unwrap_or(i64::MAX)
    }
}

/// `number * steps` rounded down, saturated, and whether it was whole. `number` is not NaN.
fn scaled(number: f64, steps: i64) -> (i128, bool) {
    if number < 0.0 || number >= 2.0_f64.powi(63) {
        return (if number < 0.0 { -1 } else { i128::MAX }, false);
    }
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
    // Below 2^53 * 2^46; the number is mantissa * 2^(exponent - 1075), its exponent at most 10.
    let product = i128::from(mantissa) * i128::from(steps);
    match exponent {
        1075.. => (product << (exponent - 1075), true),
        960..1075 => (product >> (1075 - exponent), product & ((1 << (1075 - exponent)) - 1) == 0),
        _ => (0, product == 0),
    }
}

/// The trees with fixed-point thresholds. The forest is checked, its features are the classifier's.
pub(crate) fn place(forest: &Forest, unit: TimeUnit) -> Result<Vec<Estimator>, ImportError> {
    forest.trees.iter().map(|tree| member(tree, forest, unit)).collect()
}

fn member(tree: &Tree, forest: &Forest, unit: TimeUnit) -> Result<Estimator, ImportError> {
    if tree.nodes.len() > NODES_MAX {
        return Err(ImportError::Model(Error::TooManyNodes { found: tree.nodes.len() }));
    }
    let narrow = |index: usize| u16::try_from(index).expect("at most NODES_MAX nodes, and features are checked");
    let mut values = Vec::new();
    let nodes = tree.nodes.iter().map(|node| match node {
        &Branch::Split { feature, threshold, strict, left, right } => {
            let column = forest.columns[feature];
            let threshold = Question::new(column, threshold, strict, forest.precision, unit).last_left();
            Node::Inner { feature: narrow(column.feature), threshold, left: narrow(left), right: narrow(right) }
        }
        Branch::Leaf(leaf) => {
            values.push(leaf.clone());
            Node::Leaf { class: narrow(values.len() - 1) }
        }
    });
    Ok(Estimator { output: tree.output, nodes: nodes.collect(), values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LENGTH: Column = Column { feature: 3, is_fixed: false };
    const GAP: Column = Column { feature: 4, is_fixed: false };

    #[track_caller]
    fn check(column: Column, threshold: f64, unit: TimeUnit, exact: i64, strict: i64) {
        let question = |strict| Question::new(column, threshold, strict, Precision::Exact, unit);
        assert_eq!((question(false).written(), question(true).written()), (exact, strict), "{threshold}");
    }

    #[test]
    fn a_written_number_is_scaled_exactly() {
        check(LENGTH, 100.5, TimeUnit::Ns, (100 << 16) + (1 << 15), (100 << 16) + (1 << 15) - 1);
        check(LENGTH, 1e-300, TimeUnit::Ns, 0, 0);
        check(LENGTH, 0.0, TimeUnit::Ns, 0, -1);
        check(LENGTH, -0.0, TimeUnit::Ns, 0, -1);
        check(LENGTH, -1e-300, TimeUnit::Ns, -1, -1);
        check(LENGTH, f64::INFINITY, TimeUnit::S, i64::MAX, i64::MAX);
        check(LENGTH, f64::NEG_INFINITY, TimeUnit::S, -1, -1);
        check(LENGTH, 2.0_f64.powi(46), TimeUnit::S, 1 << 62, (1 << 62) - 1);
        check(GAP, 1.5, TimeUnit::Ms, 1_500_000 << 16, (1_500_000 << 16) - 1);
        check(GAP, 1e12, TimeUnit::S, i64::MAX, i64::MAX);
        check(GAP, 0.1, TimeUnit::S, 6_553_600_000_000, 6_553_600_000_000);
        check(Column { is_fixed: true, ..GAP }, 98_304.5, TimeUnit::S, 98_304, 98_304);
    }

    #[test]
    fn a_32_bit_library_turns_between_two_of_its_numbers() {
        let at = |threshold, strict| Question::new(GAP, threshold, strict, Precision::F32, TimeUnit::Ns).last_left();
        // 2^24 and its neighbour 2^24 + 2 as f32: the number between goes to the even mantissa, 2^24.
        assert_eq!(at(16_777_216.0, false), 16_777_217 << 16);
        assert_eq!(at(16_777_217.5, false), 16_777_217 << 16);
        assert_eq!(at(16_777_218.0, true), 16_777_217 << 16);
        assert_eq!(at(16_777_218.0, false), (16_777_219 << 16) - 1);
    }

    fn unit() -> impl Strategy<Value = TimeUnit> {
        prop_oneof![Just(TimeUnit::Ns), Just(TimeUnit::Us), Just(TimeUnit::Ms), Just(TimeUnit::S)]
    }

    proptest! {
        #[test]
        fn the_turn_is_where_the_comparison_turns(
            feature in 0_usize..12, is_fixed: bool, value in 0_i64..1 << 59, step in -2_i64..=2, strict: bool, unit in unit(),
            precision in prop_oneof![Just(Precision::F32), Just(Precision::F64), Just(Precision::Exact)],
        ) {
            let column = Column { feature, is_fixed };
            let steps = Question::new(column, 0.0, strict, precision, unit).steps;
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let threshold = value as f64 / steps as f64;
            let question = Question::new(column, threshold, strict, precision, unit);
            let last = question.last_left();
            prop_assert!(last < 0 || question.goes_left(last));
            prop_assert!(last == i64::MAX || !question.goes_left(last + 1));
            let near = (value + step).max(0);
            prop_assert_eq!(question.goes_left(near), near <= last);
        }
    }
}

//! flow -> features: a real number and the interval in which its fixed-point twin must lie.
//!
//! `docs/classifier.md`, "The bound between fixed point and real numbers", derives the interval; the names are the same here.

use super::real::{ERROR, Real, UNITS};

/// How many features there are.
pub const FEATURES: usize = 12;

/// A feature as a real number, with what fixed point may make of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    real: Real,
    /// How far below the real number the fixed-point value may lie, units of 2^-16.
    below: f64,
    /// How far above, units of 2^-16.
    above: f64,
}

impl Feature {
    /// A whole number, the same in both.
    pub(super) fn whole(value: u64) -> Self {
        Self { real: Real::whole(value), below: 0.0, above: 0.0 }
    }

    /// A mean over `packets`: one division that rounds down to a multiple of 1/`packets` units at most.
    pub(super) fn mean(real: Real, packets: u64) -> Self {
        Self { real, below: share(packets - 1, packets) + ERROR * UNITS, above: ERROR * UNITS }
    }

    /// A deviation over `packets`, of which `over` lay above their mean and `under` below it: a mean rounded down adds up to a unit to the terms of
    /// the first and takes up to one from those of the second; the division rounds down as in a mean.
    pub(super) fn deviation(real: Real, packets: u64, over: u64, under: u64) -> Self {
        Self { real, below: share(under + packets - 1, packets) + ERROR * UNITS, above: share(over, packets) + ERROR * UNITS }
    }

    /// The nearest `f64`.
    #[must_use]
    pub fn value(self) -> f64 {
        self.real.nearest()
    }

    /// How far the fixed-point value may lie below and above the real number, in units of 2^-16; together less than 1 for a mean, which leaves
    /// it one value, and less than 2 for a deviation.
    #[must_use]
    pub fn bounds(self) -> (f64, f64) {
        (self.below, self.above)
    }

    /// Whether `fixed` (16 fractional bits) is a value that correct fixed-point arithmetic may have found.
    #[must_use]
    pub fn admits(self, fixed: i64) -> bool {
        let units = self.real.units_to(fixed);
        -self.below <= units && units <= self.above
    }

    /// Whether the real number goes left at `threshold`.
    pub(super) fn at_most(self, threshold: f64) -> bool {
        self.real.at_most(threshold)
    }

    /// Whether some fixed-point value that the bound admits goes the other way at `threshold` than the real number.
    #[expect(clippy::cast_possible_truncation, reason = "saturates beyond every feature")]
    pub(super) fn is_ambiguous_at(self, threshold: f64) -> bool {
        // A fixed-point value goes left if it is at most this one, and right from the next one on.
        let units = self.real.units_to((threshold * UNITS).floor() as i64);
        if self.at_most(threshold) { units + 1.0 <= self.above } else { -self.below <= units }
    }
}

/// `part / whole`, rounded by less than 2^-53.
fn share(part: u64, whole: u64) -> f64 {
    Real::whole(part).divided_by(whole).nearest()
}

//! A real number as the sum of two `f64`: the nearest one, and the rest that rounding took from it.
//!
//! A plain `f64` would do for the numbers but not for the bound: at a gap of five minutes its steps are four units of 2^-16 wide, and a plain sum of a
//! million deviations may be off by hundreds of units. With the rest kept, what arithmetic loses is far below a unit; [`ERROR`] says how far.

/// 2^-50: no mean and no deviation of a flow is further than this from the true one, in the feature's own unit.
///
/// Each operation below loses less than 2^-102 of its largest operand, for it rounds only rests. `docs/classifier.md`, "The bound between
/// fixed point and real numbers", adds that up to less than 2^-53.
pub(super) const ERROR: f64 = 4.0 * f64::EPSILON;

/// Fixed-point units per whole: 16 fractional bits.
pub(super) const UNITS: f64 = 65_536.0;

/// `nearest + rest`, with `nearest` the `f64` closest to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Real {
    nearest: f64,
    rest: f64,
}

/// The rounded sum of two numbers and what rounding took from it, exactly.
/// Source: Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_seen = sum - a;
    let a_seen = sum - b_seen;
    (sum, (a - a_seen) + (b - b_seen))
}

impl Real {
    fn new(nearest: f64, rest: f64) -> Self {
        let (nearest, rest) = two_sum(nearest, rest);
        Self { nearest, rest }
    }

    /// A whole number below 2^53, exactly.
    #[expect(clippy::cast_precision_loss, reason = "asserted to be exact")]
    pub(super) fn whole(value: u64) -> Self {
        assert!(value < 1 << 53, "{value} is beyond what an f64 holds exactly");
        Self { nearest: value as f64, rest: 0.0 }
    }

    pub(super) fn nearest(self) -> f64 {
        self.nearest
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (sum, lost) = two_sum(self.nearest, other.nearest);
        Self::new(sum, lost + (self.rest + other.rest))
    }

    /// |self - other|.
    pub(super) fn distance(self, other: Self) -> Self {
        let difference = self.plus(Self { nearest: -other.nearest, rest: -other.rest });
        if difference.at_most(0.0) { Self { nearest: -difference.nearest, rest: -difference.rest } } else { difference }
    }

    /// The remainder of a rounded division is an `f64`, so a fused multiply and add gives it without error.
    pub(super) fn divided_by(self, divisor: u64) -> Self {
        let divisor = Self::whole(divisor).nearest;
        let quotient = self.nearest / divisor;
        let remainder = quotient.mul_add(-divisor, self.nearest);
        Self::new(quotient, (remainder + self.rest) / divisor)
    }

    /// Whether `self <= limit`. The rest decides only where the nearest `f64` is the limit itself.
    pub(super) fn at_most(self, limit: f64) -> bool {
        self.nearest < limit || (self.nearest <= limit && self.rest <= 0.0)
    }

    /// How many units the fixed-point value lies above this number, negative if below. Rounded by less than 2^-51 where it is below 2.
    #[expect(clippy::cast_possible_truncation, reason = "a floor of less than 2^59 units")]
    #[expect(clippy::cast_precision_loss, reason = "small wherever it matters")]
    pub(super) fn units_to(self, fixed: i64) -> f64 {
        let units = self.nearest * UNITS;
        let whole = units.floor();
        (i128::from(fixed) - whole as i128) as f64 - (units - whole) - self.rest * UNITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_keeps_what_its_rounding_lost() {
        let third = Real::whole(1).divided_by(3);
        let whole = third.plus(third).plus(third);
        assert!(third.rest.abs() > 0.0);
        assert_eq!(whole.nearest.to_bits(), 1.0_f64.to_bits());
        assert!(whole.rest.abs() < 2.0_f64.powi(-104), "{whole:?}");
    }

    #[test]
    fn a_sum_of_a_million_thirds_of_five_minutes_stays_within_the_error() {
        let gap = Real::whole(300_000_000_001).divided_by(3);
        let mut sum = Real::default();
        for _ in 0..999_999 {
            sum = sum.plus(gap);
        }
        let expected = Real::whole(300_000_000_001 * 3_333);
        // 333,333 times the whole gap, in 101 parts that an f64 holds.
        let mut whole = Real::default();
        for _ in 0..100 {
            whole = whole.plus(expected);
        }
        whole = whole.plus(Real::whole(300_000_000_001 * 33));
        assert!(sum.distance(whole).divided_by(999_999).nearest < ERROR);
    }

    #[test]
    fn a_unit_is_told_apart_where_an_f64_has_steps_of_four() {
        let value = Real::whole(300_000_000_000).plus(Real::whole(1).divided_by(65_536));
        let fixed = 300_000_000_000 * 65_536 + 1;
        assert_eq!(value.units_to(fixed).to_bits(), 0.0_f64.to_bits());
        assert_eq!(value.units_to(fixed + 1).to_bits(), 1.0_f64.to_bits());
        assert_eq!(value.units_to(fixed - 2).to_bits(), (-2.0_f64).to_bits());
    }
}

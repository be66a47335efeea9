//! The values that a feature can have (docs/classifier.md): what lies outside is told of no packet.

use treeline_ebpf::feature::{DIRECTION, FRACTION_BITS, GAP, LENGTH, ORIGINATOR_PORT, PROTOCOL, RESPONDER_PORT, TO_DEVIATION, TO_MEAN};
use treeline_ebpf::platform::TIMEOUT_NS_MAX;

/// The shortest packet, an IPv4 header alone, and the longest, an IPv6 header with its largest payload.
const LENGTHS: (i64, i64) = (20, 40 + 65_535);

/// From the smallest to the largest value of a feature, fixed point, and how far neighbouring ones are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub first: i64,
    pub last: i64,
    step: i64,
}

impl Reach {
    /// The values of a feature.
    pub(crate) fn of(feature: usize) -> Self {
        let whole = 1 << FRACTION_BITS;
        let is_own = feature <= DIRECTION;
        let of_packet = match feature {
            _ if is_own => feature,
            _ if feature < LENGTH + TO_DEVIATION => feature - TO_MEAN,
            _ => feature - TO_DEVIATION,
        };
        let (first, last) = match of_packet {
            ORIGINATOR_PORT | RESPONDER_PORT => (0, i64::from(u16::MAX)),
            PROTOCOL => (0, i64::from(u8::MAX)),
            LENGTH => LENGTHS,
            GAP => (0, TIMEOUT_NS_MAX.cast_signed()),
            _ => (0, 1),
        };
        let first = if feature < LENGTH + TO_DEVIATION { first } else { 0 };
        Self { first: first * whole, last: last * whole, step: if is_own { whole } else { 1 } }
    }

    /// Whether a feature's values lie on both sides of a threshold whose last value to the left is `last_left`.
    pub(crate) fn is_divided_by(self, last_left: i64) -> bool {
        (self.first..self.last).contains(&last_left)
    }

    /// The smallest value within `from..=to`.
    pub(crate) fn value_within(self, from: i64, to: i64) -> Option<i64> {
        let value = from.max(self.first).checked_add(self.step - 1)? / self.step * self.step;
        (value <= to.min(self.last)).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(feature: usize, first: i64, last: i64, step: i64) {
        assert_eq!(Reach::of(feature), Reach { first: first << 16, last: last << 16, step });
    }

    #[test]
    fn values_end_where_the_packets_fields_and_the_timeouts_do() {
        check(ORIGINATOR_PORT, 0, 65_535, 1 << 16);
        check(PROTOCOL, 0, 255, 1 << 16);
        check(LENGTH, 20, 65_575, 1 << 16);
        check(LENGTH + TO_MEAN, 20, 65_575, 1);
        check(LENGTH + TO_DEVIATION, 0, 65_575, 1);
        check(GAP, 0, 7_200_000_000_000, 1 << 16);
        check(GAP + TO_DEVIATION, 0, 7_200_000_000_000, 1);
        check(DIRECTION, 0, 1, 1 << 16);
        check(DIRECTION + TO_MEAN, 0, 1, 1);
    }

    #[test]
    fn a_value_within_is_one_that_the_feature_has() {
        let port = Reach::of(RESPONDER_PORT);
        assert_eq!(port.value_within(0, 0), Some(0));
        assert_eq!(port.value_within(1, 1 << 16), Some(1 << 16));
        assert_eq!(port.value_within(1, (1 << 16) - 1), None);
        assert_eq!(port.value_within(65_536 << 16, i64::MAX), None);
        assert!(port.is_divided_by(0) && port.is_divided_by((65_535 << 16) - 1));
        assert!(!port.is_divided_by(65_535 << 16) && !port.is_divided_by(-1));
    }
}

//! The clock of a pcapng interface: what one count of a timestamp is worth, and since when it counts.
//!
//! Source: draft-ietf-opsawg-pcapng, section 4.2, options `if_tsresol` (9) and `if_tsoffset` (14). The conversion to
//! nanoseconds is exact where a count is a whole number of them, rounds down otherwise, and saturates.

use pcap_file::Endianness;

use super::order::{u16_at, u32_at};

/// How an interface counts time: `if_tsresol` and `if_tsoffset`.
pub(super) struct Clock {
    unit: Unit,
    offset_ns: i128,
}

enum Unit {
    /// So many nanoseconds.
    Nanoseconds(u64),
    /// One nanosecond through this.
    NanosecondThrough(u128),
    /// One second through two to this power.
    SecondThroughPowerOfTwo(u8),
}

impl Clock {
    /// Microseconds since the epoch, unless the options say otherwise; reading them ends at the first malformed one.
    pub(super) fn from_options(order: Endianness, mut options: &[u8]) -> Self {
        let mut clock = Self { unit: Unit::Nanoseconds(1_000), offset_ns: 0 };
        while let Some((header, rest)) = options.split_at_checked(4) {
            let (code, length) = (u16_at(order, header, 0), usize::from(u16_at(order, header, 2)));
            let Some(value) = rest.get(..length) else { break };
            match (code, value) {
                (0, _) => break,
                (9, &[resolution]) => clock.unit = Unit::from_resolution(resolution),
                (14, &[_, _, _, _, _, _, _, _]) => {
                    let (first, second) = (u64::from(u32_at(order, value, 0)), u64::from(u32_at(order, value, 4)));
                    let seconds = match order {
                        Endianness::Big => first << 32 | second,
                        Endianness::Little => second << 32 | first,
                    };
                    clock.offset_ns = i128::from(seconds.cast_signed()) * 1_000_000_000;
                }
                _ => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        clock
    }

    /// Nanoseconds since the epoch, rounded down, saturating at both ends of u64.
    pub(super) fn time_ns(&self, time: u64) -> u64 {
        let time = u128::from(time);
        // At most 2^64 * 10^9 < 2^94, in every arm.
        let elapsed_ns = match self.unit {
            Unit::Nanoseconds(factor) => time * u128::from(factor),
            Unit::NanosecondThrough(divisor) => time / divisor,
            Unit::SecondThroughPowerOfTwo(power) => (time * 1_000_000_000) >> power,
        };
        let time_ns = elapsed_ns.cast_signed() + self.offset_ns;
        u64::try_from(time_ns).unwrap_or(if time_ns < 0 { 0 } else { u64::MAX })
    }
}

impl Unit {
    /// `if_tsresol`: a negative power of ten, or of two if the highest bit is set.
    fn from_resolution(resolution: u8) -> Self {
        let power = resolution & 0x7f;
        match (resolution >> 7, power) {
            (0, 0..=9) => Self::Nanoseconds(10_u64.pow(9 - u32::from(power))),
            // A finer unit than u128 holds: no u64 counts one nanosecond of it.
            (0, _) => Self::NanosecondThrough(10_u128.checked_pow(u32::from(power) - 9).unwrap_or(u128::MAX)),
            _ => Self::SecondThroughPowerOfTwo(power),
        }
    }
}

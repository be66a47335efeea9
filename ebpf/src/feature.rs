//! flow -> features: twelve numbers in signed 64-bit fixed point with 16 fractional bits.

/// Fractional bits of every feature and threshold.
pub const FRACTION_BITS: u32 = 16;
/// How many features there are.
pub const FEATURES: usize = 12;
/// Slots of the vector: the next power of two, so that a masked index is always inside.
pub const SLOTS: usize = 16;

/// Index of the port of the flow's originator.
pub const ORIGINATOR_PORT: usize = 0;
/// Index of the port of its responder.
pub const RESPONDER_PORT: usize = 1;
/// Index of the IP protocol number.
pub const PROTOCOL: usize = 2;
/// Index of the packet's length.
pub const LENGTH: usize = 3;
/// Index of the gap before it.
pub const GAP: usize = 4;
/// Index of its direction.
pub const DIRECTION: usize = 5;
/// Slot of the packet's number in its flow. No feature: a tree that waits for a flow's first packets asks it before anything else.
pub const PACKETS: usize = FEATURES;
/// Slot that is above 0 if the flow is midstream ([`crate::Flow::is_midstream`]), else 0. No feature either: a tree that passes what is
/// midstream asks it before anything else.
pub const MIDSTREAM: usize = FEATURES + 1;
/// From length, gap or direction to its mean.
pub const TO_MEAN: usize = 3;
/// From length, gap or direction to its mean absolute deviation.
pub const TO_DEVIATION: usize = 6;

/// The features' names and units in the order of the paper.
pub const NAMES: [(&str, &str); FEATURES] = [
    ("originator_port", "port"),
    ("responder_port", "port"),
    ("protocol", "number"),
    ("length", "byte"),
    ("gap", "ns"),
    ("direction", "1 = from originator"),
    ("length_mean", "byte"),
    ("gap_mean", "ns"),
    ("direction_mean", "1 = from originator"),
    ("length_deviation", "byte"),
    ("gap_deviation", "ns"),
    ("direction_deviation", "1 = from originator"),
];

/// The feature vector of one packet. All values are non-negative and below 2^59 (the flow's bounds).
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    slots: [i64; SLOTS],
}

impl Features {
    /// Sets slot `index` modulo [`SLOTS`] to a fixed-point value.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the mask keeps the index inside")]
    pub const fn set(&mut self, index: usize, value: u64) {
        self.slots[index & (SLOTS - 1)] = value.cast_signed();
    }

    /// The value in slot `index` modulo [`SLOTS`].
    #[must_use]
    #[inline(always)]
    #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the mask keeps the index inside")]
    pub fn value(&self, index: u64) -> i64 {
        self.slots[(index as usize) & (SLOTS - 1)]
    }

    /// The twelve values.
    #[must_use]
    #[inline(always)]
    pub fn values(&self) -> [i64; FEATURES] {
        let mut values = [0; FEATURES];
        for (value, slot) in values.iter_mut().zip(self.slots) {
            *value = slot;
        }
        values
    }
}

impl From<[u64; FEATURES]> for Features {
    /// The vector of twelve fixed-point values in the order of [`NAMES`].
    fn from(values: [u64; FEATURES]) -> Self {
        let mut features = Self::default();
        for (index, value) in values.into_iter().enumerate() {
            features.set(index, value);
        }
        features
    }
}

//! flow -> features: twelve numbers in signed 64-bit fixed point with 16 fractional bits.

/// Fractional bits of every feature and threshold.
pub const FRACTION_BITS: u32 = 16;
/// How many features there are.
pub const FEATURES: usize = 12;
/// Slots of the vector: the next power of two, so that a masked index is always inside.
pub const SLOTS: usize = 16;

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
    /// The vector of twelve fixed-point values in the order of [`NAMES`].
    #[must_use]
    #[inline(always)]
    pub fn new(values: [u64; FEATURES]) -> Self {
        let mut slots = [0; SLOTS];
        for (slot, value) in slots.iter_mut().zip(values) {
            *slot = value.cast_signed();
        }
        Self { slots }
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

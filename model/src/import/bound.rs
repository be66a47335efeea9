//! A library's sigmoid -> the sum above which it answers the second class.
//!
//! The sigmoid's own rounding makes small positive sums an even chance, so the bound is not 0; it is found by bisection over the formula,
//! as floats of one sign are in the order of their bits.

/// The largest 32-bit sum whose `probability` is not above one half. `probability` grows with the sum, and is one half at 0.
#[expect(clippy::cast_possible_truncation, reason = "found among 32-bit numbers")]
pub(crate) fn bound_f32(probability: impl Fn(f32) -> f32) -> f64 {
    let last = last(u64::from(1.0_f32.to_bits()), |bits| probability(f32::from_bits(bits as u32)) > 0.5);
    f64::from(f32::from_bits(last as u32))
}

/// The largest 64-bit sum whose `probability` is not above one half.
pub(crate) fn bound_f64(probability: impl Fn(f64) -> f64) -> f64 {
    f64::from_bits(last(f64::MAX.to_bits(), |bits| probability(f64::from_bits(bits)) > 0.5))
}

/// The last number below `above` for which `is_above` does not hold, given that it holds from somewhere on.
fn last(mut above: u64, is_above: impl Fn(u64) -> bool) -> u64 {
    let mut below = 0;
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if is_above(middle) { above = middle } else { below = middle }
    }
    below
}

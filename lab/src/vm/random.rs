//! The generator behind `bpf_get_prandom_u32`: xorshift64* (Vigna 2016), so that a run with random numbers can be had again.
//!
//! The state is one word that is never zero. Whoever makes a kernel draw the same numbers computes [`step`] in its own instructions.

/// What the product is taken with.
pub const FACTOR: u64 = 0x2545_f491_4f6c_dd1d;
/// The state a generator starts with where nobody says otherwise.
pub const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next state, and the number drawn: the upper half of the state times [`FACTOR`].
#[must_use]
pub fn step(state: u64) -> (u64, u32) {
    let mut state = if state == 0 { SEED } else { state };
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    let number = state.wrapping_mul(FACTOR) >> 32;
    (state, u32::try_from(number).expect("32 bits"))
}

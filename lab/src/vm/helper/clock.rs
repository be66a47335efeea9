//! Helpers that ask for nothing: the clocks, chance, and which CPU this is.

use super::super::random;
use super::with;

/// As all clocks: the time of the run.
pub(super) fn now(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| session.now_ns)
}

/// As `bpf_get_prandom_u32`, from the VM's own generator.
pub(super) fn random(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let (state, number) = random::step(session.random);
        session.random = state;
        u64::from(number)
    })
}

/// The one CPU, and its node, are number 0.
pub(super) fn zero(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}

/// Ticks of the kernel's timer a second, of which there are as many as a kernel is built for; Debian's has 250.
const TICKS: u64 = 250;

/// As `bpf_jiffies64`, counted from the time of the run.
pub(super) fn ticks(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| session.now_ns / (1_000_000_000 / TICKS))
}

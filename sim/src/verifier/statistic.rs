//! The numbers at the end of the verifier's log.

use serde::{Deserialize, Serialize};

/// `processed 66 insns (limit 1000000) max_states_per_insn 1 total_states 7 peak_states 7 mark_read 3`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Microseconds in the verifier.
    pub duration_us: u64,
    /// Instructions looked at, over all paths.
    pub instructions: u64,
    /// States kept for one instruction at most.
    pub states_per_instruction: u64,
    /// States made.
    pub states: u64,
    /// States kept at a time at most.
    pub peak_states: u64,
    /// Longest chain of states whose reads were marked.
    pub mark_read: u64,
}

/// The statistics, and bytes of stack of each function.
pub(super) fn read(log: &str) -> (Statistics, Vec<u32>) {
    let mut statistics = Statistics::default();
    let mut stacks = Vec::new();
    for line in log.lines().rev().take(8) {
        let after = |word: &str| {
            let mut words = line.split_whitespace().skip_while(|found| *found != word);
            words.nth(1).and_then(|number| number.parse::<u64>().ok())
        };
        if line.starts_with("processed ") {
            statistics.instructions = after("processed").unwrap_or(0);
            statistics.states_per_instruction = after("max_states_per_insn").unwrap_or(0);
            statistics.states = after("total_states").unwrap_or(0);
            statistics.peak_states = after("peak_states").unwrap_or(0);
            statistics.mark_read = after("mark_read").unwrap_or(0);
        } else if line.starts_with("verification time ") {
            statistics.duration_us = after("time").unwrap_or(0);
        } else if let Some(depths) = line.strip_prefix("stack depth ") {
            // `8+0+16`; newer kernels add ` max 24`.
            let depths = depths.split_whitespace().next().unwrap_or_default();
            stacks = depths.split('+').filter_map(|bytes| bytes.parse().ok()).collect();
        }
    }
    (statistics, stacks)
}

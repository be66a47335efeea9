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
    // The last lines, one a function among them (a program has at most 256).
    for line in log.lines().rev().take(8 + 256) {
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
        } else if line.contains("verification time ") {
            statistics.duration_us = after("time").unwrap_or(0);
        } else if let Some(depths) = line.strip_prefix("stack depth ") {
            // `8+0+16`, or since 7.0 ` max 24`, the functions having lines of their own.
            let depths = depths.split_whitespace().next().unwrap_or_default();
            let depths: Vec<u32> = depths.split('+').filter_map(|bytes| bytes.parse().ok()).collect();
            if !depths.is_empty() {
                stacks = depths;
            }
        } else if line.starts_with("subprog ")
            && let Some(bytes) = after("stack").and_then(|bytes| u32::try_from(bytes).ok())
        {
            stacks.insert(0, bytes);
        }
    }
    (statistics, stacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESSED: &str = "processed 66 insns (limit 1000000) max_states_per_insn 1 total_states 7 peak_states 6 mark_read 3";

    #[test]
    fn stacks_are_read_as_old_and_as_new_kernels_tell_them() {
        let old = format!("21: (95) exit\nverification time 12 usec\nstack depth 8+0+16\n{PROCESSED}\n");
        let new = "subprog 0 (one) main insns_self 22 insns_total 38 stack 8\nsubprog 1 (two) static insns_self 16 insns_total 16 stack 0\n\
                   subprog 2 (three) static insns_self 1 insns_total 1 stack 16";
        let new = format!("21: (95) exit\nverification time 12 usec\nstack depth max 24\n{new}\n{PROCESSED}\n");
        for log in [old, new] {
            let (statistics, stacks) = read(&log);
            assert_eq!(stacks, [8, 0, 16], "{log}");
            let Statistics { duration_us, instructions, states_per_instruction, states, peak_states, mark_read } = statistics;
            assert_eq!((duration_us, instructions, states_per_instruction, states, peak_states, mark_read), (12, 66, 1, 7, 6, 3));
        }
    }
}

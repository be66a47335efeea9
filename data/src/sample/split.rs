//! Which flows are kept for the test: two of three are trained on, one of three is kept.
//!
//! A draw over all flows could leave a rare attack out of either side. So each attack is split for itself: of every three of its flows or captures, one is kept. One
//! that has a single flow, or a single capture, is trained on.

use std::collections::HashSet;

use super::Sample;

/// How the test's flows are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// None: all rows are trained on.
    None,
    /// Of every three flows of a class, one, as in the paper. An attacker's near-copies lie on both sides, which flatters the model.
    Flow,
    /// Of every three captures of an attack (or of benign traffic alone), one.
    Capture,
    /// The flows of the captures with these numbers.
    Captures(Vec<u32>),
}

impl Sample {
    /// Chooses the test's flows; `seed` decides which of three.
    pub fn split(&mut self, split: &Split, seed: u64) {
        match split {
            Split::None => {}
            Split::Flow => self.split_flows(seed),
            Split::Capture => {
                let kept = self.drawn_captures(seed);
                self.keep(&kept);
            }
            Split::Captures(kept) => self.keep(kept),
        }
    }

    fn keep(&mut self, captures: &[u32]) {
        let captures: HashSet<_> = captures.iter().collect();
        for flow in &mut self.flows {
            flow.is_test = captures.contains(&flow.capture);
        }
    }

    fn split_flows(&mut self, seed: u64) {
        // Per class: how many flows came so far, and which of the three under way is kept.
        let mut states = vec![(0_u64, 0); self.classes.len()];
        for flow in &mut self.flows {
            let (count, kept) = &mut states[usize::from(flow.class)];
            if *count % 3 == 0 {
                let drawn = mix(seed ^ mix(*count << 16 | u64::from(flow.class)));
                // The first flow of all is trained on.
                *kept = if *count == 0 { 1 + drawn % 2 } else { drawn % 3 };
            }
            flow.is_test = *count % 3 == *kept;
            *count += 1;
        }
    }

    /// The captures kept: in an order that `seed` draws, the second of each three of the same main class.
    fn drawn_captures(&self, seed: u64) -> Vec<u32> {
        let mut captures: Vec<(u64, u32, u16)> =
            self.main_classes().map(|(capture, class)| (mix(seed ^ mix(capture.into())), capture, class)).collect();
        captures.sort_unstable();
        let mut counts = vec![0; self.classes.len()];
        let mut kept = Vec::new();
        for (_, capture, class) in captures {
            let count = &mut counts[usize::from(class)];
            if *count % 3 == 1 {
                kept.push(capture);
            }
            *count += 1;
        }
        kept
    }

    /// The captures with flows, each with the attack of which it has most flows, or benign if it has none.
    fn main_classes(&self) -> impl Iterator<Item = (u32, u16)> + '_ {
        let captures_count = self.flows.iter().map(|flow| flow.capture as usize + 1).max().unwrap_or(0);
        let mut counts = vec![vec![]; captures_count];
        for flow in &self.flows {
            let counts: &mut Vec<u64> = &mut counts[flow.capture as usize];
            counts.resize(counts.len().max(usize::from(flow.class) + 1), 0);
            counts[usize::from(flow.class)] += 1;
        }
        (0..).zip(counts).filter(|(_, counts)| !counts.is_empty()).map(|(capture, counts)| {
            let attacks = (0..).zip(counts).skip(1).filter(|(_, count)| *count > 0);
            (capture, attacks.max_by_key(|(_, count)| *count).map_or(0, |(class, _)| class))
        })
    }
}

/// The output function of `SplitMix64` (Steele, Lea, Flood 2014).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

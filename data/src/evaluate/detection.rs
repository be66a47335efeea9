//! How many packets a flow took to be found.

use std::collections::BTreeMap;

/// The flows of one label, and the packet at which each was found.
///
/// Memory: one entry a packet number that occurs. D different numbers need at least D^2 / 2 packets, so that 50 million packets give at most
/// 10,000 entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detection {
    flows: u64,
    found: BTreeMap<u64, u64>,
}

impl Detection {
    /// Counts a flow, not found so far.
    pub fn open(&mut self) {
        self.flows += 1;
    }

    /// Counts a flow that was opened as found at its packet number `packet`, from 1.
    pub fn find(&mut self, packet: u64) {
        *self.found.entry(packet).or_default() += 1;
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.flows += other.flows;
        for (&packet, count) in &other.found {
            *self.found.entry(packet).or_default() += count;
        }
    }

    /// How many flows there are.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// How many were found at their packet `packet` or before; `u64::MAX` asks for all that were found.
    #[must_use]
    pub fn found_by(&self, packet: u64) -> u64 {
        self.found.range(..=packet).map(|(_, count)| count).sum()
    }

    /// The packet numbers at which flows were found, rising, and how many.
    pub fn found(&self) -> impl Iterator<Item = (u64, u64)> {
        self.found.iter().map(|(&packet, &count)| (packet, count))
    }

    /// The smallest packet number by which at least `percent` of 100 of the flows that were found were found. None if no flow was.
    #[must_use]
    pub fn quantile(&self, percent: u64) -> Option<u64> {
        let found = u128::from(self.found_by(u64::MAX));
        let mut passed = 0;
        self.found.iter().find_map(|(&packet, &count)| {
            passed += u128::from(count);
            (passed * 100 >= found * u128::from(percent)).then_some(packet)
        })
    }
}

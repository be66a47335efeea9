//! Classified packets -> a score, one packet at a time.
//!
//! Not here: where flows begin and end. The classifier says so, and the meter believes it.

use std::num::NonZeroUsize;

use lru::LruCache;
use treeline_ebpf::{Counters, Skip};

use super::matrix::BENIGN;
use super::score::Score;

/// A packet with its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Its flow's number in the capture.
    pub flow: u64,
    /// Its number in its flow, from 1, which begins the flow.
    pub packet: u64,
    /// Its flow's label, if it has one; 0 is benign.
    pub label: Option<u16>,
    /// The model's class; 0 is benign.
    pub verdict: u16,
}

/// Counts the packets of one capture. Memory: one entry a flow, as many as the classifier's own table holds; asked in the same order, it evicts
/// the same flows.
#[derive(Debug)]
pub struct Meter {
    score: Score,
    /// Whether each flow was found.
    flows: LruCache<u64, bool>,
}

impl Meter {
    /// A meter for a classifier with a table of `flows_max` flows.
    #[must_use]
    pub fn new(flows_max: u32) -> Self {
        let flows = LruCache::new(NonZeroUsize::new(flows_max as usize).unwrap_or(NonZeroUsize::MIN));
        Self { score: Score::default(), flows }
    }

    /// Counts a packet with a verdict.
    pub fn judge(&mut self, judged: &Judged) {
        let &Judged { flow, packet, label, verdict } = judged;
        let Some(label) = label else {
            self.score.packets_unlabelled += 1;
            self.score.flows_unlabelled += u64::from(packet == 1);
            return;
        };
        self.score.packets.add(label, verdict);
        if packet == 1 {
            self.flows.put(flow, false);
            self.score.flows.add(label, BENIGN);
            self.score.detection.entry(label).or_default().open();
        }
        let Some(is_found) = self.flows.get_mut(&flow) else { return };
        if verdict != BENIGN && !std::mem::replace(is_found, true) {
            self.score.flows.turn(label, verdict);
            self.score.detection.entry(label).or_default().find(packet);
        }
    }

    /// The score, with the packets that the classifier skipped by its `counters`.
    #[must_use]
    pub fn finish(mut self, counters: &Counters) -> Score {
        self.score.skipped = Skip::ALL.map(|skip| counters[skip.counter() as usize]);
        self.score
    }
}

//! What the packets of a capture, or of several, were worth: the counts from which every figure follows.

use std::collections::BTreeMap;

use treeline_ebpf::Skip;
use treeline_lab::capture::Unsupported;

use super::detection::Detection;
use super::matrix::{BENIGN, Binary, Matrix};

/// The packet numbers by which flows are reported as found.
pub const PACKETS: [u64; 5] = [1, 2, 5, 10, 100];

/// Counts of packets and flows. Labels are indices into the evaluation's labels, verdicts into the model's classes; 0 is benign in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Packets without a verdict, by reason: left out of everything else.
    pub skipped: [u64; Skip::ALL.len()],
    /// Frames of unsupported link types, which the classifier never saw.
    pub unsupported: Unsupported,
    /// Packets with a verdict of flows without a label: left out too.
    pub packets_unlabelled: u64,
    /// Flows without a label.
    pub flows_unlabelled: u64,
    /// Verdicts on packets.
    pub packets: Matrix,
    /// Verdicts on flows: the first malicious verdict on a packet of the flow, benign without one.
    pub flows: Matrix,
    /// When flows got their first malicious verdict, by label.
    pub detection: BTreeMap<u16, Detection>,
}

impl Score {
    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.skipped.iter_mut().zip(other.skipped) {
            *count += more;
        }
        self.unsupported.merge(&other.unsupported);
        self.packets_unlabelled += other.packets_unlabelled;
        self.flows_unlabelled += other.flows_unlabelled;
        self.packets.merge(&other.packets);
        self.flows.merge(&other.flows);
        for (&label, detection) in &other.detection {
            self.detection.entry(label).or_default().merge(detection);
        }
    }

    /// All frames: classified with and without a label, and skipped.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.packets.total() + self.packets_unlabelled + self.skipped.iter().sum::<u64>() + self.unsupported.count()
    }

    /// The flows with any malicious label.
    #[must_use]
    pub fn malicious(&self) -> Detection {
        let mut all = Detection::default();
        for (_, detection) in self.detection.range(BENIGN + 1..) {
            all.merge(detection);
        }
        all
    }

    /// Malicious flows against benign ones, when each is classified by its first `packet` packets alone (a shorter one by all it has).
    #[must_use]
    pub fn flows_by(&self, packet: u64) -> Binary {
        let sides = |detection: &Detection| {
            let found = detection.found_by(packet);
            (found, detection.flows() - found)
        };
        let (true_positives, false_negatives) = sides(&self.malicious());
        let (false_positives, true_negatives) = self.detection.get(&BENIGN).map(sides).unwrap_or_default();
        Binary { true_positives, false_positives, false_negatives, true_negatives }
    }
}

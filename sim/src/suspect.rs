//! Flows with a malicious packet, gathered while a replay runs.

use std::num::NonZeroUsize;

use lru::LruCache;
use treeline_ebpf::{Key, Outcome};

use crate::conversation::Conversation;
use crate::engine::Observation;
use treeline_lab::Frame;

/// Suspects kept for listing; further ones are only counted.
pub const LISTED_MAX: usize = 100_000;

/// A flow with a malicious packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Who talked to whom.
    pub conversation: Conversation,
    /// Time of the flow's first packet, nanoseconds.
    pub first_ns: u64,
    /// Packets of the flow so far.
    pub packets: u64,
    /// Malicious packets among them.
    pub packets_malicious: u64,
    /// Number of the first malicious packet within the flow, from 1.
    pub first_malicious: u64,
    /// Index of that packet's frame in the capture.
    pub first_malicious_frame: u64,
    /// That packet's class.
    pub class: u16,
}

/// The suspects of a replay: those whose flow may go on, and those whose flow is over.
#[derive(Debug)]
pub(crate) struct Suspects {
    open: LruCache<Key, Suspect>,
    closed: Vec<Suspect>,
    count: u64,
}

impl Suspects {
    pub(crate) fn new(flows_max: u32) -> Self {
        let open = LruCache::new(NonZeroUsize::new(flows_max as usize).unwrap_or(NonZeroUsize::MIN));
        Self { open, closed: Vec::new(), count: 0 }
    }

    pub(crate) fn see(&mut self, frame: &Frame, observation: &Observation) {
        let Some(flow) = &observation.flow else { return };
        let malicious = u64::from(matches!(observation.outcome, Outcome::Judged(1..)));
        if malicious == 0 && self.open.is_empty() {
            return;
        }
        if let Some(suspect) = self.open.get_mut(&flow.key)
            && suspect.first_ns == flow.first_ns
            && suspect.packets < flow.packets
        {
            suspect.packets = flow.packets;
            suspect.packets_malicious += malicious;
            return;
        }
        if malicious == 0 {
            return;
        }
        let Outcome::Judged(class) = observation.outcome else { return };
        self.count += 1;
        let suspect = Suspect {
            conversation: Conversation::of(flow),
            first_ns: flow.first_ns,
            packets: flow.packets,
            packets_malicious: 1,
            first_malicious: flow.packets,
            first_malicious_frame: frame.index,
            class,
        };
        if let Some((_, over)) = self.open.push(flow.key, suspect) {
            self.close(over);
        }
    }

    fn close(&mut self, suspect: Suspect) {
        if self.closed.len() < LISTED_MAX {
            self.closed.push(suspect);
        }
    }

    /// How many there were, and those kept, by their first malicious frame.
    pub(crate) fn finish(mut self) -> (u64, Vec<Suspect>) {
        while let Some((_, suspect)) = self.open.pop_lru() {
            self.close(suspect);
        }
        self.closed.sort_by_key(|suspect| suspect.first_malicious_frame);
        (self.count, self.closed)
    }
}

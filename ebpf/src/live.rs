//! What a live system counts beside the [`Counters`](crate::Counters): a value for each CPU. Replays never touch it.

/// Slots of [`Live::classes`].
pub const CLASSES: usize = 256;

/// One CPU's numbers since the map was made.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Live {
    /// Lengths of all frames, Ethernet header included where there is one.
    pub bytes: u64,
    /// Entries that the programs put into the flow table.
    pub flows_inserted: u64,
    /// Entries that they took out of it themselves: see [`Counter::TableFull`](crate::Counter::TableFull) and `src/kernel/world.rs`.
    pub flows_removed: u64,
    /// Alerts in the ring buffer.
    pub alerts_sent: u64,
    /// Alerts that were due and are not there: the ring buffer had no room, or the flow was evicted meanwhile.
    pub alerts_lost: u64,
    /// Malicious packets without an alert: the flow's last one is not old enough.
    pub alerts_held: u64,
    /// Malicious verdicts by class; the last slot takes all classes from 255 on, slot 0 stays 0 (benign ones are in the counters).
    pub classes: [u64; CLASSES],
}

const _: () = assert!(size_of::<Live>() == 8 * (6 + CLASSES));

impl Live {
    /// Nothing counted.
    pub const ZERO: Self =
        Self { bytes: 0, flows_inserted: 0, flows_removed: 0, alerts_sent: 0, alerts_lost: 0, alerts_held: 0, classes: [0; CLASSES] };

    /// The slot of a class.
    #[must_use]
    #[inline(always)]
    pub const fn slot(class: u16) -> u64 {
        if (class as usize) < CLASSES { class as u64 } else { CLASSES as u64 - 1 }
    }

    /// Counts a malicious verdict in slot `slot` modulo [`CLASSES`].
    #[inline(always)]
    #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the mask keeps the index inside")]
    pub const fn judged(&mut self, slot: u64) {
        self.classes[slot as usize & (CLASSES - 1)] += 1;
    }

    /// Adds another CPU's numbers.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.flows_inserted += other.flows_inserted;
        self.flows_removed += other.flows_removed;
        self.alerts_sent += other.alerts_sent;
        self.alerts_lost += other.alerts_lost;
        self.alerts_held += other.alerts_held;
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum += count;
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::ZERO
    }
}

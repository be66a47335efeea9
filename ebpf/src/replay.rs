//! The seam between a replayer and the kernel programs: one memory-mapped cell, read for the clock and written with a record.

use crate::{Counters, FEATURES, Flow};

/// The replay cell.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Cell {
    /// What crosses with each packet.
    pub record: Record,
    /// The counters of a replay, whatever CPU it runs on.
    pub counters: Counters,
}

/// The replayer writes `now_ns` before a packet and reads the rest after it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Record {
    /// The capture's clock for the next packet, nanoseconds.
    pub now_ns: u64,
    /// Packets recorded since load: tells a packet that left no record from one that did.
    pub packets: u64,
    /// [`Outcome::code`](crate::Outcome::code) of the last packet.
    pub outcome: u32,
    /// 1 if `features` and `flow` belong to the last packet, 0 if it never reached a flow.
    pub reached_flow: u32,
    /// The last packet's features.
    pub features: [i64; FEATURES],
    /// Its flow after it, unlocked.
    pub flow: Flow,
}

const _: () = assert!(size_of::<Record>() == 24 + 96 + 128);
const _: () = assert!(size_of::<Cell>() == size_of::<Record>() + 152);

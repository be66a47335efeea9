//! verdict -> alert: what the kernel says of a malicious packet through the ring buffer, at most once a flow and interval.
//!
//! Not here: who decides that an alert is due (the shell in `src/kernel`), and how it is told further (the live system).

use crate::{FEATURES, Key};

/// One record of the ring buffer, in the machine's byte order. Without padding: every byte of it has a meaning.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Alert {
    /// The flow's key.
    pub key: Key,
    /// Time of the packet, nanoseconds on the kernel's monotonic clock.
    pub now_ns: u64,
    /// Time of the flow's first packet; with the key it tells a flow from later ones of the same key.
    pub first_ns: u64,
    /// The packet's number in its flow, from 1.
    pub packet: u64,
    /// The model's id: [`Config::model`](crate::Config::model) of the program that classified.
    pub model: u64,
    /// The packet's features, fixed point with 16 fractional bits.
    pub features: [i64; FEATURES],
    /// Index of the interface.
    pub interface: u32,
    /// The verdict, never 0.
    pub class: u16,
    /// 1: the packet came from the flow's originator.
    pub forward: u8,
    /// 1: the originator is the key's low endpoint.
    pub originator_low: u8,
}

const _: () = assert!(size_of::<Alert>() == 40 + 4 * 8 + 96 + 8);

/// What the classifier knows of a malicious packet when it has classified it.
#[derive(Debug, Clone, Copy)]
pub struct Alarm<'a> {
    /// The packet's flow.
    pub key: &'a Key,
    /// Whether the packet's source is the key's low endpoint.
    pub from_low: bool,
    /// The packet's time.
    pub now_ns: u64,
    /// Its features.
    pub features: &'a crate::Features,
    /// Its class, never 0.
    pub class: u16,
}

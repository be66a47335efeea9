//! A frame: bytes with a time. Every arrow of the straight line starts here.
//!
//! Frames are always Ethernet: the capture reader turns other link types into an Ethernet header of its own
//! ([`crate::capture`]), so that each engine sees the same bytes. What is not here: parsing, which belongs to the engines.

/// One captured frame, beginning at the Ethernet header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Position in the capture, from 0.
    pub index: u64,
    /// The capture's clock, nanoseconds since the epoch.
    pub time_ns: u64,
    /// Length on the wire in bytes, at least `bytes.len()` unless the capture lies.
    pub original_length: u32,
    /// The captured bytes; shorter than `original_length` where a snap length cut them.
    pub bytes: Vec<u8>,
}

//! packet -> flow: the key that both directions share, and the sums a flow carries.
//!
//! # Why no sum can overflow
//!
//! A flow holds at most [`PACKETS_MAX`] = 2^31 packets, each of at most 65,575 bytes, and lives at most
//! [`TIMEOUT_NS_MAX`](crate::platform::TIMEOUT_NS_MAX) = 7.2e12 ns < 2^43:
//! - lengths: 2^31 · 65,575 < 2^47.1, and shifted by 16 bits for a mean still below 2^63.1, which fits u64;
//! - their deviations: each at most 65,575 · 65,536 < 2^32.1, together below 2^63.1;
//! - gaps: they add up to the flow's age, below 2^43, shifted below 2^59;
//! - their deviations: |x - m| <= x + m, and with the mean of packet i at most age / i the means add up to at most
//!   age · (1 + ln 2^31) < 22.5 · age, so the sum stays below 23.5 · 7.2e12 · 65,536 < 2^63.3;
//! - directions: 2^31 · 65,536 = 2^47.
//!
//! Not here: where flows are kept and who may write one at a time; that is the platform's.

use crate::feature::{self, FRACTION_BITS, Features};
use crate::packet::{ACK, FIN, RST, SYN};
use crate::{Config, Counter, Packet, Platform};

/// Packets after which a flow ends and the next packet opens a new one.
pub const PACKETS_MAX: u64 = 1 << 31;

/// Flow flag: the originator is the key's low endpoint.
pub const ORIGINATOR_LOW: u64 = 1;
/// Flow flag: the originator sent FIN.
pub const FIN_ORIGINATOR: u64 = 2;
/// Flow flag: the responder sent FIN.
pub const FIN_RESPONDER: u64 = 4;
/// Flow flag: either side sent RST.
pub const RESET: u64 = 8;
/// Flow flag: its first packet was TCP with ACK and without SYN and RST, so that its connection is older than the flow.
pub const MIDSTREAM: u64 = 16;

/// An address, most significant half first; IPv4 in the last 32 bits.
pub type Address = [u64; 2];

/// Both endpoints of a conversation, the lower (by address, then port) first, so that both directions give the same key.
/// Address and port move together.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Key {
    /// The lower endpoint's address.
    pub low: Address,
    /// The higher endpoint's address.
    pub high: Address,
    /// The lower endpoint's port, 0 for a protocol without ports.
    pub low_port: u16,
    /// The higher endpoint's port.
    pub high_port: u16,
    /// IP protocol number; for IPv6 the one behind the extension headers.
    pub protocol: u8,
    /// 4 or 6.
    pub version: u8,
    /// Zero: a map compares keys byte by byte.
    pub reserved: u16,
}

const _: () = assert!(size_of::<Key>() == 40);

impl Key {
    /// The key of a packet and whether its source is the low endpoint. Two equal endpoints, a host's port talking to itself,
    /// cannot be told apart: every packet then comes from the low one.
    #[must_use]
    #[inline(always)]
    pub fn new(version: u8, protocol: u8, source: (Address, u16), destination: (Address, u16)) -> (Self, bool) {
        let ([s0, s1], [d0, d1]) = (source.0, destination.0);
        let from_low = if s0 != d0 {
            s0 < d0
        } else if s1 != d1 {
            s1 < d1
        } else {
            source.1 <= destination.1
        };
        let (low, high) = if from_low { (source, destination) } else { (destination, source) };
        (Self { low: low.0, high: high.0, low_port: low.1, high_port: high.1, protocol, version, reserved: 0 }, from_low)
    }
}

/// One flow's state, the value of the kernel's flow table.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Flow {
    /// 1 while a CPU writes the flow, else 0. Only the kernel shell uses it.
    pub lock: u64,
    /// Whose state this is: an LRU table gives the memory of an evicted flow to another at once.
    pub key: Key,
    /// [`ORIGINATOR_LOW`], [`FIN_ORIGINATOR`], [`FIN_RESPONDER`], [`RESET`], [`MIDSTREAM`].
    pub flags: u64,
    /// Time of the first packet, nanoseconds.
    pub first_ns: u64,
    /// Latest time of any packet, nanoseconds; never less than `first_ns`. The gaps add up to the difference.
    pub last_ns: u64,
    /// Packets so far, at most [`PACKETS_MAX`]. 0: opened, no packet yet.
    pub packets: u64,
    /// Packets from the originator.
    pub packets_forward: u64,
    /// Sum of the IP total lengths, bytes.
    pub length_sum: u64,
    /// Sum of |length - mean length at that packet|, bytes with 16 fractional bits.
    pub length_deviation_sum: u64,
    /// Sum of |gap - mean gap at that packet|, nanoseconds with 16 fractional bits.
    pub gap_deviation_sum: u64,
    /// Sum of |direction - mean direction at that packet|, 16 fractional bits.
    pub direction_deviation_sum: u64,
    /// Time of the flow's last alert, nanoseconds; 0: none yet. Only a live kernel shell sets it.
    pub alerted_ns: u64,
}

const _: () = assert!(size_of::<Flow>() == 128);

impl Flow {
    /// No packets, and no key either: version 0 belongs to nobody.
    pub const EMPTY: Self = Self {
        lock: 0,
        key: Key { low: [0; 2], high: [0; 2], low_port: 0, high_port: 0, protocol: 0, version: 0, reserved: 0 },
        flags: 0,
        first_ns: 0,
        last_ns: 0,
        packets: 0,
        packets_forward: 0,
        length_sum: 0,
        length_deviation_sum: 0,
        gap_deviation_sum: 0,
        direction_deviation_sum: 0,
        alerted_ns: 0,
    };

    /// A flow without packets.
    #[must_use]
    pub const fn new(key: &Key) -> Self {
        Self { key: *key, ..Self::EMPTY }
    }

    /// Whether TCP has closed it: RST from either side, or FIN from both.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.flags & RESET != 0 || self.flags & (FIN_ORIGINATOR | FIN_RESPONDER) == FIN_ORIGINATOR | FIN_RESPONDER
    }

    /// Whether its connection is older than the flow: what began it was not seen.
    #[must_use]
    pub const fn is_midstream(&self) -> bool {
        self.flags & MIDSTREAM != 0
    }

    /// Whether the next SYN opens another: TCP has closed it, or what began it was not seen. One question for two flags.
    #[inline(always)]
    const fn yields_to_syn(&self) -> bool {
        self.flags & (RESET | MIDSTREAM) != 0 || self.is_closed()
    }

    /// Why the flow is over and `packet` opens a new one of the same key, if it is.
    #[inline(always)]
    fn end(&self, packet: &Packet, now_ns: u64, config: &Config) -> Option<Counter> {
        if now_ns.saturating_sub(self.last_ns) > config.idle_timeout_ns {
            Some(Counter::EndedIdle)
        } else if now_ns.saturating_sub(self.first_ns) > config.active_timeout_ns {
            Some(Counter::EndedActive)
        } else if self.packets >= PACKETS_MAX {
            Some(Counter::EndedLimit)
        } else if packet.tcp_flags & (SYN | ACK) == SYN && self.yields_to_syn() {
            // Stragglers of a teardown, a late FIN or the last ACK, still belong to the closed flow. A connection whose beginning was not seen is
            // over as well when another begins: a lone ACK sent ahead of it hides nothing.
            Some(Counter::EndedClosed)
        } else {
            None
        }
    }
}

/// What a packet did to its flow besides joining it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The packet opened a flow.
    pub opened: bool,
    /// Why the key's earlier flow ended, if there was one.
    pub ended: Option<Counter>,
    /// The clock read earlier than the flow's latest packet: its gap counts as 0.
    pub clock_back: bool,
}

impl Change {
    #[inline(always)]
    pub(crate) fn count<P: Platform>(self, platform: &mut P) {
        if let Some(counter) = self.ended {
            platform.count(counter);
        }
        if self.opened {
            platform.count(Counter::Opened);
        }
        if self.clock_back {
            platform.count(Counter::ClockBack);
        }
    }
}

/// Adds a packet to its flow, first ending the flow if it is over, and computes the twelve features.
#[inline(always)]
pub fn observe(flow: &mut Flow, packet: &Packet, now_ns: u64, config: &Config, features: &mut Features) -> Change {
    let mut change = Change::default();
    if flow.packets > 0 {
        change.ended = flow.end(packet, now_ns, config);
    }
    change.opened = flow.packets == 0 || change.ended.is_some();
    if change.opened {
        open(flow, packet, now_ns);
    }
    let originator_low = flow.flags & ORIGINATOR_LOW != 0;
    let forward = packet.from_low == originator_low;
    change.clock_back = now_ns < flow.last_ns;
    let gap_ns = now_ns.saturating_sub(flow.last_ns);

    // The sums: the module's text shows why none overflows.
    flow.last_ns += gap_ns;
    flow.packets += 1;
    flow.packets_forward += u64::from(forward);
    flow.length_sum += u64::from(packet.length);
    flow.flags |= closing(packet.tcp_flags, forward);

    let (low, high) = (u64::from(flow.key.low_port), u64::from(flow.key.high_port));
    let (originator_port, responder_port) = if originator_low { (low, high) } else { (high, low) };
    features.set(feature::ORIGINATOR_PORT, originator_port << FRACTION_BITS);
    features.set(feature::RESPONDER_PORT, responder_port << FRACTION_BITS);
    features.set(feature::PROTOCOL, u64::from(flow.key.protocol) << FRACTION_BITS);
    let packets = flow.packets;
    features.set(feature::PACKETS, packets << FRACTION_BITS);
    features.set(feature::MIDSTREAM, flow.flags & MIDSTREAM);
    let age_ns = flow.last_ns - flow.first_ns;
    describe(features, feature::LENGTH, u64::from(packet.length), flow.length_sum, &mut flow.length_deviation_sum, packets);
    describe(features, feature::GAP, gap_ns, age_ns, &mut flow.gap_deviation_sum, packets);
    describe(features, feature::DIRECTION, u64::from(forward), flow.packets_forward, &mut flow.direction_deviation_sum, packets);
    change
}

/// The three features of a quantity: this packet's value, the mean, the mean absolute deviation.
#[inline(always)]
fn describe(features: &mut Features, feature: usize, value: u64, sum: u64, deviation_sum: &mut u64, packets: u64) {
    let value = value << FRACTION_BITS;
    let mean = divide(sum << FRACTION_BITS, packets);
    *deviation_sum += value.abs_diff(mean);
    features.set(feature, value);
    features.set(feature + feature::TO_MEAN, mean);
    features.set(feature + feature::TO_DEVIATION, divide(*deviation_sum, packets));
}

/// Resets a flow to the moment before its first packet, which `packet` is. Lock and key stay.
#[inline(always)]
fn open(flow: &mut Flow, packet: &Packet, now_ns: u64) {
    flow.flags = if packet.from_low { ORIGINATOR_LOW } else { 0 };
    flow.flags |= midstream(packet.tcp_flags);
    flow.first_ns = now_ns;
    flow.last_ns = now_ns;
    flow.packets = 0;
    flow.packets_forward = 0;
    flow.length_sum = 0;
    flow.length_deviation_sum = 0;
    flow.gap_deviation_sum = 0;
    flow.direction_deviation_sum = 0;
    flow.alerted_ns = 0;
}

/// [`MIDSTREAM`] for ACK without SYN and RST, else 0. Without a branch, of which the verifier would follow both ways: each flag is moved to the
/// place of ACK, which is that of [`MIDSTREAM`].
#[inline(always)]
fn midstream(tcp_flags: u8) -> u64 {
    const _: () = assert!(MIDSTREAM == ACK as u64);
    let flags = u64::from(tcp_flags);
    flags & !(flags << (ACK.ilog2() - SYN.ilog2())) & !(flags << (ACK.ilog2() - RST.ilog2())) & MIDSTREAM
}

/// The flow flags that a packet's TCP flags set.
#[inline(always)]
fn closing(tcp_flags: u8, forward: bool) -> u64 {
    let mut flags = 0;
    if tcp_flags & RST != 0 {
        flags |= RESET;
    }
    if tcp_flags & FIN != 0 {
        flags |= if forward { FIN_ORIGINATOR } else { FIN_RESPONDER };
    }
    flags
}

/// `sum / packets`, rounded down; 0 for no packets, which does not occur.
#[inline(always)]
fn divide(sum: u64, packets: u64) -> u64 {
    sum.checked_div(packets).unwrap_or(0)
}

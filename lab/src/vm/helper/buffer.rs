//! A socket buffer: what the kernel keeps beside its bytes, and how those grow and shrink.

use super::super::Fault;
use super::super::context::{self, skb};
use super::{ENOMEM, Session, stop};

const ETHERNET: usize = 14;
pub(super) const TAG: usize = 4;
pub(super) const DOT1Q: u16 = 0x8100;
pub(super) const DOT1AD: u16 = 0x88a8;
/// `NET_SKB_PAD`, in which room before a packet is given.
const PAD: usize = 64;
const UNKNOWN: u16 = u16::MAX;

/// What the kernel knows of a buffer beside what the context shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::vm) struct Buffer {
    /// Where the network header starts.
    pub(in crate::vm) network: usize,
    /// Bytes of the Ethernet header as some helpers note it; 0 where none has.
    pub(super) mac_length: usize,
    /// Bytes that the kernel has before the packet, and where in its memory it thinks the transport header is. It moves that also when it
    /// knows none, and then knows one: `bpf_skb_change_tail` shows it.
    pub(super) headroom: usize,
    pub(super) transport: u16,
    /// The checksum is known to be right, at this level of encapsulation.
    pub(super) checked: Option<u8>,
    /// `bpf_skb_adjust_room` has said that there is another packet inside.
    pub(super) is_encapsulated: bool,
    /// The hash was set by the program.
    pub(super) has_hash: bool,
}

impl Buffer {
    /// Takes room before the packet, made in steps if there is too little.
    pub(super) fn push(&mut self, count: usize) {
        let more = count.saturating_sub(self.headroom).next_multiple_of(PAD);
        self.transport = self.transport.wrapping_add(low(more));
        self.headroom += more;
        self.headroom -= count;
    }

    /// Runs a change of the network header's place, with which the transport header goes if it is the same.
    pub(super) fn with_transport(&mut self, change: impl FnOnce(&mut Self)) {
        let is_same = self.transport == low(self.headroom + self.network);
        change(self);
        if is_same {
            self.transport = low(self.headroom + self.network);
        }
    }

    /// The shortest that a packet may become.
    pub(super) fn length_min(&self) -> usize {
        let transport = usize::from(self.transport).checked_sub(self.headroom);
        transport.filter(|offset| *offset > 0 && self.transport != UNKNOWN).unwrap_or(self.network)
    }
}

pub(super) fn low(count: usize) -> u16 {
    u16::try_from(count & 0xffff).expect("16 bits")
}

impl Default for Buffer {
    fn default() -> Self {
        Self { network: ETHERNET, mac_length: 0, headroom: PAD, transport: UNKNOWN, checked: None, is_encapsulated: false, has_hash: false }
    }
}

impl Session {
    pub(super) fn protocol(&self) -> u16 {
        u16::try_from(context::word(&self.context, skb::PROTOCOL) & 0xffff).expect("16 bits").swap_bytes()
    }

    /// The protocol that the first tag among the bytes that is followed by none names.
    pub(super) fn protocol_behind_tags(&self) -> u16 {
        const TAGS_MAX: usize = 8;
        let mut protocol = self.protocol();
        let first = if self.buffer.mac_length == 0 { ETHERNET } else { self.buffer.mac_length - TAG };
        for (place, number) in (first + 2..).step_by(TAG).zip(1..) {
            if !matches!(protocol, DOT1Q | DOT1AD) {
                break;
            }
            let next = self.packet.bytes().get(place..place + 2).filter(|_| number < TAGS_MAX);
            protocol = next.map_or(0, |next| u16::from_be_bytes([next[0], next[1]]));
        }
        protocol
    }

    pub(super) fn set_protocol(&mut self, protocol: u16) {
        context::set_word(&mut self.context, skb::PROTOCOL, u32::from(protocol.swap_bytes()));
    }

    pub(super) fn forget_hash(&mut self) {
        context::set_word(&mut self.context, skb::HASH, 0);
        self.buffer.has_hash = false;
    }

    /// The tag beside the bytes: protocol and control information.
    pub(super) fn tag(&self) -> Option<(u16, u16)> {
        let field = |offset| u16::try_from(context::word(&self.context, offset) & 0xffff).expect("16 bits");
        (context::word(&self.context, skb::VLAN_PRESENT) != 0).then(|| (field(skb::VLAN_PROTO).swap_bytes(), field(skb::VLAN_TCI)))
    }

    pub(super) fn set_tag(&mut self, tag: Option<(u16, u16)>) {
        let (protocol, tci) = tag.unwrap_or_default();
        context::set_word(&mut self.context, skb::VLAN_PRESENT, u32::from(tag.is_some()));
        context::set_word(&mut self.context, skb::VLAN_PROTO, u32::from(protocol.swap_bytes()));
        context::set_word(&mut self.context, skb::VLAN_TCI, u32::from(tci));
    }

    /// Takes the tag out of the bytes and answers its control information.
    pub(super) fn untag(&mut self) -> Result<u16, i32> {
        let bytes = self.packet.bytes();
        let tag = bytes.get(ETHERNET..ETHERNET + TAG).ok_or(ENOMEM)?;
        let (tci, kind) = (u16::from_be_bytes([tag[0], tag[1]]), [tag[2], tag[3]]);
        let protocol = context::protocol(kind, bytes.get(ETHERNET + TAG..));
        self.set_protocol(protocol);
        self.remove(12, TAG)?;
        self.buffer.headroom += TAG;
        self.buffer.network = self.buffer.network.saturating_sub(TAG).max(ETHERNET);
        self.buffer.mac_length = self.buffer.network;
        Ok(tci)
    }

    /// Makes the packet longer or shorter at its end.
    pub(super) fn resize(&mut self, length: usize, site: u64) {
        let start = self.start();
        let length_max = self.room.length();
        if length > length_max {
            stop(site, Fault::Room { length, length_max });
        }
        if start + length > length_max {
            let before = self.packet.length();
            self.room.bytes_mut().copy_within(start..start + before, 0);
            self.place(0, length, 0);
        } else {
            self.place(start, length, 0);
        }
    }

    /// Puts `count` zero bytes before the byte at `at`.
    pub(super) fn insert(&mut self, at: usize, count: usize, site: u64) {
        let before = self.packet.length();
        if at > before {
            // There the kernel shows what lay in its memory.
            stop(site, Fault::Absent { what: "room behind the end of the packet" });
        }
        self.resize(before + count, site);
        let bytes = self.packet.bytes_mut();
        bytes.copy_within(at..before, at + count);
        bytes[at..at + count].fill(0);
    }

    /// The same within the headers of the network.
    pub(super) fn insert_header(&mut self, at: usize, count: usize, site: u64) {
        self.insert(at, count, site);
        // Room comes before the comparison of the two headers.
        self.buffer.push(count);
        self.buffer.headroom += count;
        self.buffer.with_transport(|buffer| buffer.headroom -= count);
    }

    /// The same within the headers of the network.
    pub(super) fn remove_header(&mut self, at: usize, count: usize) -> Result<(), i32> {
        self.remove(at, count)?;
        self.buffer.with_transport(|buffer| buffer.headroom += count);
        Ok(())
    }

    /// Takes `count` bytes out, from the byte at `at` on.
    pub(super) fn remove(&mut self, at: usize, count: usize) -> Result<(), i32> {
        let length = self.packet.length();
        if at + count > length {
            return Err(ENOMEM);
        }
        self.packet.bytes_mut().copy_within(at + count.., at);
        self.place(self.start(), length - count, 0);
        Ok(())
    }
}

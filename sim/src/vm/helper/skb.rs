//! Helpers that change a socket buffer: its bytes, ends, tags and what the kernel knows of it (`net/core/filter.c`, v6.18).
//!
//! A buffer here is in one piece, belongs to nobody else, starts at its Ethernet header and is not a bundle of segments (GSO).

use super::super::Fault;
use super::super::context::{self, skb};
use super::{EACCES, EALREADY, EFAULT, EINVAL, ENOMEM, ENOTSUPP, EOPNOTSUPP, Session, errno, result, signed, stop, with, word};

/// The longest buffer that a helper makes: `SKB_MAX_ALLOC`.
const LENGTH_MAX: usize = (4096 << 2) - 320;
const ETHERNET: usize = 14;
const TAG: usize = 4;
/// `NET_SKB_PAD`, in which room before a packet is given.
const PAD: usize = 64;
const UNKNOWN: u16 = u16::MAX;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const DOT1Q: u16 = 0x8100;
const DOT1AD: u16 = 0x88a8;

/// What the kernel knows of a buffer beside what the context shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::vm) struct Buffer {
    /// Where the network header starts.
    pub(in crate::vm) network: usize,
    /// Bytes that the kernel has before the packet, and where in its memory it thinks the transport header is. It moves that also when it
    /// knows none, and then knows one: `bpf_skb_change_tail` shows it.
    headroom: usize,
    transport: u16,
    /// The checksum is known to be right, at this level of encapsulation.
    checked: Option<u8>,
    /// `bpf_skb_adjust_room` has said that there is another packet inside.
    is_encapsulated: bool,
    /// The hash was set by the program.
    has_hash: bool,
}

impl Buffer {
    /// Takes room before the packet, made in steps if there is too little.
    fn push(&mut self, count: usize) {
        let more = count.saturating_sub(self.headroom).next_multiple_of(PAD);
        self.transport = self.transport.wrapping_add(low(more));
        self.headroom += more;
        self.headroom -= count;
    }

    /// Runs a change of the network header's place, with which the transport header goes if it is the same.
    fn with_transport(&mut self, change: impl FnOnce(&mut Self)) {
        let is_same = self.transport == low(self.headroom + self.network);
        change(self);
        if is_same {
            self.transport = low(self.headroom + self.network);
        }
    }

    /// The shortest that a packet may become.
    fn length_min(&self) -> usize {
        let offset = i64::from(self.transport) - i64::try_from(self.headroom).expect("rooms are small");
        match self.transport {
            UNKNOWN => self.network,
            _ => usize::try_from(offset).unwrap_or(usize::MAX),
        }
    }
}

fn low(count: usize) -> u16 {
    u16::try_from(count & 0xffff).expect("16 bits")
}

impl Default for Buffer {
    fn default() -> Self {
        Self { network: ETHERNET, headroom: PAD, transport: UNKNOWN, checked: None, is_encapsulated: false, has_hash: false }
    }
}

fn change(context: u64, site: u64, work: impl FnOnce(&mut Session) -> Result<(), i32>) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let done = work(session);
        session.point();
        result(done)
    })
}

pub(super) fn store_bytes(context: u64, offset: u64, from: u64, length: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let (offset, flags) = (word(offset), session.fifth);
        let bytes = session.bytes(3, from, word(length), site);
        if flags & !3 != 0 {
            return Err(EINVAL);
        }
        let end = offset.checked_add(bytes.len()).ok_or(EFAULT)?;
        session.packet.bytes_mut().get_mut(offset..end).ok_or(EFAULT)?.copy_from_slice(&bytes);
        if flags & 2 != 0 {
            session.forget_hash();
        }
        Ok(())
    })
}

/// As `bpf_skb_change_proto`: makes or takes the 20 bytes by which the headers of IPv4 and IPv6 differ.
pub(super) fn change_proto(context: u64, protocol: u64, flags: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let to = u16::try_from(word(protocol) & 0xffff).expect("16 bits").swap_bytes();
        if flags != 0 {
            return Err(EINVAL);
        }
        let at = session.buffer.network;
        match (session.protocol(), to) {
            (IPV4, IPV6) => session.insert_header(at, 20, site),
            (IPV6, IPV4) => session.remove_header(at, 20)?,
            _ => return Err(ENOTSUPP),
        }
        session.set_protocol(to);
        session.forget_hash();
        Ok(())
    })
}

pub(super) fn change_type(context: u64, kind: u64, _: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let kind = u32::try_from(word(kind)).expect("32 bits");
        if kind > 3 || context::word(&session.context, skb::PKT_TYPE) > 3 {
            return Err(EINVAL);
        }
        context::set_word(&mut session.context, skb::PKT_TYPE, kind);
        Ok(())
    })
}

pub(super) fn change_tail(context: u64, length: u64, flags: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let (before, after) = (session.packet.length(), word(length));
        if flags != 0 || after > LENGTH_MAX || after < session.buffer.length_min() {
            return Err(EINVAL);
        }
        if session.buffer.is_encapsulated {
            return Err(ENOTSUPP);
        }
        session.resize(after, site);
        if after > before {
            session.packet.bytes_mut()[before..].fill(0);
        }
        Ok(())
    })
}

pub(super) fn change_head(context: u64, length: u64, flags: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let length = word(length);
        if flags != 0 || session.packet.length() + length > LENGTH_MAX {
            return Err(EINVAL);
        }
        session.insert(0, length, site);
        session.buffer.push(length);
        session.buffer.network += length;
        Ok(())
    })
}

const FIXED_GSO: u64 = 1;
const ENCAP_IPV4: u64 = 2;
const ENCAP_IPV6: u64 = 4;
const ENCAP_GRE: u64 = 8;
const ENCAP_UDP: u64 = 16;
const NO_CSUM_RESET: u64 = 32;
const ENCAP_ETHERNET: u64 = 64;
const DECAP_IPV4: u64 = 128;
const DECAP_IPV6: u64 = 256;
const INNER_LENGTH: u64 = 0xff << 56;

pub(super) fn adjust_room(context: u64, by: u64, mode: u64, flags: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let (by, is_shrink) = (signed(by).unsigned_abs(), signed(by) < 0);
        let known = FIXED_GSO | ENCAP_IPV4 | ENCAP_IPV6 | ENCAP_GRE | ENCAP_UDP | NO_CSUM_RESET | ENCAP_ETHERNET | DECAP_IPV4 | DECAP_IPV6;
        if flags & !(known | INNER_LENGTH) != 0 {
            return Err(EINVAL);
        }
        let by = usize::try_from(by).ok().filter(|by| *by <= 0xfff).ok_or(EFAULT)?;
        let header = match session.protocol() {
            IPV4 => 20,
            IPV6 => 40,
            _ => return Err(ENOTSUPP),
        };
        let at = session.buffer.network
            + match word(mode) {
                0 => header,
                1 => 0,
                _ => return Err(ENOTSUPP),
            };
        let left_min = match flags & (DECAP_IPV4 | DECAP_IPV6) {
            0 => header,
            _ if !is_shrink => return Err(EINVAL),
            DECAP_IPV4 => 20,
            DECAP_IPV6 => 40,
            _ => return Err(EINVAL),
        };
        let there = session.packet.length().saturating_sub(session.buffer.network);
        let is_too_short = is_shrink && (by >= there || there - by < left_min);
        if is_too_short || !is_shrink && session.packet.length() + by > LENGTH_MAX {
            return Err(ENOTSUPP);
        }
        if is_shrink {
            shrink(session, at, by, flags)?;
        } else {
            grow(session, at, by, flags, site)?;
        }
        if flags & NO_CSUM_RESET == 0 {
            session.buffer.checked = None;
        }
        Ok(())
    })
}

fn shrink(session: &mut Session, at: usize, by: usize, flags: u64) -> Result<(), i32> {
    if flags & !(FIXED_GSO | NO_CSUM_RESET | DECAP_IPV4 | DECAP_IPV6) != 0 {
        return Err(EINVAL);
    }
    session.remove_header(at, by)?;
    match flags & (DECAP_IPV4 | DECAP_IPV6) {
        DECAP_IPV4 => session.set_protocol(IPV4),
        DECAP_IPV6 => session.set_protocol(IPV6),
        _ => {}
    }
    Ok(())
}

fn grow(session: &mut Session, at: usize, by: usize, flags: u64, site: u64) -> Result<(), i32> {
    let is_encap = flags & (ENCAP_IPV4 | ENCAP_IPV6) != 0;
    if is_encap {
        let inner = usize::try_from(flags >> 56).unwrap_or(0);
        let both = |pair: u64| flags & pair == pair;
        if both(ENCAP_IPV4 | ENCAP_IPV6) || both(ENCAP_GRE | ENCAP_UDP) || flags & ENCAP_ETHERNET != 0 && inner < ETHERNET {
            return Err(EINVAL);
        }
        if session.buffer.is_encapsulated {
            return Err(EALREADY);
        }
        if inner > by {
            return Err(EINVAL);
        }
    }
    session.insert_header(at, by, site);
    if is_encap {
        session.buffer.is_encapsulated = true;
        if flags & (ENCAP_GRE | ENCAP_UDP) != 0 {
            let header = if flags & ENCAP_IPV6 != 0 { 40 } else { 20 };
            session.buffer.transport = low(session.buffer.headroom + session.buffer.network + header);
        }
        session.set_protocol(if flags & ENCAP_IPV6 != 0 { IPV6 } else { IPV4 });
    }
    Ok(())
}

/// As `bpf_skb_vlan_push`: the newest tag lies beside the bytes, the one before it moves into them.
pub(super) fn vlan_push(context: u64, protocol: u64, tci: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        let protocol = u16::try_from(word(protocol) & 0xffff).expect("16 bits").swap_bytes();
        let protocol = if matches!(protocol, DOT1Q | DOT1AD) { protocol } else { DOT1Q };
        if let Some((outer, tci)) = session.tag() {
            session.insert(12, TAG, site);
            session.buffer.push(TAG);
            let bytes = session.packet.bytes_mut();
            bytes[12..14].copy_from_slice(&outer.to_be_bytes());
            bytes[14..16].copy_from_slice(&tci.to_be_bytes());
            session.set_protocol(outer);
            session.buffer.network += TAG;
        }
        session.set_tag(Some((protocol, u16::try_from(word(tci) & 0xffff).expect("16 bits"))));
        Ok(())
    })
}

/// As `bpf_skb_vlan_pop`: the tag beside the bytes goes, and the next one takes its place.
pub(super) fn vlan_pop(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        if session.tag().is_some() {
            session.set_tag(None);
        } else {
            if !matches!(session.protocol(), DOT1Q | DOT1AD) {
                return Ok(());
            }
            session.untag()?;
        }
        let protocol = session.protocol();
        if matches!(protocol, DOT1Q | DOT1AD) {
            let tci = session.untag()?;
            session.set_tag(Some((protocol, tci)));
        }
        Ok(())
    })
}

/// As `bpf_get_hash_recalc` after `bpf_set_hash`; the kernel's own hash has a key drawn at boot.
pub(super) fn get_hash(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        if !session.buffer.has_hash {
            stop(site, Fault::Absent { what: "the kernel's hash of a flow, whose key it draws when it starts" });
        }
        u64::from(context::word(&session.context, skb::HASH))
    })
}

pub(super) fn set_hash(context: u64, hash: u64, _: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        context::set_word(&mut session.context, skb::HASH, u32::try_from(word(hash)).expect("32 bits"));
        session.buffer.has_hash = true;
        Ok(())
    })
}

pub(super) fn set_hash_invalid(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        session.forget_hash();
        Ok(())
    })
}

/// As `bpf_csum_level`.
pub(super) fn checksum_level(context: u64, level: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let checked = &mut session.buffer.checked;
        match level {
            0 => return checked.map_or_else(|| errno(EACCES), u64::from),
            1 => *checked = Some(checked.map_or(0, |level| (level + 1).min(3))),
            2 => *checked = checked.and_then(|level| level.checked_sub(1)),
            3 => *checked = None,
            _ => return errno(EINVAL),
        }
        0
    })
}

/// As `bpf_csum_update` of a buffer without a checksum from the hardware.
pub(super) fn checksum_update(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    change(context, site, |_| Err(ENOTSUPP))
}

/// As `bpf_skb_set_tstamp`.
pub(super) fn set_tstamp(context: u64, time: u64, kind: u64, _: u64, site: u64) -> u64 {
    change(context, site, |session| {
        if !matches!(session.protocol(), IPV4 | IPV6) {
            return Err(EOPNOTSUPP);
        }
        let kind = u8::try_from(word(kind)).map_err(|_| EINVAL)?;
        if kind > 2 || kind > 0 && time == 0 {
            return Err(EINVAL);
        }
        session.context.bytes_mut()[skb::TSTAMP..][..8].copy_from_slice(&time.to_le_bytes());
        session.context.bytes_mut()[skb::TSTAMP_TYPE] = kind;
        Ok(())
    })
}

/// As `bpf_skb_ecn_set_ce`: 1 if the packet now says that there is congestion.
pub(super) fn set_congestion(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let (at, protocol) = (session.buffer.network, session.protocol_behind_tags());
        let Some(header) = session.packet.bytes_mut().get_mut(at..) else { return 0 };
        match protocol {
            IPV4 if header.len() >= 20 => {
                let field = header[1] & 3;
                if field == 0 || field == 3 {
                    return u64::from(field == 3);
                }
                // RFC 1624: what the field grows by, the checksum loses.
                let (checksum, is_over) = u16::from_be_bytes([header[10], header[11]]).overflowing_add(0xfffc + u16::from(field));
                header[10..12].copy_from_slice(&(checksum + u16::from(is_over)).to_be_bytes());
                header[1] |= 3;
                1
            }
            IPV6 if header.len() >= 40 => {
                if header[1] & 0x30 == 0 {
                    return 0;
                }
                header[1] |= 0x30;
                1
            }
            _ => 0,
        }
    })
}

impl Session {
    pub(super) fn protocol(&self) -> u16 {
        u16::try_from(context::word(&self.context, skb::PROTOCOL) & 0xffff).expect("16 bits").swap_bytes()
    }

    /// The protocol that the first tag among the bytes that is followed by none names.
    fn protocol_behind_tags(&self) -> u16 {
        const TAGS_MAX: usize = 8;
        let mut protocol = self.protocol();
        for place in (ETHERNET + 2..).step_by(TAG).take(TAGS_MAX) {
            if !matches!(protocol, DOT1Q | DOT1AD) {
                break;
            }
            let next = self.packet.bytes().get(place..place + 2);
            protocol = next.map_or(0, |next| u16::from_be_bytes([next[0], next[1]]));
        }
        protocol
    }

    fn set_protocol(&mut self, protocol: u16) {
        context::set_word(&mut self.context, skb::PROTOCOL, u32::from(protocol.swap_bytes()));
    }

    fn forget_hash(&mut self) {
        context::set_word(&mut self.context, skb::HASH, 0);
        self.buffer.has_hash = false;
    }

    /// The tag beside the bytes: protocol and control information.
    fn tag(&self) -> Option<(u16, u16)> {
        let field = |offset| u16::try_from(context::word(&self.context, offset) & 0xffff).expect("16 bits");
        (context::word(&self.context, skb::VLAN_PRESENT) != 0).then(|| (field(skb::VLAN_PROTO).swap_bytes(), field(skb::VLAN_TCI)))
    }

    fn set_tag(&mut self, tag: Option<(u16, u16)>) {
        let (protocol, tci) = tag.unwrap_or_default();
        context::set_word(&mut self.context, skb::VLAN_PRESENT, u32::from(tag.is_some()));
        context::set_word(&mut self.context, skb::VLAN_PROTO, u32::from(protocol.swap_bytes()));
        context::set_word(&mut self.context, skb::VLAN_TCI, u32::from(tci));
    }

    /// Takes the tag out of the bytes and answers its control information.
    fn untag(&mut self) -> Result<u16, i32> {
        let bytes = self.packet.bytes();
        let tag = bytes.get(ETHERNET..ETHERNET + TAG).ok_or(ENOMEM)?;
        let (tci, kind) = (u16::from_be_bytes([tag[0], tag[1]]), [tag[2], tag[3]]);
        let protocol = context::protocol(kind, bytes.get(ETHERNET + TAG..));
        self.set_protocol(protocol);
        self.remove(12, TAG)?;
        self.buffer.headroom += TAG;
        self.buffer.network = self.buffer.network.saturating_sub(TAG).max(ETHERNET);
        Ok(tci)
    }

    /// Makes the packet longer or shorter at its end.
    fn resize(&mut self, length: usize, site: u64) {
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
    fn insert(&mut self, at: usize, count: usize, site: u64) {
        let before = self.packet.length();
        self.resize(before + count, site);
        let bytes = self.packet.bytes_mut();
        bytes.copy_within(at..before, at + count);
        bytes[at..at + count].fill(0);
    }

    /// The same within the headers of the network.
    fn insert_header(&mut self, at: usize, count: usize, site: u64) {
        self.insert(at, count, site);
        // Room comes before the comparison of the two headers.
        self.buffer.push(count);
        self.buffer.headroom += count;
        self.buffer.with_transport(|buffer| buffer.headroom -= count);
    }

    /// The same within the headers of the network.
    fn remove_header(&mut self, at: usize, count: usize) -> Result<(), i32> {
        self.remove(at, count)?;
        self.buffer.with_transport(|buffer| buffer.headroom += count);
        Ok(())
    }

    /// Takes `count` bytes out, from the byte at `at` on.
    fn remove(&mut self, at: usize, count: usize) -> Result<(), i32> {
        let length = self.packet.length();
        if at + count > length {
            return Err(ENOMEM);
        }
        self.packet.bytes_mut().copy_within(at + count.., at);
        self.place(self.start(), length - count, 0);
        Ok(())
    }
}

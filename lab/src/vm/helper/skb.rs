//! Helpers that change a socket buffer: its bytes, ends, tags and what the kernel knows of it (`net/core/filter.c`, v6.18).
//!
//! A buffer here is in one piece, belongs to nobody else, starts at its Ethernet header and is not a bundle of segments (GSO).

use super::super::Fault;
use super::super::context::{self, skb};
use super::buffer::{DOT1AD, DOT1Q, TAG, low};
use super::{EACCES, EALREADY, EFAULT, EINVAL, ENOTSUPP, EOPNOTSUPP, Session, errno, result, signed, stop, with, word};

/// The longest buffer that a helper makes: `SKB_MAX_ALLOC`.
const LENGTH_MAX: usize = (4096 << 2) - 320;
const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

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
        session.buffer.mac_length = session.buffer.network;
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
        // Of 32 bits in the kernel, where a network header behind the end leaves very many.
        let there = session.packet.length().wrapping_sub(session.buffer.network) & 0xffff_ffff;
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
            // The network header keeps its distance from the start: it is the tag now.
            session.set_protocol(outer);
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

//! Helpers that read the packet.

use super::{EFAULT, ENOMEM, errno, signed, with, word};

/// As `bpf_skb_load_bytes`: out of range answers EFAULT and zeroes the buffer.
pub(super) fn load_bytes(context: u64, offset: u64, to: u64, length: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let (offset, length) = (word(offset), word(length));
        let target = session.target(3, to, length, site);
        let packet = session.packet.bytes();
        if let Some(source) = offset.checked_add(length).and_then(|end| packet.get(offset..end)) {
            // SAFETY: `target` made sure of `length` bytes at the target; they may lie in the packet itself, hence `copy`.
            unsafe { std::ptr::copy(source.as_ptr(), target, length) };
            0
        } else {
            // SAFETY: `target` made sure of `length` bytes at the target.
            unsafe { std::ptr::write_bytes(target, 0, length) };
            errno(EFAULT)
        }
    })
}

/// As `bpf_skb_load_bytes_relative`: from the Ethernet header (0) or the network header (1).
pub(super) fn load_bytes_relative(context: u64, offset: u64, to: u64, length: u64, site: u64) -> u64 {
    let start = with(|session| match word(session.fifth) {
        _ if word(offset) > 0xffff => None,
        0 => Some(0),
        1 => Some(session.buffer.network),
        _ => None,
    });
    // No packet reaches there.
    let offset = start.map_or(u64::from(u32::MAX), |start| (word(offset) + start) as u64);
    load_bytes(context, offset, to, length, site)
}

/// As `bpf_skb_pull_data`: all bytes are linear here, so it only refuses lengths beyond the packet.
pub(super) fn pull_data(context: u64, length: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        if word(length) > session.packet.length() { errno(ENOMEM) } else { 0 }
    })
}

/// Loads of classic BPF, of one, two and four bytes.
pub(super) const CLASSIC: [rbpf::ebpf::Helper; 3] = [classic::<1>, classic::<2>, classic::<4>];

/// Offsets from here on count from the network header (`SKF_NET_OFF`), from the next one on from the Ethernet header (`SKF_LL_OFF`).
const FROM_NETWORK: i64 = -0x10_0000;
const FROM_ETHERNET: i64 = -0x20_0000;

/// As `bpf_skb_load_helper_8` to `_32`: big-endian, EFAULT beyond the packet.
fn classic<const SIZE: usize>(offset: u64, context: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let start = match signed(offset) {
            offset @ 0.. => Some(offset),
            offset @ FROM_NETWORK.. => Some(offset - FROM_NETWORK + i64::try_from(session.buffer.network).expect("a header's place")),
            offset @ FROM_ETHERNET.. => Some(offset - FROM_ETHERNET),
            _ => None,
        };
        let bytes = start.and_then(|start| session.packet.bytes().get(usize::try_from(start).ok()?..)?.get(..SIZE));
        bytes.map_or_else(|| errno(EFAULT), |bytes| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    })
}

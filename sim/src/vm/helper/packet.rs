//! Helpers that read the packet.

use super::{EFAULT, ENOMEM, errno, with, word};

/// As `bpf_skb_load_bytes`: out of range answers EFAULT and zeroes the buffer.
pub(super) fn load_bytes(context: u64, offset: u64, to: u64, length: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let (offset, length) = (word(offset), word(length));
        let target = session.pointer(3, to, length, site);
        let packet = session.packet.bytes();
        if let Some(source) = offset.checked_add(length).and_then(|end| packet.get(offset..end)) {
            // SAFETY: `pointer` made sure of `length` bytes at the target; they may lie in the packet itself, hence `copy`.
            unsafe { std::ptr::copy(source.as_ptr(), target, length) };
            0
        } else {
            // SAFETY: `pointer` made sure of `length` bytes at the target.
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

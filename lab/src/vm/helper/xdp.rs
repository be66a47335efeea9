//! Helpers that move the ends of a packet under XDP (`net/core/filter.c`, v6.18).

use super::super::context;
use super::{EACCES, EFAULT, EINVAL, Session, errno, result, signed, with, word};

/// Bytes of an Ethernet header, which every packet keeps.
const HEADER: i64 = 14;
/// What the frame of a packet has of its page: 4096 bytes without `struct skb_shared_info`; before the packet lie 256.
const FRAME: usize = 4096 - 320 - 256;
/// `struct xdp_frame`, which must fit before the metadata.
const FRAME_HEADER: usize = 40;
const HEAD_ROOM: usize = 256;

pub(super) fn adjust_head(context: u64, offset: u64, _: u64, _: u64, site: u64) -> u64 {
    resize(context, site, |session| {
        let metadata = session.metadata();
        let start = length(session.start()) + signed(offset);
        let end = length(session.start()) + length(session.packet.length());
        if start < length(FRAME_HEADER + metadata) || start > end - HEADER {
            return Err(EINVAL);
        }
        let (from, to) = (session.start() - metadata, usize::try_from(start).map_err(|_| EINVAL)? - metadata);
        session.room.bytes_mut().copy_within(from..from + metadata, to);
        session.place(to + metadata, usize::try_from(end - start).map_err(|_| EINVAL)?, metadata);
        Ok(())
    })
}

pub(super) fn adjust_tail(context: u64, offset: u64, _: u64, _: u64, site: u64) -> u64 {
    resize(context, site, |session| {
        let (before, offset) = (session.packet.length(), signed(offset));
        let after = length(before) + offset;
        let end = length(session.start()) + after;
        if end > length(HEAD_ROOM + FRAME) || after < HEADER {
            return Err(EINVAL);
        }
        let after = usize::try_from(after).map_err(|_| EINVAL)?;
        session.place(session.start(), after, session.metadata());
        if after > before {
            session.packet.bytes_mut()[before..].fill(0);
        }
        Ok(())
    })
}

pub(super) fn adjust_meta(context: u64, offset: u64, _: u64, _: u64, site: u64) -> u64 {
    resize(context, site, |session| {
        let metadata = length(session.metadata()) - signed(offset);
        if metadata < 0 || length(session.start()) - metadata < length(FRAME_HEADER) {
            return Err(EINVAL);
        }
        let metadata = usize::try_from(metadata).map_err(|_| EINVAL)?;
        if metadata > 252 || !metadata.is_multiple_of(4) {
            return Err(EACCES);
        }
        session.place(session.start(), session.packet.length(), metadata);
        Ok(())
    })
}

fn resize(context: u64, site: u64, change: impl FnOnce(&mut Session) -> Result<(), i32>) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let done = change(session);
        session.point();
        result(done)
    })
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) fn load_bytes(context: u64, offset: u64, to: u64, count: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let target = session.pointer(3, to, word(count), site);
        match session.part(offset, count) {
            // SAFETY: `pointer` made sure of as many bytes at the target; they may lie in the packet itself, hence `copy`.
            Ok(source) => unsafe { std::ptr::copy(source.as_ptr(), target, source.len()) },
            Err(error) => return errno(error),
        }
        session.stack.write(to, word(count));
        0
    })
}

pub(super) fn store_bytes(context: u64, offset: u64, from: u64, count: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let bytes = session.bytes(3, from, word(count), site);
        let done = session.part(offset, count).map(|part| part.copy_from_slice(&bytes));
        result(done)
    })
}

pub(super) fn buffer_length(context: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        session.packet.length() as u64
    })
}

impl Session {
    fn part(&mut self, offset: u64, count: u64) -> Result<&mut [u8], i32> {
        let (offset, count) = (word(offset), word(count));
        if offset > 0xffff || count > 0xffff {
            return Err(EFAULT);
        }
        self.packet.bytes_mut().get_mut(offset..offset + count).ok_or(EINVAL)
    }

    fn metadata(&self) -> usize {
        self.reach.length() - self.packet.length()
    }

    /// Where in its room the packet starts.
    pub(super) fn start(&self) -> usize {
        self.room.offset_of(&self.packet)
    }

    /// Tells the program where its packet is now.
    pub(super) fn point(&mut self) {
        let metadata = self.metadata();
        context::point(self.hook, &mut self.context, &self.packet, metadata);
    }
}

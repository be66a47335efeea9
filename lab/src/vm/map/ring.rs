//! Ring buffers: how much room there is and what lies where, as in `kernel/bpf/ringbuf.c`, so that a record that a program does not fill
//! shows what the kernel's would show. What was sent leaves with the run: a reader that keeps up.
//!
//! The kernel maps its pages twice, one after the other. Here the second time is a copy, made when a record goes over the end.

use super::super::memory::{Arena, Piece};
use super::{EAGAIN, EINVAL};

/// Bytes before each record: its length with two bits of state, and its page.
const HEADER: u64 = 8;
const HEADER_BYTES: usize = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// Pages before the first byte of data: the kernel's own, the consumer's and the producer's.
const PAGES: u64 = 3;
const RECORD_MAX: u64 = u32::MAX as u64 / 4;

/// Where its producer and its reader are, and what is taken.
#[derive(Debug)]
pub(in crate::vm) struct Ring {
    /// Twice the size.
    memory: Piece,
    size: u64,
    produced: u64,
    consumed: u64,
    /// The first position that a record not yet given back may have.
    pending: u64,
    /// Records taken and not given back: position and length.
    taken: Vec<(u64, u64)>,
}

impl Ring {
    /// Bytes of arena that a ring of `size` bytes takes.
    pub(super) fn room(size: u32) -> usize {
        Arena::room(size as usize * 2)
    }

    /// A ring of `size` bytes, a power of two; one of none is always full.
    pub(super) fn new(size: u32, arena: &mut Arena) -> Self {
        let memory = arena.piece(size as usize * 2);
        Self { memory, size: u64::from(size), produced: 0, consumed: 0, pending: 0, taken: Vec::new() }
    }

    /// All that was sent has been read.
    pub(super) fn drain(&mut self) {
        self.taken.clear();
        (self.consumed, self.pending) = (self.produced, self.produced);
    }

    /// The address of a new record, or `None` where there is no room.
    pub(in crate::vm) fn reserve(&mut self, length: u64) -> Option<u64> {
        if length > RECORD_MAX {
            return None;
        }
        let whole = (length + HEADER).next_multiple_of(8);
        if whole > self.size {
            return None;
        }
        let end = self.produced + whole;
        self.pending = self.taken.iter().map(|(position, _)| *position).min().unwrap_or(self.produced);
        if end - self.consumed > self.size - 1 || end - self.pending > self.size - 1 {
            return None;
        }
        let position = self.produced;
        self.produced = end;
        self.taken.push((position, length));
        self.mirror(position, whole, false);
        self.set_header(position, length, BUSY);
        Some(self.address(position) + HEADER)
    }

    /// Gives a record back by its address: its bytes, or `None` if it was not taken.
    pub(in crate::vm) fn commit(&mut self, address: u64, is_discarded: bool) -> Option<Vec<u8>> {
        let place = self.taken.iter().position(|(position, _)| self.address(*position) + HEADER == address)?;
        let (position, length) = self.taken.swap_remove(place);
        self.set_header(position, length, if is_discarded { DISCARDED } else { 0 });
        let start = self.offset(position) + HEADER_BYTES;
        let bytes = self.memory.bytes()[start..start + usize::try_from(length).ok()?].to_vec();
        self.mirror(position, (length + HEADER).next_multiple_of(8), true);
        Some(bytes)
    }

    /// Sends a copy of bytes.
    pub(in crate::vm) fn output(&mut self, bytes: &[u8], flags: u64) -> Result<(), i32> {
        if flags & !3 != 0 {
            return Err(EINVAL);
        }
        let address = self.reserve(bytes.len() as u64).ok_or(EAGAIN)?;
        let start = usize::try_from(address - self.memory.address()).expect("a record lies in its ring");
        self.memory.bytes_mut()[start..start + bytes.len()].copy_from_slice(bytes);
        self.commit(address, false);
        Ok(())
    }

    /// As `bpf_ringbuf_query`.
    pub(in crate::vm) fn query(&self, what: u64) -> u64 {
        match what {
            0 => self.produced - self.consumed,
            1 => self.size,
            2 => self.consumed,
            3 => self.produced,
            _ => 0,
        }
    }

    /// Whether `length` bytes at `address` lie in one record that is taken.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        self.taken.iter().any(|(position, size)| {
            let offset = address.wrapping_sub(self.address(*position) + HEADER);
            offset <= *size && length as u64 <= size - offset
        })
    }

    pub(super) fn range(&self) -> Option<std::ops::Range<u64>> {
        (self.size > 0).then(|| self.memory.range())
    }

    fn offset(&self, position: u64) -> usize {
        usize::try_from(position & (self.size - 1)).expect("rings are small")
    }

    fn address(&self, position: u64) -> u64 {
        self.memory.address() + (position & (self.size - 1))
    }

    fn set_header(&mut self, position: u64, length: u64, state: u32) {
        let start = self.offset(position);
        let page = u32::try_from(PAGES + start as u64 / 4096).expect("rings are small");
        let length = u32::try_from(length).expect("checked when it was taken") | state;
        let header = &mut self.memory.bytes_mut()[start..start + 8];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&page.to_le_bytes());
    }

    /// Copies what goes over the end between its two places.
    fn mirror(&mut self, position: u64, length: u64, is_back: bool) {
        let (start, size) = (self.offset(position), self.offset(0) + usize::try_from(self.size).expect("rings are small"));
        let end = start + usize::try_from(length).expect("rings are small");
        if end > size {
            let over = end - size;
            let (from, to) = if is_back { (size, 0) } else { (0, size) };
            self.memory.bytes_mut().copy_within(from..from + over, to);
        }
    }
}

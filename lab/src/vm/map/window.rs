//! Windows: fixed places through which a program sees the elements of a big map, one element per window for the whole run.
//!
//! rbpf scans its allowed ranges one by one, so a range for every element of a table is out of the question. The element of an entry that the
//! program looks up is copied into a free window and written back when the run ends. A window stays its element's also when the entry is
//! deleted, evicted or replaced: a pointer into it then shows whatever the element holds next, as in the kernel. The first windows are
//! ranges of their own; those for runs that look up more entries lie in one range, where rbpf does not see the end of each (helper arguments
//! are still held to the byte).

use super::super::memory::{Arena, Piece};

/// Bytes of the windows of one map beyond the first at most.
const MORE_BYTES: usize = 4 << 20;

/// The windows of one map.
#[derive(Debug)]
pub(super) struct Windows {
    places: Vec<Piece>,
    /// How many of them are ranges of their own; the others are parts of `rest`.
    own_count: usize,
    rest: Option<Piece>,
    /// Which element each window in use shows. Windows fill in order.
    shown: Vec<u32>,
}

impl Windows {
    /// How many windows beyond the first a map gets of the `more` that it may have.
    fn more(value_size: usize, more: usize) -> usize {
        more.min(MORE_BYTES / Arena::room(value_size))
    }

    /// Bytes of arena that [`Windows::new`] takes.
    pub(super) fn room(value_size: usize, count: usize, more: usize) -> usize {
        let one = Arena::room(value_size);
        one * count + Arena::room(one * Self::more(value_size, more))
    }

    /// `count` windows of exactly `value_size` bytes, and up to `more` for runs that need them.
    pub(super) fn new(arena: &mut Arena, value_size: usize, count: usize, more: usize) -> Self {
        let mut places: Vec<Piece> = (0..count).map(|_| arena.piece(value_size)).collect();
        let (one, more) = (Arena::room(value_size), Self::more(value_size, more));
        let rest = (more > 0).then(|| arena.piece(one * more));
        places.extend(rest.iter().flat_map(|rest| (0..more).map(|number| rest.part(number * one, value_size))));
        Self { places, own_count: count, rest, shown: Vec::with_capacity(count) }
    }

    /// Address of the window that shows `element`, opening one with the element's bytes if none does; `Err` when none is left.
    pub(super) fn open(&mut self, element: u32, value: &[u8]) -> Result<u64, usize> {
        if let Some(position) = self.position(element) {
            return Ok(self.places[position].address());
        }
        let count = self.places.len();
        let place = self.places.get_mut(self.shown.len()).ok_or(count)?;
        place.bytes_mut().copy_from_slice(value);
        self.shown.push(element);
        Ok(place.address())
    }

    fn position(&self, element: u32) -> Option<usize> {
        self.shown.iter().position(|shown| *shown == element)
    }

    /// The bytes of the window that shows `element`, if one does.
    pub(super) fn shown(&self, element: u32) -> Option<&[u8]> {
        self.position(element).map(|position| self.places[position].bytes())
    }

    /// The bytes of the window that shows `element`, to write.
    pub(super) fn shown_mut(&mut self, element: u32) -> Option<&mut [u8]> {
        let position = self.position(element)?;
        Some(self.places[position].bytes_mut())
    }

    /// How many are open.
    pub(super) fn open_count(&self) -> usize {
        self.shown.len()
    }

    /// Closes all windows but the first `kept`, giving each element's bytes to `write`.
    pub(super) fn close(&mut self, kept: usize, mut write: impl FnMut(u32, &[u8])) {
        let kept = kept.min(self.shown.len());
        for (element, place) in self.shown.drain(kept..).zip(&self.places[kept..]) {
            write(element, place.bytes());
        }
    }

    /// The window in use that holds `length` bytes at `address`.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        self.places[..self.shown.len()].iter().any(|place| place.holds(address, length))
    }

    /// The window that a run opens first.
    pub(super) fn first(&self) -> Option<Piece> {
        self.places.first().copied()
    }

    /// The address ranges of all windows.
    pub(super) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u64>> {
        self.places[..self.own_count].iter().chain(&self.rest).map(Piece::range)
    }
}

//! Windows: fixed places through which a program sees entries of a big map, one entry a window and a run.
//!
//! rbpf scans its allowed ranges one by one, so a range for every entry of a table is out of the question. An entry that the
//! program looks up is copied into a free window and written back when the run ends. The first windows are ranges of their own; those for
//! runs that look up more entries lie in one range, where rbpf does not see the end of each (helper arguments are still held to the byte).

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
    /// Which entry each window in use shows; `None` once the entry was replaced or deleted under it. Windows fill in order.
    shown: Vec<Option<u32>>,
}

impl Windows {
    /// How many windows beyond the first a map gets of the `more` that it may have. A run needs more than there are entries where it
    /// deletes some and looks up others.
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

    /// Address of the window that shows `entry`, opening one with the entry's bytes if none does; `Err` when none is left.
    pub(super) fn open(&mut self, entry: u32, value: &[u8]) -> Result<u64, usize> {
        if let Some(position) = self.shown.iter().position(|shown| *shown == Some(entry)) {
            return Ok(self.places[position].address());
        }
        let count = self.places.len();
        let place = self.places.get_mut(self.shown.len()).ok_or(count)?;
        place.bytes_mut().copy_from_slice(value);
        self.shown.push(Some(entry));
        Ok(place.address())
    }

    /// The bytes of the window that shows `entry`, if one does.
    pub(super) fn shown(&self, entry: u32) -> Option<&[u8]> {
        self.shown.iter().position(|shown| *shown == Some(entry)).map(|position| self.places[position].bytes())
    }

    /// The bytes of the window that shows `entry`, to write.
    pub(super) fn shown_mut(&mut self, entry: u32) -> Option<&mut [u8]> {
        let position = self.shown.iter().position(|shown| *shown == Some(entry))?;
        Some(self.places[position].bytes_mut())
    }

    /// Cuts the window of `entry` loose: the program may still read and write it, the map no longer hears of it. So it is in
    /// the kernel, where an element replaced or deleted lives on until the run's RCU section ends.
    pub(super) fn detach(&mut self, entry: u32) {
        for shown in &mut self.shown {
            if *shown == Some(entry) {
                *shown = None;
            }
        }
    }

    /// How many are open.
    pub(super) fn open_count(&self) -> usize {
        self.shown.len()
    }

    /// Closes all windows but the first `kept`, giving each attached entry's bytes to `write`.
    pub(super) fn close(&mut self, kept: usize, mut write: impl FnMut(u32, &[u8])) {
        let kept = kept.min(self.shown.len());
        for (shown, place) in self.shown.drain(kept..).zip(&self.places[kept..]) {
            if let Some(entry) = shown {
                write(entry, place.bytes());
            }
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

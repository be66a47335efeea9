//! Array maps: entries by index, all there from the start, never deleted. A per-CPU array is one with the single CPU 0.

use super::super::VmError;
use super::super::memory::{Arena, Piece};
use super::window::Windows;
use super::{E2BIG, EEXIST, EINVAL, EXIST, LOCK, Miss, NOEXIST, Shape};

/// Up to so many entries an array lives where the program sees it; a bigger one is seen through windows.
const PLACED_MAX: usize = 8;

/// An array's entries.
#[derive(Debug)]
pub(super) enum Array {
    /// Each entry at an address of its own, for ever.
    Placed(Vec<Piece>),
    /// All entries in one vector, seen through windows.
    Windowed {
        /// The entries, one after the other.
        values: Vec<u8>,
        /// Where the program sees them.
        windows: Windows,
    },
}

/// Bytes of a large array. A damaged object may ask for more than the machine has, and an allocation that fails ends the process.
const BYTES_MAX: usize = 1 << 30;

impl Array {
    /// Bytes of arena an array of this shape takes.
    pub(super) fn room(shape: &Shape, windows_count: usize, more: usize) -> usize {
        let entries_count = shape.max_entries as usize;
        if entries_count <= PLACED_MAX {
            Arena::room(shape.value_size) * entries_count
        } else {
            Windows::room(shape.value_size, windows_count, more)
        }
    }

    /// All entries zero.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, windows_count: usize, more: usize) -> Result<Self, VmError> {
        let entries_count = shape.max_entries as usize;
        if entries_count <= PLACED_MAX {
            return Ok(Self::Placed((0..entries_count).map(|_| arena.piece(shape.value_size)).collect()));
        }
        let too_big = || VmError::MapShape { map: shape.name.clone(), reason: format!("an array of more than {BYTES_MAX} bytes") };
        let length = entries_count.checked_mul(shape.value_size).filter(|length| *length <= BYTES_MAX).ok_or_else(too_big)?;
        Ok(Self::Windowed { values: vec![0; length], windows: Windows::new(arena, shape.value_size, windows_count, more) })
    }

    /// An entry's bytes as the host sees them.
    pub(super) fn value(&self, shape: &Shape, index: u32) -> Option<&[u8]> {
        match self {
            Self::Placed(places) => places.get(index as usize).map(Piece::bytes),
            Self::Windowed { values, .. } => values.chunks_exact(shape.value_size).nth(index as usize),
        }
    }

    /// An entry's bytes, to write.
    pub(super) fn value_mut(&mut self, shape: &Shape, index: u32) -> Option<&mut [u8]> {
        match self {
            Self::Placed(places) => places.get_mut(index as usize).map(Piece::bytes_mut),
            Self::Windowed { values, .. } => values.chunks_exact_mut(shape.value_size).nth(index as usize),
        }
    }

    /// Exchanges the entries with those of an array of the same shape; addresses stay.
    pub(super) fn exchange(&mut self, other: &mut Self) {
        match (self, other) {
            (Self::Placed(one), Self::Placed(two)) => {
                for (one, two) in one.iter_mut().zip(two) {
                    one.bytes_mut().swap_with_slice(two.bytes_mut());
                }
            }
            (Self::Windowed { values: one, .. }, Self::Windowed { values: two, .. }) => std::mem::swap(one, two),
            _ => unreachable!("arrays of one shape lie alike"),
        }
    }

    /// The address of an entry for the program.
    pub(super) fn open(&mut self, shape: &Shape, index: u32) -> Result<u64, Miss> {
        match self {
            Self::Placed(places) => places.get(index as usize).map(Piece::address).ok_or(Miss::Absent),
            Self::Windowed { values, windows } => {
                let value = values.chunks_exact(shape.value_size).nth(index as usize).ok_or(Miss::Absent)?;
                windows.open(index, value).map_err(Miss::Windows)
            }
        }
    }

    /// Overwrites an entry in place, with the kernel's order of complaints (`array_map_update_elem`).
    pub(super) fn update(&mut self, shape: &Shape, index: u32, value: &[u8], flags: u64) -> Result<(), i32> {
        // One thread need not take the value's spin lock.
        let flags = flags & !LOCK;
        if flags > EXIST {
            return Err(EINVAL);
        }
        if index >= shape.max_entries {
            return Err(E2BIG);
        }
        if flags == NOEXIST {
            return Err(EEXIST);
        }
        if let Self::Windowed { windows, .. } = self
            && let Some(shown) = windows.shown_mut(index)
        {
            shown.copy_from_slice(value);
        }
        self.value_mut(shape, index).ok_or(E2BIG)?.copy_from_slice(value);
        Ok(())
    }

    /// Windows but the first `kept` go back into the vector.
    pub(super) fn close(&mut self, shape: &Shape, kept: usize) {
        if let Self::Windowed { values, windows } = self {
            windows.close(kept, |index, value| {
                let start = index as usize * shape.value_size;
                values[start..start + shape.value_size].copy_from_slice(value);
            });
        }
    }

    /// Whether the program may touch `length` bytes at `address` in this map.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        match self {
            Self::Placed(places) => places.iter().any(|place| place.holds(address, length)),
            Self::Windowed { windows, .. } => windows.holds(address, length),
        }
    }

    /// The place that a run looks at first.
    pub(super) fn first(&self) -> Option<Piece> {
        match self {
            Self::Placed(places) => places.first().copied(),
            Self::Windowed { windows, .. } => windows.first(),
        }
    }

    /// The address ranges that the program may be given.
    pub(super) fn ranges(&self) -> Vec<std::ops::Range<u64>> {
        match self {
            Self::Placed(places) => places.iter().map(Piece::range).collect(),
            Self::Windowed { windows, .. } => windows.ranges().collect(),
        }
    }
}

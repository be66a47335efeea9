//! Hash maps, plain and LRU: entries in slots, an index from key to slot, and for LRU a list from the newest to the oldest use.
//!
//! LRU here is exact. The kernel's is approximate and evicts before it is full, so compare the two well below capacity.

use super::super::memory::{Arena, Piece};
use super::window::Windows;
use super::{E2BIG, EEXIST, EINVAL, ENOENT, EXIST, Miss, NOEXIST, Shape};
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// The end of a list.
const NONE: u32 = u32::MAX;

/// A hash map's entries.
#[derive(Debug)]
pub(super) struct Hash {
    index: HashTable<u32>,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Neighbours of each slot in the order of use: (newer, older). A free slot has itself as its newer neighbour.
    links: Vec<(u32, u32)>,
    newest: u32,
    oldest: u32,
    free: Vec<u32>,
    pub(super) windows: Windows,
    lru: bool,
    /// Per-CPU hashes overwrite a value in place, plain ones put a new element in its stead.
    in_place: bool,
    /// Keys that made room for others in this run, one after the other.
    pub(super) evicted: Vec<u8>,
}

impl Hash {
    /// An empty map.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, windows_count: usize, more: usize, lru: bool, in_place: bool) -> Self {
        let windows = Windows::new(arena, shape.value_size, windows_count, more);
        let (keys, values, links, free) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { index: HashTable::new(), keys, values, links, newest: NONE, oldest: NONE, free, windows, lru, in_place, evicted: Vec::new() }
    }

    /// Exchanges all entries, in their order of use, with those of a map of the same shape; windows stay where they are.
    pub(super) fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.windows, &mut other.windows);
    }

    /// Entries in the map.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The slots in use, in slot order.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.links).filter(|(slot, links)| links.0 != *slot).map(|(slot, _)| slot)
    }

    /// A slot's key.
    pub(super) fn key(&self, shape: &Shape, slot: u32) -> &[u8] {
        &self.keys[slot as usize * shape.key_size..][..shape.key_size]
    }

    /// A slot's value as the host sees it.
    pub(super) fn value(&self, shape: &Shape, slot: u32) -> &[u8] {
        &self.values[slot as usize * shape.value_size..][..shape.value_size]
    }

    /// A slot's value, to write.
    pub(super) fn value_mut(&mut self, shape: &Shape, slot: u32) -> &mut [u8] {
        &mut self.values[slot as usize * shape.value_size..][..shape.value_size]
    }

    /// The slot of `key`. Does not count as a use.
    pub(super) fn find(&self, shape: &Shape, key: &[u8]) -> Option<u32> {
        self.index.find(hash(key), |slot| self.key(shape, *slot) == key).copied()
    }

    /// The address of an entry for the program; counts as a use.
    pub(super) fn open(&mut self, shape: &Shape, key: &[u8]) -> Result<u64, Miss> {
        let slot = self.find(shape, key).ok_or(Miss::Absent)?;
        self.touch(slot);
        self.show(shape, slot)
    }

    /// The first slot in use at or after one.
    pub(super) fn next_slot(&self, from: u32) -> Option<u32> {
        (from..).zip(self.links.get(from as usize..)?).find(|(slot, links)| links.0 != *slot).map(|(slot, _)| slot)
    }

    /// The address of a slot's value for the program.
    pub(super) fn show(&mut self, shape: &Shape, slot: u32) -> Result<u64, Miss> {
        let value = &self.values[slot as usize * shape.value_size..][..shape.value_size];
        self.windows.open(slot, value).map_err(Miss::Windows)
    }

    /// Puts a value under a key, with the kernel's order of complaints (`htab_map_update_elem`).
    pub(super) fn update(&mut self, shape: &Shape, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        if flags > EXIST {
            return Err(EINVAL);
        }
        match self.find(shape, key) {
            Some(_) if flags == NOEXIST => Err(EEXIST),
            Some(slot) => {
                if self.in_place
                    && let Some(shown) = self.windows.shown_mut(slot)
                {
                    shown.copy_from_slice(value);
                } else {
                    self.windows.detach(slot);
                }
                self.value_mut(shape, slot).copy_from_slice(value);
                self.touch(slot);
                Ok(())
            }
            None if flags == EXIST => Err(ENOENT),
            None => self.insert(shape, key, value),
        }
    }

    /// Removes a key; a window on it stays readable for this run.
    pub(super) fn delete(&mut self, shape: &Shape, key: &[u8]) -> Result<(), i32> {
        let slot = self.find(shape, key).ok_or(ENOENT)?;
        self.remove(shape, slot);
        Ok(())
    }

    /// Windows but the first `kept` go back into their slots.
    pub(super) fn close(&mut self, shape: &Shape, kept: usize) {
        let values = &mut self.values;
        self.windows.close(kept, |slot, value| {
            values[slot as usize * shape.value_size..][..shape.value_size].copy_from_slice(value);
        });
    }

    /// Whether the program may touch `length` bytes at `address` in this map.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        self.windows.holds(address, length)
    }

    /// The place that a run looks at first.
    pub(super) fn first(&self) -> Option<Piece> {
        self.windows.first()
    }

    /// The address ranges that the program may be given.
    pub(super) fn ranges(&self) -> Vec<std::ops::Range<u64>> {
        self.windows.ranges().collect()
    }

    fn insert(&mut self, shape: &Shape, key: &[u8], value: &[u8]) -> Result<(), i32> {
        if self.len() >= shape.max_entries as usize {
            if !self.lru {
                return Err(E2BIG);
            }
            let oldest = self.oldest;
            self.evicted.extend_from_slice(&self.keys[oldest as usize * shape.key_size..][..shape.key_size]);
            self.remove(shape, oldest);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.keys.resize(self.keys.len() + shape.key_size, 0);
            self.values.resize(self.values.len() + shape.value_size, 0);
            self.links.push((NONE, NONE));
            u32::try_from(self.links.len() - 1).expect("max_entries is 32 bits wide")
        });
        self.keys[slot as usize * shape.key_size..][..shape.key_size].copy_from_slice(key);
        self.value_mut(shape, slot).copy_from_slice(value);
        let keys = &self.keys;
        let rehash = |slot: &u32| hash(&keys[*slot as usize * shape.key_size..][..shape.key_size]);
        self.index.insert_unique(hash(key), slot, rehash);
        self.push_newest(slot);
        Ok(())
    }

    fn remove(&mut self, shape: &Shape, slot: u32) {
        let key = &self.keys[slot as usize * shape.key_size..][..shape.key_size];
        if let Ok(entry) = self.index.find_entry(hash(key), |other| *other == slot) {
            entry.remove();
        }
        self.windows.detach(slot);
        self.unlink(slot);
        self.links[slot as usize] = (slot, slot);
        self.free.push(slot);
    }

    fn touch(&mut self, slot: u32) {
        if self.lru && self.newest != slot {
            self.unlink(slot);
            self.push_newest(slot);
        }
    }

    fn push_newest(&mut self, slot: u32) {
        self.links[slot as usize] = (NONE, self.newest);
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].0 = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let (newer, older) = self.links[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].1 = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].0 = newer,
        }
    }
}

/// `HashTable` takes its tag from the top bits; `FxHasher::finish` leaves good ones there.
fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

//! Hash maps, plain and LRU: entries in elements, and an index from key to element.
//!
//! An element is what a pointer to a value leads to. One whose entry was deleted, evicted or replaced is used again, as in the kernel; which
//! one when, is `pool`'s and `lru`'s.

use super::super::Options;
use super::super::memory::{Arena, Piece};
use super::lru::Lru;
use super::pool::Pool;
use super::recency::Recency;
use super::window::Windows;
use super::{E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM, EXIST, Eviction, LOCK, MapKind, Miss, NO_COMMON_LRU, NOEXIST, Shape};
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// No row.
const NONE: u32 = u32::MAX;

/// A hash map's entries.
#[derive(Debug)]
pub(super) struct Hash {
    index: HashTable<u32>,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// The element of each row: an entry keeps its row when an update gives it another element.
    elements: Vec<u32>,
    /// The row of each element, [`NONE`] for those not in use.
    rows: Vec<u32>,
    rows_free: Vec<u32>,
    supply: Supply,
    pub(super) windows: Windows,
    /// Per-CPU hashes overwrite a value in place, plain ones put a new element in its stead.
    in_place: bool,
    /// Keys that made room for others in this run, one after the other.
    pub(super) evicted: Vec<u8>,
}

/// Where elements come from.
#[derive(Debug)]
enum Supply {
    Pool(Pool),
    Lru(Lru),
    /// LRU without the kernel's shortcuts.
    Exact(Pool, Recency),
}

impl Supply {
    fn new(shape: &Shape, eviction: Eviction) -> Self {
        match (shape.kind, eviction) {
            (MapKind::LruHash | MapKind::LruPerCpuHash, Eviction::Kernel { cpus_count }) => {
                Self::Lru(Lru::new(shape.max_entries, cpus_count, shape.flags & NO_COMMON_LRU != 0))
            }
            (MapKind::LruHash | MapKind::LruPerCpuHash, Eviction::LeastRecentlyUsed) => Self::Exact(Pool::new(shape), Recency::new()),
            _ => Self::Pool(Pool::new(shape)),
        }
    }

    /// Elements that were ever used have numbers below this.
    fn count(&self) -> u32 {
        match self {
            Self::Pool(pool) | Self::Exact(pool, _) => pool.count(),
            Self::Lru(lru) => lru.count(),
        }
    }

    /// An element was used.
    fn touch(&mut self, element: u32) {
        match self {
            Self::Pool(_) => {}
            Self::Lru(lru) => lru.touch(element),
            Self::Exact(_, recency) => recency.touch(element),
        }
    }

    /// Takes an element back.
    fn give(&mut self, element: u32) {
        match self {
            Self::Pool(pool) => pool.give(element),
            Self::Lru(lru) => lru.give(element),
            Self::Exact(pool, recency) => {
                recency.remove(element);
                pool.give(element);
            }
        }
    }
}

impl Hash {
    /// An empty map.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, options: &Options) -> Self {
        Self {
            index: HashTable::new(),
            keys: Vec::new(),
            values: Vec::new(),
            elements: Vec::new(),
            rows: Vec::new(),
            rows_free: Vec::new(),
            supply: Supply::new(shape, options.eviction),
            windows: Windows::new(arena, shape.value_size, options.windows, options.windows_more),
            in_place: shape.kind.is_per_cpu(),
            evicted: Vec::new(),
        }
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

    /// The elements in use, in the order of their rows.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.elements.iter().copied().filter(|element| *element != NONE)
    }

    /// An element's key.
    pub(super) fn key(&self, shape: &Shape, element: u32) -> &[u8] {
        &self.keys[element as usize * shape.key_size..][..shape.key_size]
    }

    /// An element's value as the host sees it.
    pub(super) fn value(&self, shape: &Shape, element: u32) -> &[u8] {
        &self.values[element as usize * shape.value_size..][..shape.value_size]
    }

    /// An element's value, to write.
    pub(super) fn value_mut(&mut self, shape: &Shape, element: u32) -> &mut [u8] {
        &mut self.values[element as usize * shape.value_size..][..shape.value_size]
    }

    /// The element of `key`. Does not count as a use.
    pub(super) fn find(&self, shape: &Shape, key: &[u8]) -> Option<u32> {
        self.index.find(hash(key), |element| self.key(shape, *element) == key).copied()
    }

    /// The address of an entry for the program; counts as a use.
    pub(super) fn open(&mut self, shape: &Shape, key: &[u8]) -> Result<u64, Miss> {
        let element = self.find(shape, key).ok_or(Miss::Absent)?;
        self.supply.touch(element);
        self.show(shape, element)
    }

    /// The first row in use at or after one, and its element.
    pub(super) fn next_row(&self, from: u32) -> Option<(u32, u32)> {
        (from..).zip(self.elements.get(from as usize..)?.iter().copied()).find(|(_, element)| *element != NONE)
    }

    /// The address of an element's value for the program.
    pub(super) fn show(&mut self, shape: &Shape, element: u32) -> Result<u64, Miss> {
        let value = &self.values[element as usize * shape.value_size..][..shape.value_size];
        self.windows.open(element, value).map_err(Miss::Windows)
    }

    /// Puts a value under a key, with the kernel's order of complaints (`htab_map_update_elem`).
    pub(super) fn update(&mut self, shape: &Shape, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        // Under the value's spin lock, which only plain hashes have, it is overwritten in place.
        let is_locked = shape.kind == MapKind::Hash && flags & LOCK != 0;
        let flags = if is_locked { flags & !LOCK } else { flags };
        if flags > EXIST {
            return Err(EINVAL);
        }
        if matches!(self.supply, Supply::Lru(_)) {
            return self.update_lru(shape, key, value, flags);
        }
        match self.find(shape, key) {
            Some(_) if flags == NOEXIST => Err(EEXIST),
            Some(element) if self.in_place || is_locked => {
                self.write(shape, element, value);
                self.supply.touch(element);
                Ok(())
            }
            Some(old) => {
                let new = match &mut self.supply {
                    Supply::Pool(pool) => pool.replace(old),
                    Supply::Exact(pool, recency) => {
                        recency.remove(old);
                        let new = pool.replace(old);
                        recency.touch(new);
                        new
                    }
                    Supply::Lru(_) => unreachable!("an LRU map is updated above"),
                };
                self.grow(shape);
                self.write(shape, new, value);
                self.replace(shape, old, new);
                Ok(())
            }
            None if flags == EXIST => Err(ENOENT),
            None => {
                let new = self.take(shape)?;
                self.write(shape, new, value);
                self.enter(shape, key, new);
                Ok(())
            }
        }
    }

    /// The same for an LRU map, which takes an element, and may evict, before it looks for the key (`htab_lru_map_update_elem`,
    /// `__htab_lru_percpu_map_update_elem`).
    fn update_lru(&mut self, shape: &Shape, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        let new = if self.in_place && flags == EXIST { None } else { Some(self.take(shape)?) };
        if let Some(new) = new.filter(|_| !self.in_place) {
            self.write(shape, new, value);
        }
        let (done, unused) = match (self.find(shape, key), new) {
            (Some(_), new) if flags == NOEXIST => (Err(EEXIST), new),
            (None, new) if flags == EXIST => (Err(ENOENT), new),
            (Some(old), Some(new)) if !self.in_place => {
                self.replace(shape, old, new);
                self.supply.touch(new);
                (Ok(()), Some(old))
            }
            (Some(old), new) => {
                self.write(shape, old, value);
                self.supply.touch(old);
                (Ok(()), new)
            }
            (None, Some(new)) => {
                self.write(shape, new, value);
                self.enter(shape, key, new);
                (Ok(()), None)
            }
            (None, None) => unreachable!("only an update that must find its key takes no element"),
        };
        if let Some(unused) = unused {
            self.supply.give(unused);
        }
        done
    }

    /// Removes a key; its element is the next one to be used again.
    pub(super) fn delete(&mut self, shape: &Shape, key: &[u8]) -> Result<(), i32> {
        let element = self.find(shape, key).ok_or(ENOENT)?;
        self.leave(shape, element);
        self.supply.give(element);
        Ok(())
    }

    /// Windows but the first `kept` go back into their elements.
    pub(super) fn close(&mut self, shape: &Shape, kept: usize) {
        let values = &mut self.values;
        self.windows.close(kept, |element, value| {
            values[element as usize * shape.value_size..][..shape.value_size].copy_from_slice(value);
        });
    }

    /// Ends a run.
    pub(super) fn settle(&mut self, shape: &Shape) {
        self.close(shape, 0);
        if let Supply::Pool(pool) = &mut self.supply {
            pool.settle();
        }
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

    /// An element for a new entry; an LRU map makes room for it.
    fn take(&mut self, shape: &Shape) -> Result<u32, i32> {
        let is_full = self.len() >= shape.max_entries as usize;
        let mut evicted = Vec::new();
        if let Supply::Exact(_, recency) = &self.supply
            && is_full
            && let Some(oldest) = recency.oldest()
        {
            self.evict(shape, oldest);
            self.supply.give(oldest);
        }
        let element = match &mut self.supply {
            Supply::Pool(_) if is_full => return Err(E2BIG),
            Supply::Pool(pool) => pool.take(),
            Supply::Exact(pool, recency) => {
                let element = pool.take();
                recency.touch(element);
                element
            }
            Supply::Lru(lru) => lru.take(&mut evicted).ok_or(ENOMEM)?,
        };
        for element in evicted {
            self.evict(shape, element);
        }
        self.grow(shape);
        Ok(element)
    }

    fn evict(&mut self, shape: &Shape, element: u32) {
        self.evicted.extend_from_slice(&self.keys[element as usize * shape.key_size..][..shape.key_size]);
        self.leave(shape, element);
    }

    /// Makes room for the elements that there are.
    fn grow(&mut self, shape: &Shape) {
        let count = self.supply.count() as usize;
        if count > self.rows.len() {
            self.keys.resize(count * shape.key_size, 0);
            self.values.resize(count * shape.value_size, 0);
            self.rows.resize(count, NONE);
        }
    }

    /// Writes an element's value, also where the program sees it.
    fn write(&mut self, shape: &Shape, element: u32, value: &[u8]) {
        if let Some(shown) = self.windows.shown_mut(element) {
            shown.copy_from_slice(value);
        }
        self.value_mut(shape, element).copy_from_slice(value);
    }

    /// Puts an element into the map.
    fn enter(&mut self, shape: &Shape, key: &[u8], element: u32) {
        self.keys[element as usize * shape.key_size..][..shape.key_size].copy_from_slice(key);
        let keys = &self.keys;
        let rehash = |element: &u32| hash(&keys[*element as usize * shape.key_size..][..shape.key_size]);
        self.index.insert_unique(hash(key), element, rehash);
        let row = self.rows_free.pop().unwrap_or_else(|| {
            self.elements.push(NONE);
            u32::try_from(self.elements.len() - 1).expect("max_entries is 32 bits wide")
        });
        self.elements[row as usize] = element;
        self.rows[element as usize] = row;
    }

    /// Puts an element into the place of another with the same key.
    fn replace(&mut self, shape: &Shape, old: u32, new: u32) {
        let start = old as usize * shape.key_size;
        self.keys.copy_within(start..start + shape.key_size, new as usize * shape.key_size);
        let key = &self.keys[start..start + shape.key_size];
        *self.index.find_mut(hash(key), |element| *element == old).expect("it is in the map") = new;
        let row = std::mem::replace(&mut self.rows[old as usize], NONE);
        self.rows[new as usize] = row;
        self.elements[row as usize] = new;
    }

    /// Takes an element out of the map.
    fn leave(&mut self, shape: &Shape, element: u32) {
        let key = &self.keys[element as usize * shape.key_size..][..shape.key_size];
        if let Ok(entry) = self.index.find_entry(hash(key), |other| *other == element) {
            entry.remove();
        }
        let row = std::mem::replace(&mut self.rows[element as usize], NONE);
        self.elements[row as usize] = NONE;
        self.rows_free.push(row);
    }
}

/// `HashTable` takes its tag from the top bits; `FxHasher::finish` leaves good ones there.
fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

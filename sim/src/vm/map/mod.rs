//! The program's maps, as the program and as the host see them.
//!
//! With the kernel's error numbers; of what lies apart by CPU there is that of CPU 0. Small arrays
//! and the sections `.rodata`, `.data`, `.bss` have fixed addresses; everything else is seen through `window`s.
//!
//! Not here: maps of sockets, cgroups, tasks and stacks, timers, and which false answers a Bloom filter gives.

mod array;
mod hash;
mod queue;
mod ring;
mod shape;
mod sparse;
mod trie;
mod window;

pub use shape::{MapKind, Shape};

use super::memory::{Arena, Piece};
use super::{Options, VmError};
use array::Array;
use hash::Hash;
use queue::Queue;
use ring::Ring;
use sparse::Sparse;
use std::collections::BTreeSet;
use trie::Trie;
use window::Windows;

/// Create or overwrite.
pub const ANY: u64 = 0;
/// Create only.
pub const NOEXIST: u64 = 1;
/// Overwrite only.
pub const EXIST: u64 = 2;

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const EAGAIN: i32 = 11;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

/// Why a lookup gave the program no address.
#[derive(Debug)]
pub(super) enum Miss {
    /// There is no such entry: the program gets a null pointer.
    Absent,
    /// All windows are in use; so many there are.
    Windows(usize),
}

#[derive(Debug)]
enum Body {
    Array(Array),
    Hash(Hash),
    Trie(Trie),
    Sparse(Sparse),
    Queue(Queue),
    Ring(Ring),
}

/// One map of a loaded program.
///
/// Between runs the host reads and writes it at no cost; the address of a value of a small array never changes.
#[derive(Debug)]
pub struct Map {
    shape: Shape,
    body: Body,
    /// Keys that the run named, one after the other.
    touched: Vec<u8>,
}

impl Map {
    /// Bytes of arena a map of this shape takes.
    pub(super) fn room(shape: &Shape, options: &Options) -> usize {
        let (windows_count, more) = (options.windows, options.windows_more);
        match shape.kind {
            MapKind::Array | MapKind::PerCpuArray => Array::room(shape, windows_count, more),
            MapKind::RingBuf => Ring::room(ring_size(shape, options)),
            kind if kind.is_keyless() => 0,
            _ => Windows::room(shape.value_size, windows_count, more),
        }
    }

    /// An empty map, or an array of zeroes.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, options: &Options) -> Result<Self, VmError> {
        let (windows_count, more) = (options.windows, options.windows_more);
        let hash = |arena, lru, in_place| Body::Hash(Hash::new(shape, arena, windows_count, more, lru, in_place));
        let body = match shape.kind {
            MapKind::Array | MapKind::PerCpuArray => Body::Array(Array::new(shape, arena, windows_count, more)?),
            MapKind::Hash => hash(arena, false, false),
            MapKind::PerCpuHash => hash(arena, false, true),
            MapKind::LruHash => hash(arena, true, false),
            MapKind::LruPerCpuHash => hash(arena, true, true),
            MapKind::LpmTrie => Body::Trie(Trie::new(shape, arena, windows_count, more)),
            MapKind::Queue | MapKind::Stack | MapKind::Bloom => Body::Queue(Queue::default()),
            MapKind::RingBuf => Body::Ring(Ring::new(ring_size(shape, options), arena)),
            _ => Body::Sparse(Sparse::new(shape, arena, windows_count, more)),
        };
        Ok(Self { shape: shape.clone(), body, touched: Vec::new() })
    }

    /// Name, kind and sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Entries in the map; an array is always full.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Array(_) => self.shape.max_entries as usize,
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.len(),
            Body::Queue(queue) => queue.len(),
            Body::Ring(_) => 0,
        }
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key, in a trie under the longest prefix that holds it; a key of the wrong length has none.
    /// Not a use in the sense of LRU. Of a queue or stack, with no key, what would leave next.
    #[must_use]
    pub fn lookup(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.body {
            Body::Array(array) => array.value(&self.shape, index(key)?),
            Body::Hash(hash) => Some(hash.value(&self.shape, hash.find(&self.shape, key)?)),
            Body::Trie(trie) => Some(trie.hash.value(&self.shape, trie.find(&self.shape, key)?)),
            Body::Sparse(sparse) => Some(sparse.hash.value(&self.shape, sparse.hash.find(&self.shape, key)?)),
            Body::Queue(queue) => queue.next(&self.shape),
            Body::Ring(_) => None,
        }
    }

    /// The value under a key, to change in place.
    pub fn lookup_mut(&mut self, key: &[u8]) -> Option<&mut [u8]> {
        match &mut self.body {
            Body::Array(array) => array.value_mut(&self.shape, index(key)?),
            Body::Hash(hash) => {
                let slot = hash.find(&self.shape, key)?;
                Some(hash.value_mut(&self.shape, slot))
            }
            Body::Trie(trie) => {
                let slot = trie.find(&self.shape, key)?;
                Some(trie.hash.value_mut(&self.shape, slot))
            }
            Body::Sparse(_) | Body::Queue(_) | Body::Ring(_) => None,
        }
    }

    /// An array's entry by its index; `None` beyond its end and for other kinds.
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<&[u8]> {
        match &self.body {
            Body::Array(array) => array.value(&self.shape, index),
            _ => None,
        }
    }

    /// An array's entry by its index, to change in place: what a host writes before every packet (a clock, say) costs a store.
    pub fn entry_mut(&mut self, index: u32) -> Option<&mut [u8]> {
        match &mut self.body {
            Body::Array(array) => array.value_mut(&self.shape, index),
            _ => None,
        }
    }

    /// Puts a value under a key. `flags` is [`ANY`], [`NOEXIST`] or [`EXIST`]; errors are the kernel's numbers, and EINVAL for
    /// a key or value of the wrong length.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), VmError> {
        let done = if key.len() == self.shape.key_size && value.len() == self.shape.value_size {
            self.put(key, value, flags)
        } else {
            Err(EINVAL)
        };
        done.map_err(|errno| VmError::MapOperation { map: self.shape.name.clone(), errno })
    }

    /// Removes a key. Arrays answer EINVAL, an absent key ENOENT.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), VmError> {
        self.remove(key).map_err(|errno| VmError::MapOperation { map: self.shape.name.clone(), errno })
    }

    /// Exchanges all entries with a map of the same kind and sizes, between runs: how a program goes on with another's. EINVAL if they differ.
    pub fn exchange(&mut self, other: &mut Self) -> Result<(), VmError> {
        let wrong = |shape: &Shape| VmError::MapOperation { map: shape.name.clone(), errno: EINVAL };
        if self.shape != other.shape {
            return Err(wrong(&self.shape));
        }
        match (&mut self.body, &mut other.body) {
            (Body::Array(one), Body::Array(two)) => one.exchange(two),
            (Body::Hash(one), Body::Hash(two)) => one.exchange(two),
            (Body::Trie(one), Body::Trie(two)) => one.exchange(two),
            (Body::Sparse(one), Body::Sparse(two)) => one.hash.exchange(&mut two.hash),
            (Body::Queue(one), Body::Queue(two)) => std::mem::swap(one, two),
            (Body::Ring(_), Body::Ring(_)) => {}
            _ => return Err(wrong(&self.shape)),
        }
        Ok(())
    }

    /// All entries, key and value: an array by index, a hash in an order that depends only on what was done to it,
    /// a queue as they would leave. A ring buffer keeps none.
    #[must_use]
    pub fn entries(&self) -> Box<dyn Iterator<Item = (Vec<u8>, &[u8])> + '_> {
        match &self.body {
            Body::Array(array) => Box::new(
                (0..self.shape.max_entries).filter_map(|index| Some((index.to_le_bytes().to_vec(), array.value(&self.shape, index)?))),
            ),
            Body::Ring(_) => Box::new(std::iter::empty()),
            Body::Queue(queue) => Box::new(queue.values(&self.shape).map(|value| (Vec::new(), value))),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => {
                Box::new(hash.slots().map(|slot| (hash.key(&self.shape, slot).to_vec(), hash.value(&self.shape, slot))))
            }
        }
    }

    /// The keys that the last run looked up, updated or deleted, found or not, and those that made room for others; each once.
    /// Not here: what a program reaches without a key, as global data.
    #[must_use]
    pub fn touched(&self) -> BTreeSet<&[u8]> {
        let evicted = match &self.body {
            Body::Hash(hash) => hash.evicted.as_slice(),
            _ => &[],
        };
        let size = self.shape.key_size.max(1);
        self.touched.chunks_exact(size).chain(evicted.chunks_exact(size)).collect()
    }

    /// Begins a run.
    pub(super) fn begin(&mut self) {
        self.touched.clear();
        match &mut self.body {
            Body::Hash(hash) => hash.evicted.clear(),
            Body::Ring(ring) => ring.drain(),
            _ => {}
        }
    }

    /// Notes a key that the program named.
    pub(super) fn touch(&mut self, key: &[u8]) {
        self.touched.extend_from_slice(key);
    }

    /// The program's lookup: an address, or why not.
    pub(super) fn open(&mut self, key: &[u8]) -> Result<u64, Miss> {
        match &mut self.body {
            Body::Array(array) => array.open(&self.shape, index(key).ok_or(Miss::Absent)?),
            Body::Hash(hash) => hash.open(&self.shape, key),
            Body::Trie(trie) => trie.open(&self.shape, key),
            Body::Sparse(sparse) => sparse.open(&self.shape, key),
            Body::Queue(_) | Body::Ring(_) => Err(Miss::Absent),
        }
    }

    /// An update with sizes already right.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        match &mut self.body {
            Body::Array(array) => array.update(&self.shape, index(key).ok_or(EINVAL)?, value, flags),
            Body::Hash(hash) => hash.update(&self.shape, key, value, flags),
            Body::Trie(trie) => trie.update(&self.shape, key, value, flags),
            Body::Sparse(sparse) => sparse.update(&self.shape, key, value, flags),
            Body::Queue(queue) => queue.push(&self.shape, value, flags),
            Body::Ring(_) => Err(EINVAL),
        }
    }

    /// A deletion with Linux's error number.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), i32> {
        match &mut self.body {
            Body::Array(_) | Body::Queue(_) | Body::Ring(_) => Err(EINVAL),
            Body::Hash(hash) => hash.delete(&self.shape, key),
            Body::Trie(trie) => trie.delete(&self.shape, key),
            Body::Sparse(sparse) => sparse.delete(&self.shape, key),
        }
    }

    /// What an entry names: a program's position, a map's, or that a perf event is there.
    pub(super) fn target(&self, key: &[u8]) -> Option<u32> {
        match &self.body {
            Body::Sparse(sparse) => sparse.target(&self.shape, key),
            _ => None,
        }
    }

    /// A queue's or stack's next value taken out, or (`is_kept`) left there. ENOENT if there is none.
    pub(super) fn take(&mut self, is_kept: bool) -> Result<Vec<u8>, i32> {
        let Body::Queue(queue) = &mut self.body else { return Err(EINVAL) };
        let value = if is_kept { queue.next(&self.shape).map(<[u8]>::to_vec) } else { queue.pop(&self.shape) };
        value.ok_or(ENOENT)
    }

    /// Whether a Bloom filter was given the value: success, or ENOENT.
    pub(super) fn has(&self, value: &[u8]) -> Result<(), i32> {
        match &self.body {
            Body::Queue(queue) => queue.has(value),
            _ => Err(EINVAL),
        }
    }

    /// The ring of a ring buffer.
    pub(super) fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.body {
            Body::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// The first entry at or after a place: its place, its key and the value's address. Not a use in the sense of LRU. `None` also where
    /// no window is left for it.
    pub(super) fn next_entry(&mut self, from: u32) -> Option<(u32, Vec<u8>, u64)> {
        match &mut self.body {
            Body::Array(array) => Some((from, from.to_le_bytes().to_vec(), array.open(&self.shape, from).ok()?)),
            Body::Hash(hash) => {
                let slot = hash.next_slot(from)?;
                let key = hash.key(&self.shape, slot).to_vec();
                Some((slot, key, hash.show(&self.shape, slot).ok()?))
            }
            _ => None,
        }
    }

    /// How many windows are open.
    pub(super) fn open_count(&self) -> usize {
        match &self.body {
            Body::Array(Array::Windowed { windows, .. }) | Body::Hash(Hash { windows, .. }) => windows.open_count(),
            _ => 0,
        }
    }

    /// Closes all windows but the first `count`.
    pub(super) fn close_beyond(&mut self, count: usize) {
        match &mut self.body {
            Body::Array(array) => array.close(&self.shape, count),
            Body::Hash(hash) => hash.close(&self.shape, count),
            _ => {}
        }
    }

    /// Ends a run.
    pub(super) fn close(&mut self) {
        match &mut self.body {
            Body::Array(array) => array.close(&self.shape, 0),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.close(&self.shape, 0),
            Body::Queue(_) | Body::Ring(_) => {}
        }
    }

    /// Whether the program may touch `length` bytes at `address` in this map.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        match &self.body {
            Body::Array(array) => array.holds(address, length),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.holds(address, length),
            Body::Ring(ring) => ring.holds(address, length),
            Body::Queue(_) => false,
        }
    }

    /// The place that a run looks at first.
    pub(super) fn first(&self) -> Option<Piece> {
        match &self.body {
            Body::Array(array) => array.first(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.first(),
            _ => None,
        }
    }

    /// The address ranges that the program may be given.
    pub(super) fn ranges(&self) -> Vec<std::ops::Range<u64>> {
        match &self.body {
            Body::Array(array) => array.ranges(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.ranges(),
            Body::Ring(ring) => ring.range().into_iter().collect(),
            Body::Queue(_) => Vec::new(),
        }
    }
}

/// Bytes of a ring buffer; none if nobody wants its records.
fn ring_size(shape: &Shape, options: &Options) -> u32 {
    if options.records { shape.max_entries } else { 0 }
}

fn index(key: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(key.try_into().ok()?))
}

//! The program's maps, as the program and as the host see them.
//!
//! With the kernel's error numbers; of what lies apart by CPU there is that of CPU 0. Small arrays
//! and the sections `.rodata`, `.data`, `.bss` have fixed addresses; everything else is seen through `window`s.
//!
//! Not here: maps of sockets, cgroups, tasks and stacks, timers, and which false answers a Bloom filter gives.

mod array;
mod hash;
mod list;
mod lru;
mod pool;
mod queue;
mod recency;
mod ring;
mod run;
mod shape;
mod sparse;
mod trie;
mod window;

use crate::bpf::{MapKind, NO_COMMON_LRU, NO_PREALLOC, Shape};

use super::memory::Arena;
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

/// `BPF_F_LOCK`: under the value's spin lock.
const LOCK: u64 = 4;

/// Which entry an LRU map evicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// The one that Linux 6.18 evicts if one CPU of so many does everything.
    Kernel {
        /// CPUs that the machine may have: they decide how many free elements a CPU takes at a time.
        cpus_count: u32,
    },
    /// The one that was not used for the longest time.
    LeastRecentlyUsed,
}

impl Default for Eviction {
    /// The kernel's on this machine.
    fn default() -> Self {
        let cpus_count = crate::kernel::cpus_count();
        Self::Kernel { cpus_count }
    }
}

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
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
    /// Where a value has its spin lock, which no update touches.
    lock: Option<usize>,
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
        let body = match shape.kind {
            MapKind::Array | MapKind::PerCpuArray => Body::Array(Array::new(shape, arena, windows_count, more)?),
            MapKind::Hash | MapKind::PerCpuHash | MapKind::LruHash | MapKind::LruPerCpuHash => Body::Hash(Hash::new(shape, arena, options)),
            MapKind::LpmTrie => Body::Trie(Trie::new(shape, arena, options)),
            MapKind::Queue | MapKind::Stack | MapKind::Bloom => Body::Queue(Queue::default()),
            MapKind::RingBuf => Body::Ring(Ring::new(ring_size(shape, options), arena)),
            _ => Body::Sparse(Sparse::new(shape, arena, options)),
        };
        Ok(Self { shape: shape.clone(), body, lock: None, touched: Vec::new() })
    }

    /// The same map with a spin lock in its values.
    pub(super) fn with_lock(self, lock: Option<usize>) -> Self {
        Self { lock, ..self }
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
}

/// Bytes of a ring buffer; none if nobody wants its records.
fn ring_size(shape: &Shape, options: &Options) -> u32 {
    if options.records { shape.max_entries } else { 0 }
}

fn index(key: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(key.try_into().ok()?))
}

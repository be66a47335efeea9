//! The program's maps, as the program and as the host see them.
//!
//! Arrays, per-CPU arrays (one CPU), hashes, LRU hashes and their per-CPU kinds, longest-prefix tries, with the kernel's error numbers.
//! A ring buffer is there in name only: nobody reads it, so it is always full. Small arrays
//! and the sections `.rodata`, `.data`, `.bss` have fixed addresses; everything else is seen through `window`s.

mod array;
mod hash;
mod trie;
mod window;

use super::VmError;
use super::memory::{Arena, Piece};
use array::Array;
use hash::Hash;
use std::collections::BTreeSet;
use trie::Trie;

/// Create or overwrite.
pub const ANY: u64 = 0;
/// Create only.
pub const NOEXIST: u64 = 1;
/// Overwrite only.
pub const EXIST: u64 = 2;

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;

/// What kind of map, with Linux's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
    /// `BPF_MAP_TYPE_PERCPU_HASH`, with one CPU
    PerCpuHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`, with one CPU
    PerCpuArray,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash,
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`, with one CPU
    LruPerCpuHash,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie,
    /// `BPF_MAP_TYPE_RINGBUF`: no entries, and no room for any
    RingBuf,
}

impl MapKind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Hash,
            2 => Self::Array,
            5 => Self::PerCpuHash,
            6 => Self::PerCpuArray,
            9 => Self::LruHash,
            10 => Self::LruPerCpuHash,
            11 => Self::LpmTrie,
            27 => Self::RingBuf,
            _ => return None,
        })
    }

    /// Whether its entries are all there from the start.
    #[must_use]
    pub fn is_array(self) -> bool {
        matches!(self, Self::Array | Self::PerCpuArray)
    }
}

/// A map's name, kind and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Name of the map, or of the section for global data.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Entries at most (arrays: always).
    pub max_entries: u32,
}

impl Shape {
    /// Checks what the object says against what the VM has.
    pub(super) fn new(name: &str, number: u32, key_size: u32, value_size: u32, max_entries: u32) -> Result<Self, VmError> {
        let wrong = |reason: String| VmError::MapShape { map: name.to_owned(), reason };
        let kind = MapKind::from_number(number).ok_or_else(|| wrong(format!("the VM has no maps of type {number}")))?;
        if kind == MapKind::RingBuf {
            if (key_size, value_size) != (0, 0) {
                return Err(wrong(format!("a ring buffer has neither keys nor values, not {key_size} and {value_size} bytes")));
            }
        } else if value_size == 0 || key_size == 0 || max_entries == 0 {
            return Err(wrong(format!("key of {key_size} bytes, value of {value_size}, {max_entries} entries: none may be 0")));
        }
        if kind.is_array() && key_size != 4 {
            return Err(wrong(format!("an array's key has 4 bytes, not {key_size}")));
        }
        if kind == MapKind::LpmTrie && !(5..=260).contains(&key_size) {
            return Err(wrong(format!("a trie's key has 4 bytes for the prefix length and 1 to 256 more, not {key_size}")));
        }
        let (key_size, value_size) = (key_size as usize, value_size as usize);
        Ok(Self { name: name.to_owned(), kind, key_size, value_size, max_entries })
    }
}

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
    Ring,
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
    pub(super) fn room(shape: &Shape, windows_count: usize) -> usize {
        match shape.kind {
            MapKind::Array | MapKind::PerCpuArray => Array::room(shape, windows_count),
            MapKind::RingBuf => 0,
            _ => Arena::room(shape.value_size) * windows_count,
        }
    }

    /// An empty map, or an array of zeroes.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, windows_count: usize) -> Result<Self, VmError> {
        let body = match shape.kind {
            MapKind::Array | MapKind::PerCpuArray => Body::Array(Array::new(shape, arena, windows_count)?),
            MapKind::Hash => Body::Hash(Hash::new(shape, arena, windows_count, false, false)),
            MapKind::PerCpuHash => Body::Hash(Hash::new(shape, arena, windows_count, false, true)),
            MapKind::LruHash => Body::Hash(Hash::new(shape, arena, windows_count, true, false)),
            MapKind::LruPerCpuHash => Body::Hash(Hash::new(shape, arena, windows_count, true, true)),
            MapKind::LpmTrie => Body::Trie(Trie::new(shape, arena, windows_count)),
            MapKind::RingBuf => Body::Ring,
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
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.len(),
            Body::Ring => 0,
        }
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key, in a trie under the longest prefix that holds it; a key of the wrong length has none. Not a use in the sense of LRU.
    #[must_use]
    pub fn lookup(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.body {
            Body::Array(array) => array.value(&self.shape, index(key)?),
            Body::Hash(hash) => Some(hash.value(&self.shape, hash.find(&self.shape, key)?)),
            Body::Trie(trie) => Some(trie.hash.value(&self.shape, trie.find(&self.shape, key)?)),
            Body::Ring => None,
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
            Body::Ring => None,
        }
    }

    /// An array's entry by its index; `None` beyond its end and for other kinds.
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<&[u8]> {
        match &self.body {
            Body::Array(array) => array.value(&self.shape, index),
            Body::Hash(_) | Body::Trie(_) | Body::Ring => None,
        }
    }

    /// An array's entry by its index, to change in place: what a host writes before every packet (a clock, say) costs a store.
    pub fn entry_mut(&mut self, index: u32) -> Option<&mut [u8]> {
        match &mut self.body {
            Body::Array(array) => array.value_mut(&self.shape, index),
            Body::Hash(_) | Body::Trie(_) | Body::Ring => None,
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
            (Body::Ring, Body::Ring) => {}
            _ => return Err(wrong(&self.shape)),
        }
        Ok(())
    }

    /// All entries, key and value: an array by index, a hash in an order that depends only on what was done to it.
    #[must_use]
    pub fn entries(&self) -> Box<dyn Iterator<Item = (Vec<u8>, &[u8])> + '_> {
        match &self.body {
            Body::Array(array) => Box::new(
                (0..self.shape.max_entries).filter_map(|index| Some((index.to_le_bytes().to_vec(), array.value(&self.shape, index)?))),
            ),
            Body::Ring => Box::new(std::iter::empty()),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => {
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
        if let Body::Hash(hash) = &mut self.body {
            hash.evicted.clear();
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
            Body::Ring => Err(Miss::Absent),
        }
    }

    /// An update with sizes already right.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        match &mut self.body {
            Body::Array(array) => array.update(&self.shape, index(key).ok_or(EINVAL)?, value, flags),
            Body::Hash(hash) => hash.update(&self.shape, key, value, flags),
            Body::Trie(trie) => trie.update(&self.shape, key, value, flags),
            Body::Ring => Err(EINVAL),
        }
    }

    /// A deletion with Linux's error number.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), i32> {
        match &mut self.body {
            Body::Array(_) | Body::Ring => Err(EINVAL),
            Body::Hash(hash) => hash.delete(&self.shape, key),
            Body::Trie(trie) => trie.delete(&self.shape, key),
        }
    }

    /// Ends a run.
    pub(super) fn close(&mut self) {
        match &mut self.body {
            Body::Array(array) => array.close(&self.shape),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.close(&self.shape),
            Body::Ring => {}
        }
    }

    /// Whether the program may touch `length` bytes at `address` in this map.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        match &self.body {
            Body::Array(array) => array.holds(address, length),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.holds(address, length),
            Body::Ring => false,
        }
    }

    /// The place that a run looks at first.
    pub(super) fn first(&self) -> Option<Piece> {
        match &self.body {
            Body::Array(array) => array.first(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.first(),
            Body::Ring => None,
        }
    }

    /// The address ranges that the program may be given.
    pub(super) fn ranges(&self) -> Vec<std::ops::Range<u64>> {
        match &self.body {
            Body::Array(array) => array.ranges(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.ranges(),
            Body::Ring => Vec::new(),
        }
    }
}

fn index(key: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(key.try_into().ok()?))
}

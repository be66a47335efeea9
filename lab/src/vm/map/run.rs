//! What a run does to a map.

use super::super::memory::Piece;
use super::array::Array;
use super::hash::Hash;
use super::ring::Ring;
use super::sparse::Sparse;
use super::trie::Trie;
use super::{Body, E2BIG, EEXIST, EINVAL, ENOENT, EXIST, LOCK, Map, Miss, NOEXIST, index};

impl Map {
    /// Begins a run.
    pub(in crate::vm) fn begin(&mut self) {
        self.touched.clear();
        match &mut self.body {
            Body::Hash(hash) => hash.evicted.clear(),
            Body::Ring(ring) => ring.drain(),
            _ => {}
        }
    }

    /// Notes a key that the program named.
    pub(in crate::vm) fn touch(&mut self, key: &[u8]) {
        self.touched.extend_from_slice(key);
    }

    /// The program's lookup: an address, or why not.
    pub(in crate::vm) fn open(&mut self, key: &[u8]) -> Result<u64, Miss> {
        match &mut self.body {
            Body::Array(array) => array.open(&self.shape, index(key).ok_or(Miss::Absent)?),
            Body::Hash(hash) => hash.open(&self.shape, key),
            Body::Trie(trie) => trie.open(&self.shape, key),
            Body::Sparse(sparse) => sparse.open(&self.shape, key),
            Body::Queue(_) | Body::Ring(_) => Err(Miss::Absent),
        }
    }

    /// The value under a key as the program sees it now, where it sees it. Of a queue or stack, what would leave next.
    pub(in crate::vm) fn shown(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.body {
            Body::Array(Array::Windowed { windows, .. }) => windows.shown(index(key)?).or_else(|| self.lookup(key)),
            Body::Hash(hash) => hash.windows.shown(hash.find(&self.shape, key)?).or_else(|| self.lookup(key)),
            Body::Trie(trie) => trie.hash.windows.shown(trie.find(&self.shape, key)?).or_else(|| self.lookup(key)),
            _ => self.lookup(key),
        }
    }

    /// An update with sizes already right.
    pub(in crate::vm) fn put(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        let mut unlocked;
        let value = match self.lock {
            // A program in an update holds no lock: the word is zero, and stays so.
            Some(lock) => {
                unlocked = value.to_vec();
                unlocked.get_mut(lock..lock + 4).ok_or(EINVAL)?.fill(0);
                &unlocked
            }
            None if flags & LOCK != 0 => return Err(self.lockless(key, flags)),
            None => value,
        };
        match &mut self.body {
            Body::Array(array) => array.update(&self.shape, index(key).ok_or(EINVAL)?, value, flags),
            Body::Hash(hash) => hash.update(&self.shape, key, value, flags),
            Body::Trie(trie) => trie.update(&self.shape, key, value, flags),
            Body::Sparse(sparse) => sparse.update(&self.shape, key, value, flags),
            Body::Queue(queue) => queue.push(&self.shape, value, flags),
            Body::Ring(_) => Err(EINVAL),
        }
    }

    /// Why an update under a lock fails where values have none: an array complains of its index and of the other flags first.
    fn lockless(&self, key: &[u8], flags: u64) -> i32 {
        let is_array = self.shape.kind.is_array() && flags & !LOCK <= EXIST;
        match index(key) {
            Some(index) if is_array && index >= self.shape.max_entries => E2BIG,
            Some(_) if is_array && flags & NOEXIST != 0 => EEXIST,
            _ => EINVAL,
        }
    }

    /// A deletion with Linux's error number.
    pub(in crate::vm) fn remove(&mut self, key: &[u8]) -> Result<(), i32> {
        match &mut self.body {
            Body::Array(_) | Body::Queue(_) | Body::Ring(_) => Err(EINVAL),
            Body::Hash(hash) => hash.delete(&self.shape, key),
            Body::Trie(trie) => trie.delete(&self.shape, key),
            Body::Sparse(sparse) => sparse.delete(&self.shape, key),
        }
    }

    /// What an entry names: a program's position, a map's, or that a perf event is there.
    pub(in crate::vm) fn target(&self, key: &[u8]) -> Option<u32> {
        match &self.body {
            Body::Sparse(sparse) => sparse.target(&self.shape, key),
            _ => None,
        }
    }

    /// A queue's or stack's next value taken out, or (`is_kept`) left there. ENOENT if there is none.
    pub(in crate::vm) fn take(&mut self, is_kept: bool) -> Result<Vec<u8>, i32> {
        let Body::Queue(queue) = &mut self.body else { return Err(EINVAL) };
        let value = if is_kept { queue.next(&self.shape).map(<[u8]>::to_vec) } else { queue.pop(&self.shape) };
        value.ok_or(ENOENT)
    }

    /// Whether a Bloom filter was given the value: success, or ENOENT.
    pub(in crate::vm) fn has(&self, value: &[u8]) -> Result<(), i32> {
        match &self.body {
            Body::Queue(queue) => queue.has(value),
            _ => Err(EINVAL),
        }
    }

    /// The ring of a ring buffer.
    pub(in crate::vm) fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.body {
            Body::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// The first entry at or after a place: its place, its key and the value's address. Not a use in the sense of LRU. `None` also where
    /// no window is left for it.
    pub(in crate::vm) fn next_entry(&mut self, from: u32) -> Option<(u32, Vec<u8>, u64)> {
        match &mut self.body {
            Body::Array(array) => Some((from, from.to_le_bytes().to_vec(), array.open(&self.shape, from).ok()?)),
            Body::Hash(hash) => {
                let (row, element) = hash.next_row(from)?;
                let key = hash.key(&self.shape, element).to_vec();
                Some((row, key, hash.show(&self.shape, element).ok()?))
            }
            _ => None,
        }
    }

    /// How many windows are open.
    pub(in crate::vm) fn open_count(&self) -> usize {
        match &self.body {
            Body::Array(Array::Windowed { windows, .. }) | Body::Hash(Hash { windows, .. }) => windows.open_count(),
            _ => 0,
        }
    }

    /// Closes all windows but the first `count`.
    pub(in crate::vm) fn close_beyond(&mut self, count: usize) {
        match &mut self.body {
            Body::Array(array) => array.close(&self.shape, count),
            Body::Hash(hash) => hash.close(&self.shape, count),
            _ => {}
        }
    }

    /// Ends a run.
    pub(in crate::vm) fn close(&mut self) {
        match &mut self.body {
            Body::Array(array) => array.close(&self.shape, 0),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.settle(&self.shape),
            Body::Queue(_) | Body::Ring(_) => {}
        }
    }

    /// Whether the program may touch `length` bytes at `address` in this map.
    pub(in crate::vm) fn holds(&self, address: u64, length: usize) -> bool {
        match &self.body {
            Body::Array(array) => array.holds(address, length),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.holds(address, length),
            Body::Ring(ring) => ring.holds(address, length),
            Body::Queue(_) => false,
        }
    }

    /// The place that a run looks at first.
    pub(in crate::vm) fn first(&self) -> Option<Piece> {
        match &self.body {
            Body::Array(array) => array.first(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) => hash.first(),
            _ => None,
        }
    }

    /// The address ranges that the program may be given.
    pub(in crate::vm) fn ranges(&self) -> Vec<std::ops::Range<u64>> {
        match &self.body {
            Body::Array(array) => array.ranges(),
            Body::Hash(hash) | Body::Trie(Trie { hash, .. }) | Body::Sparse(Sparse { hash }) => hash.ranges(),
            Body::Ring(ring) => ring.range().into_iter().collect(),
            Body::Queue(_) => Vec::new(),
        }
    }
}

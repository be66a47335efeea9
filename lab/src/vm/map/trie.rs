//! Longest-prefix tries: a hash of masked keys, and a lookup that tries the prefix lengths in use from the longest down.
//!
//! A key is a prefix length (32 bits, the machine's order) and as many leading bits as it says of the bytes behind, as in
//! `kernel/bpf/lpm_trie.c`. A node that was deleted or replaced is not used again while a program runs (`bpf_mem_cache_free_rcu`).

use super::super::Options;
use super::super::memory::Arena;
use super::hash::Hash;
use super::{E2BIG, EINVAL, ENOSPC, Miss, Shape};
use std::collections::BTreeMap;

/// Bytes of the prefix length.
const PREFIX_BYTES: usize = 4;

/// A trie's entries.
#[derive(Debug)]
pub(super) struct Trie {
    pub(super) hash: Hash,
    /// How many entries have each prefix length.
    lengths: BTreeMap<u32, u32>,
}

impl Trie {
    /// An empty trie.
    pub(super) fn new(shape: &Shape, arena: &mut Arena, options: &Options) -> Self {
        Self { hash: Hash::new(shape, arena, options), lengths: BTreeMap::new() }
    }

    /// The slot of the longest prefix that holds `key`, itself one no longer than its own length.
    pub(super) fn find(&self, shape: &Shape, key: &[u8]) -> Option<u32> {
        self.hash.find(shape, &self.longest(shape, key)?)
    }

    /// The address of that entry for the program.
    pub(super) fn open(&mut self, shape: &Shape, key: &[u8]) -> Result<u64, Miss> {
        let key = self.longest(shape, key).ok_or(Miss::Absent)?;
        self.hash.open(shape, &key)
    }

    /// Puts a value under exactly this prefix.
    pub(super) fn update(&mut self, shape: &Shape, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        let bits = prefix_bits(shape, key).ok_or(EINVAL)?;
        let before = self.hash.len();
        self.hash.update(shape, &masked(key, bits), value, flags).map_err(|errno| if errno == E2BIG { ENOSPC } else { errno })?;
        if self.hash.len() > before {
            *self.lengths.entry(bits).or_default() += 1;
        }
        Ok(())
    }

    /// Removes exactly this prefix.
    pub(super) fn delete(&mut self, shape: &Shape, key: &[u8]) -> Result<(), i32> {
        let bits = prefix_bits(shape, key).ok_or(EINVAL)?;
        self.hash.delete(shape, &masked(key, bits))?;
        if let Some(count) = self.lengths.get_mut(&bits) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&bits);
            }
        }
        Ok(())
    }

    /// Exchanges all entries with those of a trie of the same shape.
    pub(super) fn exchange(&mut self, other: &mut Self) {
        self.hash.exchange(&mut other.hash);
        std::mem::swap(&mut self.lengths, &mut other.lengths);
    }

    fn longest(&self, shape: &Shape, key: &[u8]) -> Option<Vec<u8>> {
        let bits = prefix_bits(shape, key)?;
        let mut lengths = self.lengths.range(..=bits).rev();
        lengths.find_map(|(bits, _)| Some(masked(key, *bits)).filter(|key| self.hash.find(shape, key).is_some()))
    }
}

/// A key's prefix length, if it is of the right size and no longer than the bytes behind.
fn prefix_bits(shape: &Shape, key: &[u8]) -> Option<u32> {
    let bits = u32::from_ne_bytes(*key.first_chunk()?);
    (key.len() == shape.key_size && bits as usize <= 8 * (shape.key_size - PREFIX_BYTES)).then_some(bits)
}

/// The key of a prefix of `key`: what lies behind it is zero.
fn masked(key: &[u8], bits: u32) -> Vec<u8> {
    let mut masked = key.to_vec();
    masked[..PREFIX_BYTES].copy_from_slice(&bits.to_ne_bytes());
    for (byte, position) in masked[PREFIX_BYTES..].iter_mut().zip((0_u32..).step_by(8)) {
        *byte &= !u8::MAX.checked_shr(bits.saturating_sub(position)).unwrap_or(0);
    }
    masked
}

//! A map with keys and values of types.

use std::marker::PhantomData;

use bytemuck::{AnyBitPattern, NoUninit};

use super::{Lab, Result};

/// A map of a [`Lab`], which all its engines have alike. Of a per-CPU map the values are CPU 0's.
///
/// ```
/// # fn main() -> treeline_lab::Result {
/// # use treeline_lab::Object;
/// let mut lab = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?.load()?;
/// let mut dropped = lab.map::<[u8; 4], u64>("DROPPED")?;
/// assert_eq!(dropped.entries()?, []);
/// dropped.put(&[198, 18, 0, 1], &7)?;
/// assert_eq!(dropped.get(&[198, 18, 0, 1])?, Some(7));
/// # Ok(())
/// # }
/// ```
pub struct Map<'a, K, V> {
    pub(super) lab: &'a mut Lab,
    pub(super) position: usize,
    pub(super) types: PhantomData<(K, V)>,
}

impl<K: NoUninit + AnyBitPattern, V: NoUninit + AnyBitPattern> Map<'_, K, V> {
    /// The value under a key.
    pub fn get(&mut self, key: &K) -> Result<Option<V>> {
        let value = self.lab.first().value(self.position, bytemuck::bytes_of(key))?;
        Ok(value.map(|bytes| bytemuck::pod_read_unaligned(&bytes)))
    }

    /// All entries, by the bytes of their keys.
    pub fn entries(&mut self) -> Result<Vec<(K, V)>> {
        let entries = self.lab.first().entries(self.position)?;
        Ok(entries.iter().map(|(key, value)| (bytemuck::pod_read_unaligned(key), bytemuck::pod_read_unaligned(value))).collect())
    }

    /// Puts a value under a key, in every engine.
    pub fn put(&mut self, key: &K, value: &V) -> Result<()> {
        self.lab.put(self.position, bytemuck::bytes_of(key), bytemuck::bytes_of(value))
    }
}

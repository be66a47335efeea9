//! Maps whose entries name something else: programs, events, maps, devices, CPUs, sockets. A hash, and for the kinds with an index its bounds.

use super::super::Options;
use super::super::memory::Arena;
use super::hash::Hash;
use super::{ANY, E2BIG, EEXIST, EINVAL, ENOENT, EXIST, MapKind, Miss, NOEXIST, Shape, index};

/// The entries that are set.
#[derive(Debug)]
pub(super) struct Sparse {
    pub(super) hash: Hash,
}

impl Sparse {
    pub(super) fn new(shape: &Shape, arena: &mut Arena, options: &Options) -> Self {
        Self { hash: Hash::new(shape, arena, options) }
    }

    /// What an entry names, for the kinds with values of four bytes.
    pub(super) fn target(&self, shape: &Shape, key: &[u8]) -> Option<u32> {
        let value = self.hash.value(shape, self.hash.find(shape, key)?);
        Some(u32::from_le_bytes(*value.first_chunk()?))
    }

    /// The address of an entry, where the kernel lets programs look.
    pub(super) fn open(&mut self, shape: &Shape, key: &[u8]) -> Result<u64, Miss> {
        self.hash.open(shape, key)
    }

    /// Sets an entry, as a system call does: programs cannot. A device or CPU of number 0 clears it.
    pub(super) fn update(&mut self, shape: &Shape, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        let is_zero = value.first_chunk() == Some(&[0; 4]);
        let is_cleared = is_zero && matches!(shape.kind, MapKind::DevMap | MapKind::CpuMap);
        match shape.kind {
            MapKind::HashOfMaps => return self.hash.update(shape, key, value, flags),
            MapKind::DevMapHash if flags > EXIST || is_zero => return Err(EINVAL),
            // It makes what it was told to overwrite.
            MapKind::DevMapHash => return self.hash.update(shape, key, value, flags & NOEXIST),
            MapKind::ProgArray | MapKind::PerfEventArray | MapKind::ArrayOfMaps if flags != ANY => return Err(EINVAL),
            _ if flags > EXIST => return Err(EINVAL),
            _ => {}
        }
        if index(key).is_none_or(|index| index >= shape.max_entries) {
            return Err(E2BIG);
        }
        if flags == NOEXIST && shape.kind != MapKind::XskMap {
            return Err(EEXIST);
        }
        if is_cleared {
            return self.delete(shape, key);
        }
        let flags = if shape.kind == MapKind::XskMap { flags } else { ANY };
        self.hash.update(shape, key, value, flags)
    }

    pub(super) fn delete(&mut self, shape: &Shape, key: &[u8]) -> Result<(), i32> {
        let is_outside = shape.kind.is_indexed() && index(key).is_none_or(|index| index >= shape.max_entries);
        match shape.kind {
            MapKind::DevMap | MapKind::CpuMap | MapKind::XskMap if is_outside => Err(EINVAL),
            _ if is_outside => Err(E2BIG),
            // Clearing what is clear is no error there.
            MapKind::DevMap | MapKind::CpuMap | MapKind::XskMap => {
                let done = self.hash.delete(shape, key);
                if done == Err(ENOENT) { Ok(()) } else { done }
            }
            _ => self.hash.delete(shape, key),
        }
    }
}

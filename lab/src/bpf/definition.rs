//! A map's definition, whoever wrote it: by BTF (`map`), or in the structures of older loaders (`legacy`).

use super::{MapKind, NO_PREALLOC, Shape};

/// `BPF_MAP_TYPE_ARRAY`
pub(super) const ARRAY_MAP: u32 = 2;
/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`, `BPF_MAP_TYPE_HASH_OF_MAPS`
pub(super) const MAPS_IN: [u32; 2] = [12, 13];
/// `BPF_F_RDONLY_PROG`
pub(super) const RDONLY_PROG: u32 = 0x80;

/// A map's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// Its name, or that of the section for global data.
    pub name: String,
    /// `enum bpf_map_type`
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries at most.
    pub max_entries: u32,
    /// `BPF_F_*` of `BPF_MAP_CREATE`.
    pub flags: u32,
    /// What some kinds want besides: a bloom filter's hashes.
    pub extra: u64,
    /// The first value of the only entry: global data; empty for others.
    pub data: Vec<u8>,
    /// What the maps in this one are like.
    pub inner: Option<Box<Map>>,
    /// First entries of a map of maps or a program array: index and what is there.
    pub entries: Vec<(u32, Initial)>,
    /// The object's types of key and value, 0 without.
    pub types: (u32, u32),
}

/// A first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initial {
    /// A map by its name.
    Map(String),
    /// A program by its name.
    Program(String),
}

impl Map {
    /// One of a shape.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        let small = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            name: shape.name.clone(),
            kind: shape.kind.number(),
            key_size: small(shape.key_size),
            value_size: small(shape.value_size),
            max_entries: shape.max_entries,
            // Tries are sparse, and the kernel wants to be told.
            flags: shape.flags | if shape.kind == MapKind::LpmTrie { NO_PREALLOC } else { 0 },
            ..Self::default()
        }
    }

    /// Whether programs cannot write it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.flags & RDONLY_PROG != 0
    }

    /// Whether it is a section of variables.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.name.starts_with('.') && self.kind == ARRAY_MAP && !self.data.is_empty()
    }
}

/// A map and where in the file it is defined, so that relocations find it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) map: Map,
    pub(super) section: usize,
    /// Offset of its definition; global data take a whole section.
    pub(super) offset: Option<usize>,
    /// Why programs that use it are refused.
    pub(super) refusal: Option<String>,
    /// Offset of a BTF definition's `values`.
    pub(super) values: Option<usize>,
    /// iproute2's number of it; 0 without.
    pub(super) number: u32,
}

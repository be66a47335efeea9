//! A program's maps as the lab sees them: which are compared, how, and up to where.

use crate::vm::Shape;

/// A map's name, Linux's number of its kind, its sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Name of the map, or of the section for global data.
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Entries at most.
    pub max_entries: u32,
}

/// How a map's content is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Entry by entry, by key.
    Entries,
    /// The next element after each packet, all of them at the end.
    Queue,
    /// Its records are part of the outcome.
    Records,
    /// Not at all, and why.
    Nothing(&'static str),
}

/// Bytes of values up to which a map is compared whole after each packet.
const SMALL_BYTES_MAX: usize = 2048;
/// Entries up to which it is.
const SMALL_ENTRIES_MAX: usize = 64;
/// Free entries that the kernel's LRU takes at a time (`LOCAL_FREE_TARGET`, `kernel/bpf/bpf_lru_list.c`, v6.12).
const LRU_BATCH: u32 = 128;

const NAMES: [&str; 34] = [
    "unspecified",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
];

impl Map {
    /// The map of a shape.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        let Shape { name, kind, key_size, value_size, max_entries, .. } = shape.clone();
        Self { name, kind: kind.number(), key_size, value_size, max_entries }
    }

    /// The kind's name, as bpftool writes it.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        NAMES.get(self.kind as usize).copied().unwrap_or("unknown")
    }

    /// How it is compared.
    #[must_use]
    pub fn way(&self) -> Way {
        match self.kind {
            _ if self.name.starts_with(".rodata") => Way::Nothing("constants"),
            1 | 2 | 5 | 6 | 9 | 10 | 11 => Way::Entries,
            22 | 23 => Way::Queue,
            4 | 27 => Way::Records,
            3 => Way::Nothing("programs have other numbers in the kernel"),
            12 | 13 => Way::Nothing("inner maps have other numbers in the kernel"),
            14 | 16 | 17 | 25 => Way::Nothing("programs cannot change it"),
            30 => Way::Nothing("a bloom filter has no entries to read"),
            _ => Way::Nothing("not of a kind that is compared"),
        }
    }

    /// Whether a host may put plain values into it.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self.way(), Way::Entries | Way::Queue)
    }

    /// Whether each CPU has a value of its own.
    #[must_use]
    pub fn is_per_cpu(&self) -> bool {
        matches!(self.kind, 5 | 6 | 10)
    }

    /// Whether it is compared whole after each packet.
    #[must_use]
    pub fn is_small(&self) -> bool {
        let entries = self.max_entries as usize;
        entries == 1 || entries <= SMALL_ENTRIES_MAX && entries.saturating_mul(self.value_size) <= SMALL_BYTES_MAX
    }

    /// Entries beyond which an LRU map is no longer compared, because the kernel evicts in an order of its own: it takes free entries in batches
    /// and evicts to fill one. `None`: no such limit.
    #[must_use]
    pub fn evicts_beyond(&self) -> Option<usize> {
        if !matches!(self.kind, 9 | 10) {
            return None;
        }
        let entries = self.max_entries;
        // One more entry is taken for the time of an update.
        let whole = if entries < LRU_BATCH { entries } else { entries / LRU_BATCH * LRU_BATCH };
        Some(whole.saturating_sub(1) as usize)
    }
}

//! Where a hash gets the element of a new entry, and what becomes of one that is no longer used, as in Linux 6.18 on one CPU.
//!
//! It matters to a program that goes on using the pointer to an entry that was deleted or replaced: the element may hold another entry
//! by then. Not here: LRU maps (`lru`).

use super::{MapKind, NO_PREALLOC, Shape};

/// The elements of a hash that are not in use.
#[derive(Debug)]
pub(super) enum Pool {
    /// All are there from the start: a stack, and one element more that the next update of an entry takes
    /// (`kernel/bpf/percpu_freelist.c`, `extra_elems`).
    Stack {
        /// The elements that were used before.
        free: Free,
        /// What the last update left.
        extra: Option<u32>,
    },
    /// `BPF_F_NO_PREALLOC`.
    Cache(Cache),
    /// No element is used again in the run that freed it: tries, whose nodes wait for a grace period.
    Deferred {
        /// The elements that were used before.
        free: Free,
        /// Those freed in this run.
        later: Vec<u32>,
    },
}

/// Elements by number, the last one freed first, then those that were never used.
#[derive(Debug, Default)]
pub(super) struct Free {
    stack: Vec<u32>,
    count: u32,
}

impl Free {
    fn take(&mut self) -> u32 {
        self.stack.pop().unwrap_or_else(|| self.fresh())
    }

    fn fresh(&mut self) -> u32 {
        self.count += 1;
        self.count - 1
    }
}

impl Pool {
    /// That of an empty map.
    pub(super) fn new(shape: &Shape) -> Self {
        let free = Free::default();
        match shape.kind {
            MapKind::LpmTrie => Self::Deferred { free, later: Vec::new() },
            MapKind::Hash | MapKind::PerCpuHash if shape.flags & NO_PREALLOC != 0 => Self::Cache(Cache::new(shape)),
            _ => Self::Stack { free, extra: None },
        }
    }

    /// Elements that were ever used have numbers below this.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Stack { free, .. } | Self::Deferred { free, .. } | Self::Cache(Cache { spare: free, .. }) => free.count,
        }
    }

    /// An element for a new entry.
    pub(super) fn take(&mut self) -> u32 {
        match self {
            Self::Stack { free, .. } | Self::Deferred { free, .. } => free.take(),
            Self::Cache(cache) => cache.take(),
        }
    }

    /// Takes an element back.
    pub(super) fn give(&mut self, element: u32) {
        match self {
            Self::Stack { free, .. } => free.stack.push(element),
            Self::Deferred { later, .. } => later.push(element),
            Self::Cache(cache) => cache.give(element),
        }
    }

    /// An element for the new value of an entry, in place of the one that has the old.
    pub(super) fn replace(&mut self, old: u32) -> u32 {
        if let Self::Stack { free, extra } = self {
            return extra.replace(old).unwrap_or_else(|| free.fresh());
        }
        let new = self.take();
        self.give(old);
        new
    }

    /// Ends a run: nobody has a pointer any more.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Stack { .. } => {}
            Self::Deferred { free, later } => free.stack.append(later),
            Self::Cache(cache) => cache.spare.stack.extend(cache.parked.drain(..).flatten()),
        }
    }
}

/// `struct bpf_mem_cache` of one CPU (`kernel/bpf/memalloc.c`): a stack that is filled when it gets low and emptied when it gets high.
#[derive(Debug)]
pub(super) struct Cache {
    /// The stack: an element, or `None` for one that was never used.
    ready: Vec<Option<u32>>,
    low: usize,
    high: usize,
    batch: usize,
    /// What was taken off the stack in this run, and waits for a grace period that no run outlives.
    parked: Vec<Option<u32>>,
    /// Elements that nobody can point to.
    spare: Free,
}

/// `sizeof(struct htab_elem)`, and what the cache adds to it.
const ELEMENT_BYTES: usize = 48 + 8;

impl Cache {
    fn new(shape: &Shape) -> Self {
        let unit = ELEMENT_BYTES + shape.key_size.next_multiple_of(8) + shape.value_size.next_multiple_of(8);
        // Of a per-CPU hash it is the values that programs point to.
        let (low, high, start) = match unit {
            _ if shape.kind.is_per_cpu() => (1, 3, 1),
            ..=256 => (32, 96, 4),
            _ => ((32 * 256 / unit).max(1), (96 * 256 / unit).max(3), 1),
        };
        let batch = ((high - low) / 4 * 3).max(1);
        Self { ready: vec![None; start], low, high, batch, parked: Vec::new(), spare: Free::default() }
    }

    fn take(&mut self) -> u32 {
        let element = self.ready.pop().flatten();
        if self.ready.len() < self.low {
            // What waits for its grace period is taken first.
            let waiting = self.batch.min(self.parked.len());
            self.ready.extend(self.parked.drain(..waiting));
            self.ready.extend(std::iter::repeat_n(None, self.batch - waiting));
        }
        element.unwrap_or_else(|| self.spare.take())
    }

    fn give(&mut self, element: u32) {
        self.ready.push(Some(element));
        if self.ready.len() > self.high {
            let kept = usize::midpoint(self.high, self.low);
            self.parked.extend(self.ready.drain(kept..).rev());
        }
    }
}

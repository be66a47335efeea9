//! Queues, stacks and Bloom filters: values without keys (`kernel/bpf/queue_stack_maps.c`, `bloom_filter.c`).
//!
//! A Bloom filter here is the set itself: it never says that it has what it was not given. The kernel's does, seldom.

use super::{E2BIG, EINVAL, ENOENT, EXIST, MapKind, NOEXIST, Shape};
use std::collections::{HashSet, VecDeque};

/// Values in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    values: VecDeque<Vec<u8>>,
    /// What a Bloom filter was given.
    set: HashSet<Vec<u8>>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.values.len() + self.set.len()
    }

    /// The values, the first to leave first; a filter's in no order.
    pub(super) fn values(&self, shape: &Shape) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match shape.kind {
            MapKind::Stack => Box::new(self.values.iter().rev().map(Vec::as_slice)),
            MapKind::Queue => Box::new(self.values.iter().map(Vec::as_slice)),
            _ => Box::new(self.set.iter().map(Vec::as_slice)),
        }
    }

    /// A value at the end; [`EXIST`] makes room by dropping the oldest.
    pub(super) fn push(&mut self, shape: &Shape, value: &[u8], flags: u64) -> Result<(), i32> {
        if shape.kind == MapKind::Bloom {
            if flags != 0 {
                return Err(EINVAL);
            }
            self.set.insert(value.to_vec());
            return Ok(());
        }
        if flags & NOEXIST != 0 || flags > EXIST {
            return Err(EINVAL);
        }
        if self.values.len() >= shape.max_entries as usize {
            if flags & EXIST == 0 {
                return Err(E2BIG);
            }
            self.values.pop_front();
        }
        self.values.push_back(value.to_vec());
        Ok(())
    }

    /// The value that would leave next.
    pub(super) fn next(&self, shape: &Shape) -> Option<&[u8]> {
        let next = if shape.kind == MapKind::Stack { self.values.back() } else { self.values.front() };
        next.map(Vec::as_slice)
    }

    /// Takes that value out.
    pub(super) fn pop(&mut self, shape: &Shape) -> Option<Vec<u8>> {
        if shape.kind == MapKind::Stack { self.values.pop_back() } else { self.values.pop_front() }
    }

    /// Whether a filter was given the value: success, or ENOENT.
    pub(super) fn has(&self, value: &[u8]) -> Result<(), i32> {
        self.set.contains(value).then_some(()).ok_or(ENOENT)
    }
}

//! Helpers upon ring buffers.

use super::super::Fault;
use super::{stop, with};

/// As `bpf_ringbuf_reserve` of a ring buffer that is full: null.
pub(super) fn reserve(map: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| session.map_number(map, site));
    0
}

/// Of `bpf_ringbuf_submit` there is no right call, since nothing was reserved.
pub(super) fn submit(record: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    stop(site, Fault::Pointer { argument: 1, address: record, size: 0 })
}

//! Helpers about sockets, of which there are none: a lookup finds nothing, and so nothing more can be asked.

use super::super::Fault;
use super::{stop, with, word};

/// As `bpf_sk_lookup_tcp`, `bpf_sk_lookup_udp` and `bpf_skc_lookup_tcp` in a network namespace without sockets.
pub(super) fn lookup(context: u64, tuple: u64, length: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        session.bytes(2, tuple, word(length), site);
    });
    0
}

/// Of what takes a socket there is no right call.
pub(super) fn absent(_: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    stop(site, Fault::Absent { what: "a socket" })
}

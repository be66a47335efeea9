//! Helpers that say through which tunnel a packet is to go, for a device that asks for it (`net/core/filter.c`, v6.18).
//!
//! A packet of a capture came through none, so there is nothing to be told but what the program itself said.

use super::{EINVAL, ENOENT, ENOMEM, EPROTO, Session, errno, result, with, word};

/// What a program said, in the order of `struct bpf_tunnel_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vm) struct Tunnel {
    key: [u8; KEY],
    is_ipv6: bool,
    flags: u16,
    options: Vec<u8>,
}

/// Bytes of `struct bpf_tunnel_key`, and of its older forms.
const KEY: usize = 44;
const KEYS: [usize; 4] = [8, 22, 24, 28];
const OPTIONS_MAX: usize = 255;

const REMOTE: usize = 4;
const EXTENSION: usize = 22;
const LABEL: usize = 24;
const LOCAL: usize = 28;

const IPV6: u64 = 1;
const ZERO_CHECKSUM: u64 = 2;
const DONT_FRAGMENT: u64 = 4;
const SEQUENCE: u64 = 8;
/// In a question: to be told the flags; in an order: without a key.
const FLAGS: u64 = 16;

/// The kernel's own bits for what was ordered.
fn kernel_flags(flags: u64) -> u16 {
    const CHECKSUM: u16 = 1;
    const KEY: u16 = 4;
    const SEQ: u16 = 8;
    const NO_FRAGMENT: u16 = 1 << 8;
    const NO_CACHE: u16 = 1 << 13;
    let mut bits = CHECKSUM | KEY | NO_CACHE;
    if flags & ZERO_CHECKSUM != 0 {
        bits &= !CHECKSUM;
    }
    if flags & FLAGS != 0 {
        bits &= !KEY;
    }
    bits | if flags & DONT_FRAGMENT != 0 { NO_FRAGMENT } else { 0 } | if flags & SEQUENCE != 0 { SEQ } else { 0 }
}

/// As `bpf_skb_set_tunnel_key`.
pub(super) fn set_key(context: u64, from: u64, length: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let given = session.bytes(2, from, word(length), site);
        if flags & !(IPV6 | ZERO_CHECKSUM | DONT_FRAGMENT | SEQUENCE | FLAGS) != 0 || !(given.len() == KEY || KEYS.contains(&given.len())) {
            return errno(EINVAL);
        }
        let mut key = [0; KEY];
        key[..given.len()].copy_from_slice(&given);
        let is_ipv6 = flags & IPV6 != 0;
        if key[EXTENSION..LABEL] != [0, 0] || !is_ipv6 && key[LABEL..LOCAL] != [0; 4] {
            return errno(EINVAL);
        }
        session.tunnel = Some(Tunnel { key, is_ipv6, flags: kernel_flags(flags), options: Vec::new() });
        0
    })
}

/// As `bpf_skb_get_tunnel_key`, which has the two ends the other way round.
pub(super) fn key(context: u64, to: u64, length: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let length = word(length);
        session.pointer(2, to, length, site);
        let answer = session.told(length, flags);
        session.write(2, to, answer.as_ref().map_or(&vec![0; length], |key| key), site);
        result(answer.map(|_| ()))
    })
}

/// As `bpf_skb_set_tunnel_opt`.
pub(super) fn set_options(context: u64, from: u64, length: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let options = session.bytes(2, from, word(length), site);
        let Some(tunnel) = session.tunnel.as_mut().filter(|_| options.len().is_multiple_of(4)) else { return errno(EINVAL) };
        if options.len() > OPTIONS_MAX {
            return errno(ENOMEM);
        }
        tunnel.options = options;
        0
    })
}

/// As `bpf_skb_get_tunnel_opt`: how many bytes there are.
pub(super) fn options(context: u64, to: u64, length: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        session.pointer(2, to, word(length), site);
        let mut bytes = vec![0; word(length)];
        let options = session.tunnel.as_ref().map_or(&[][..], |tunnel| &tunnel.options);
        let answer = match options.len() {
            0 => errno(ENOENT),
            there if there > bytes.len() => errno(ENOMEM),
            there => {
                bytes[..there].copy_from_slice(options);
                there as u64
            }
        };
        session.write(2, to, &bytes, site);
        answer
    })
}

impl Session {
    fn told(&self, length: usize, flags: u64) -> Result<Vec<u8>, i32> {
        let tunnel = self.tunnel.as_ref().filter(|_| flags & !(IPV6 | FLAGS) == 0).ok_or(EINVAL)?;
        if tunnel.is_ipv6 != (flags & IPV6 != 0) {
            return Err(EPROTO);
        }
        if length != KEY && !(KEYS.contains(&length) && (length != 8 || !tunnel.is_ipv6)) {
            return Err(EINVAL);
        }
        let mut key = tunnel.key;
        let address = if tunnel.is_ipv6 { 16 } else { 4 };
        key[REMOTE..REMOTE + 16].fill(0);
        key[LOCAL..].fill(0);
        key[REMOTE..REMOTE + address].copy_from_slice(&tunnel.key[LOCAL..LOCAL + address]);
        key[LOCAL..LOCAL + address].copy_from_slice(&tunnel.key[REMOTE..REMOTE + address]);
        let shown = if flags & FLAGS != 0 { tunnel.flags } else { 0 };
        key[EXTENSION..LABEL].copy_from_slice(&shown.to_be_bytes());
        Ok(key[..length].to_vec())
    }
}

//! Helpers for Internet checksums (RFC 1071, RFC 1624), with the kernel's results to the bit.

use super::{EFAULT, EINVAL, errno, result, with, word};

/// Sum with the carry added at the end.
fn add(one: u32, other: u32) -> u32 {
    let (sum, is_over) = one.overflowing_add(other);
    sum + u32::from(is_over)
}

/// 32 bits into 16, without the complement.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from(sum).expect("folded twice")
}

/// As `csum_partial`: what is missing of the last four bytes is zero.
fn sum(bytes: &[u8], seed: u32) -> u32 {
    bytes.chunks(4).fold(seed, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        add(sum, u32::from_le_bytes(word))
    })
}

/// As `bpf_csum_diff` from 6.13 on: 16 bits, where older kernels answer 32 that fold to the same.
pub(super) fn difference(from: u64, from_size: u64, to: u64, to_size: u64, site: u64) -> u64 {
    with(|session| {
        let seed = u32::try_from(word(session.fifth)).expect("32 bits");
        let (from_size, to_size) = (word(from_size), word(to_size));
        let (from, to) = (session.bytes(1, from, from_size, site), session.bytes(3, to, to_size, site));
        let sum = match (from_size > 0, to_size > 0) {
            (true, true) => add(sum(&to, seed), !sum(&from, 0)),
            (false, true) => sum(&to, seed),
            (true, false) => !sum(&from, !seed),
            (false, false) => seed,
        };
        u64::from(fold(sum))
    })
}

/// Replaces at the checksum of `old` what `width` says: a difference (0), two bytes or four.
fn replaced(old: u16, from: u64, to: u64, width: u64, is_transport: bool) -> Result<u16, i32> {
    let (from32, to32) = (u32::try_from(word(from)).expect("32 bits"), u32::try_from(word(to)).expect("32 bits"));
    let by_words = |from: u32, to: u32| !fold(add(add(!u32::from(old), !from), to));
    match width {
        0 if from != 0 => Err(EINVAL),
        0 => Ok(!fold(add(to32, !u32::from(old)))),
        2 if is_transport => Ok(by_words(from32 & 0xffff, to32 & 0xffff)),
        2 => {
            let add = |one: u16, other: u16| {
                let (sum, is_over) = one.overflowing_add(other);
                sum + u16::from(is_over)
            };
            let half = |word: u32| u16::try_from(word & 0xffff).expect("16 bits");
            Ok(!add(add(!old, !half(from32)), half(to32)))
        }
        4 => Ok(by_words(from32, to32)),
        _ => Err(EINVAL),
    }
}

const WIDTH: u64 = 0xf;

/// As `bpf_l3_csum_replace`.
pub(super) fn replace_network(context: u64, offset: u64, from: u64, to: u64, site: u64) -> u64 {
    replace(context, offset, WIDTH, site, |flags, old| replaced(old, from, to, flags, false).map(Some))
}

const PSEUDO: u64 = 16;
const MANGLED_0: u64 = 32;
const ENFORCE: u64 = 64;
const IPV6: u64 = 128;

/// As `bpf_l4_csum_replace`.
pub(super) fn replace_transport(context: u64, offset: u64, from: u64, to: u64, site: u64) -> u64 {
    replace(context, offset, WIDTH | PSEUDO | MANGLED_0 | ENFORCE | IPV6, site, |flags, old| {
        let is_mangled = flags & MANGLED_0 != 0;
        if is_mangled && flags & ENFORCE == 0 && old == 0 {
            return Ok(None);
        }
        let new = replaced(old, from, to, flags & WIDTH, true)?;
        Ok(Some(if is_mangled && new == 0 { 0xffff } else { new }))
    })
}

/// Puts a new checksum in the place of the one at `offset`; `None` leaves it.
fn replace(context: u64, offset: u64, flags_known: u64, site: u64, new: impl FnOnce(u64, u16) -> Result<Option<u16>, i32>) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let (offset, flags) = (word(offset), session.fifth);
        if flags & !flags_known != 0 {
            return errno(EINVAL);
        }
        if offset > 0xffff || offset & 1 == 1 {
            return errno(EFAULT);
        }
        let Some(place) = session.packet.bytes_mut().get_mut(offset..offset + 2) else { return errno(EFAULT) };
        let done = new(flags, u16::from_le_bytes([place[0], place[1]]));
        if let Ok(Some(new)) = done {
            place.copy_from_slice(&new.to_le_bytes());
        }
        result(done.map(|_| ()))
    })
}

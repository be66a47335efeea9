//! Dynptrs: pieces of memory with a length that is known only when the program runs, in a map's value or a ring buffer's record.
//!
//! The 16 bytes of a program's stack that stand for one hold where it lies and how long it is. The verifier lets no program look at them;
//! one that forged them would reach what is the program's anyway.

use super::{E2BIG, EINVAL, Session, errno, only, result, with, word};
use crate::bpf::MapKind;

/// Bytes on the stack.
const LENGTH: usize = 16;
/// `DYNPTR_MAX_SIZE`
const SIZE_MAX: usize = (1 << 24) - 1;

/// As `bpf_dynptr_from_mem`.
pub(super) fn from_memory(data: u64, room: u64, flags: u64, dynptr: u64, site: u64) -> u64 {
    with(|session| {
        let room = word(room);
        if room > 0 {
            session.pointer(1, data, room, site);
        }
        let made = check_size(room).and(if flags == 0 { Ok(()) } else { Err(EINVAL) });
        session.set_dynptr(4, dynptr, if made.is_ok() { (data, room) } else { NULL }, site);
        result(made)
    })
}

/// As `bpf_ringbuf_reserve_dynptr`.
pub(super) fn reserve(map: u64, room: u64, flags: u64, dynptr: u64, site: u64) -> u64 {
    let room = word(room);
    with(|session| {
        session.map_of(1, map, only(MapKind::RingBuf), site);
        session.set_dynptr(4, dynptr, NULL, site);
    });
    let made = if flags == 0 { check_size(room) } else { Err(EINVAL) };
    if let Err(error) = made {
        return errno(error);
    }
    match super::ring::reserve(map, room as u64, 0, 0, site) {
        0 => errno(EINVAL),
        record => {
            with(|session| session.set_dynptr(4, dynptr, (record, room), site));
            0
        }
    }
}

/// As `bpf_ringbuf_submit_dynptr`.
pub(super) fn submit(dynptr: u64, flags: u64, _: u64, _: u64, site: u64) -> u64 {
    give_back(dynptr, flags, site, super::ring::submit)
}

/// As `bpf_ringbuf_discard_dynptr`.
pub(super) fn discard(dynptr: u64, flags: u64, _: u64, _: u64, site: u64) -> u64 {
    give_back(dynptr, flags, site, super::ring::discard)
}

fn give_back(dynptr: u64, flags: u64, site: u64, how: rbpf::ebpf::Helper) -> u64 {
    let (data, _) = with(|session| session.dynptr(1, dynptr, site));
    if data != 0 {
        how(data, flags, 0, 0, site);
        with(|session| session.set_dynptr(1, dynptr, NULL, site));
    }
    0
}

/// As `bpf_dynptr_read`.
pub(super) fn read(to: u64, length: u64, dynptr: u64, offset: u64, site: u64) -> u64 {
    with(|session| {
        let length = word(length);
        if length > 0 {
            session.pointer(1, to, length, site);
        }
        let (data, room) = session.dynptr(3, dynptr, site);
        if data == 0 || session.fifth != 0 {
            return errno(EINVAL);
        }
        let Some(place) = part(data, room, word(offset), length) else { return errno(E2BIG) };
        if length > 0 {
            let bytes = session.bytes(3, place, length, site);
            session.write(1, to, &bytes, site);
        }
        0
    })
}

/// As `bpf_dynptr_write`.
pub(super) fn write(dynptr: u64, offset: u64, from: u64, length: u64, site: u64) -> u64 {
    with(|session| {
        let length = word(length);
        let bytes = session.bytes(3, from, length, site);
        let (data, room) = session.dynptr(1, dynptr, site);
        if data == 0 {
            return errno(EINVAL);
        }
        let Some(place) = part(data, room, word(offset), length) else { return errno(E2BIG) };
        if session.fifth != 0 {
            return errno(EINVAL);
        }
        if length > 0 {
            session.write(1, place, &bytes, site);
        }
        0
    })
}

/// As `bpf_dynptr_data`: where those bytes lie, or null.
pub(super) fn data(dynptr: u64, offset: u64, length: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let (data, room) = session.dynptr(1, dynptr, site);
        if data == 0 { 0 } else { part(data, room, word(offset), word(length)).unwrap_or(0) }
    })
}

/// Where a dynptr leads that leads nowhere.
const NULL: (u64, usize) = (0, 0);

fn check_size(room: usize) -> Result<(), i32> {
    if room > SIZE_MAX { Err(E2BIG) } else { Ok(()) }
}

/// The address of a part, if it is one.
fn part(data: u64, room: usize, offset: usize, length: usize) -> Option<u64> {
    (length <= room && offset <= room - length).then(|| data + offset as u64)
}

impl Session {
    fn dynptr(&self, argument: u8, address: u64, site: u64) -> (u64, usize) {
        let bytes = self.bytes(argument, address, LENGTH, site);
        let half = |from: usize| u64::from_ne_bytes(bytes[from..from + 8].try_into().expect("eight bytes"));
        (half(0), word(half(8)))
    }

    fn set_dynptr(&self, argument: u8, address: u64, (data, room): (u64, usize), site: u64) {
        let bytes = [data.to_ne_bytes(), (room as u64).to_ne_bytes()].concat();
        self.write(argument, address, &bytes, site);
    }
}

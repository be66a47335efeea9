//! Helpers upon maps.

use super::super::Fault;
use super::super::map::Miss;
use super::super::record::Redirect;
use super::{Kinds, errno, handle, only, result, stop, with, word};
use crate::bpf::MapKind;

/// The kinds that a program looks up, updates and deletes by key.
const KEYED: Kinds = only(MapKind::Hash)
    | only(MapKind::Array)
    | only(MapKind::PerCpuHash)
    | only(MapKind::PerCpuArray)
    | only(MapKind::LruHash)
    | only(MapKind::LruPerCpuHash)
    | only(MapKind::LpmTrie);
/// And those that it only looks up. Of sockets programs see the queue: that is the value here.
const LOOKED_UP: Kinds = KEYED
    | only(MapKind::ArrayOfMaps)
    | only(MapKind::HashOfMaps)
    | only(MapKind::DevMap)
    | only(MapKind::DevMapHash)
    | only(MapKind::XskMap);
const PER_CPU: Kinds = only(MapKind::PerCpuHash) | only(MapKind::PerCpuArray) | only(MapKind::LruPerCpuHash);
const REDIRECTED: Kinds = only(MapKind::DevMap) | only(MapKind::DevMapHash) | only(MapKind::CpuMap) | only(MapKind::XskMap);

pub(super) fn lookup(map: u64, key: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, LOOKED_UP, site);
        let key = session.take_key(number, key, site);
        let map = &mut session.maps[number];
        map.touch(&key);
        let found = if map.shape().kind.holds_maps() {
            map.target(&key).map(|inner| handle(inner as usize)).ok_or(Miss::Absent)
        } else {
            map.open(&key)
        };
        session.key = key;
        match found {
            Ok(address) => address,
            Err(Miss::Absent) => 0,
            Err(Miss::Windows(windows)) => stop(site, Fault::Windows { map: number, windows }),
        }
    })
}

pub(super) fn update(map: u64, key: u64, value: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, KEYED, site);
        let key = session.take_key(number, key, site);
        let mut bytes = std::mem::take(&mut session.value);
        session.copy(&mut bytes, 3, value, session.maps[number].shape().value_size, site);
        session.maps[number].touch(&key);
        let done = session.maps[number].put(&key, &bytes, flags);
        (session.key, session.value) = (key, bytes);
        result(done)
    })
}

pub(super) fn delete(map: u64, key: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, KEYED, site);
        let key = session.take_key(number, key, site);
        session.maps[number].touch(&key);
        let done = session.maps[number].remove(&key);
        session.key = key;
        result(done)
    })
}

/// As `bpf_map_lookup_percpu_elem`; there is CPU 0.
pub(super) fn lookup_percpu(map: u64, key: u64, cpu: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.map_of(1, map, PER_CPU, site);
        if word(cpu) != 0 {
            stop(site, Fault::Absent { what: "the value of a CPU other than number 0" });
        }
    });
    lookup(map, key, 0, 0, site)
}

pub(super) fn push(map: u64, value: u64, flags: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, only(MapKind::Queue) | only(MapKind::Stack) | only(MapKind::Bloom), site);
        let value = session.bytes(2, value, session.maps[number].shape().value_size, site);
        result(session.maps[number].put(&[], &value, flags))
    })
}

pub(super) fn pop(map: u64, value: u64, _: u64, _: u64, site: u64) -> u64 {
    take(map, value, site, false)
}

/// As `bpf_map_peek_elem`, which of a Bloom filter asks whether it has the value.
pub(super) fn peek(map: u64, value: u64, _: u64, _: u64, site: u64) -> u64 {
    let has = with(|session| {
        let number = session.map_of(1, map, only(MapKind::Queue) | only(MapKind::Stack) | only(MapKind::Bloom), site);
        let shape = session.maps[number].shape();
        (shape.kind == MapKind::Bloom).then(|| {
            let value = session.bytes(2, value, shape.value_size, site);
            result(session.maps[number].has(&value))
        })
    });
    has.unwrap_or_else(|| take(map, value, site, true))
}

/// None to take leaves zeroes.
fn take(map: u64, value: u64, site: u64, is_kept: bool) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, only(MapKind::Queue) | only(MapKind::Stack), site);
        let length = session.maps[number].shape().value_size;
        session.pointer(2, value, length, site);
        let taken = session.maps[number].take(is_kept);
        let bytes = taken.as_ref().map_or_else(|_| vec![0; length], Clone::clone);
        session.write(2, value, &bytes, site);
        taken.map_or_else(errno, |_| 0)
    })
}

const BROADCAST: u64 = 8;
const EXCLUDE_INGRESS: u64 = 16;
/// What XDP programs return to have the packet sent elsewhere.
const XDP_REDIRECT: u64 = 4;

/// As `bpf_redirect_map`: the lowest bits of the flags are the answer where there is no entry.
pub(super) fn redirect(map: u64, key: u64, flags: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, REDIRECTED, site);
        let map = &mut session.maps[number];
        let extra = if matches!(map.shape().kind, MapKind::DevMap | MapKind::DevMapHash) { BROADCAST | EXCLUDE_INGRESS } else { 0 };
        if flags & !(3 | extra) != 0 {
            return 0;
        }
        let key = u32::try_from(word(key)).expect("32 bits");
        map.touch(&key.to_le_bytes());
        if map.lookup(&key.to_le_bytes()).is_none() && flags & BROADCAST == 0 {
            return flags & 3;
        }
        let map = map.shape().name.clone();
        session.redirect = Some(Redirect::Map { map, key, flags });
        XDP_REDIRECT
    })
}

/// As `bpf_spin_lock` and `bpf_spin_unlock`, upon a value of a map's: one thread has every lock.
pub(super) fn lock(lock: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        if !session.maps.iter().any(|map| map.holds(lock, 4)) {
            stop(site, Fault::Pointer { argument: 1, spot: session.spot(lock, 4), size: 4 });
        }
    });
    0
}

//! Helpers upon maps.

use super::super::Fault;
use super::super::map::Miss;
use super::{result, stop, with};

pub(super) fn lookup(map: u64, key: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_number(map, site);
        let key = session.take_key(number, key, site);
        session.maps[number].touch(&key);
        let found = session.maps[number].open(&key);
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
        let number = session.map_number(map, site);
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
        let number = session.map_number(map, site);
        let key = session.take_key(number, key, site);
        session.maps[number].touch(&key);
        let done = session.maps[number].remove(&key);
        session.key = key;
        result(done)
    })
}

//! Helpers that send records to user space, through ring buffers and perf event arrays.

use super::super::Fault;
use super::super::record::Record;
use super::{E2BIG, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, Session, errno, only, result, stop, with, word};
use crate::bpf::MapKind;

/// A record of a ring buffer that the program is filling.
#[derive(Debug)]
pub(in crate::vm) struct Reservation {
    address: u64,
    length: usize,
    map: usize,
    /// Its place among the session's records: the order is that of the reservations.
    place: usize,
    /// The bytes once it was submitted; without them it is dropped.
    bytes: Option<Vec<u8>>,
    is_open: bool,
}

impl Session {
    /// The record of a map that an address lies in: its first byte and how many it has.
    pub(in crate::vm) fn record(&self, map: usize, address: u64) -> Option<(u64, usize)> {
        let reserved = self.reserved.iter().filter(|reserved| reserved.is_open && reserved.map == map);
        let place = |reserved: &Reservation| (reserved.address, reserved.length);
        reserved.map(place).find(|(start, length)| (*start..=start + *length as u64).contains(&address))
    }
}

pub(super) fn reserve(map: u64, length: u64, flags: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let map = session.map_of(1, map, only(MapKind::RingBuf), site);
        if flags != 0 {
            return 0;
        }
        let Some(address) = session.maps[map].ring().and_then(|ring| ring.reserve(length)) else { return 0 };
        let place = session.records.len();
        session.send(map, Vec::new(), site);
        session.reserved.push(Reservation {
            address,
            length: usize::try_from(length).unwrap_or(usize::MAX),
            map,
            place,
            bytes: None,
            is_open: true,
        });
        address
    })
}

pub(super) fn submit(record: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| session.give_back(record, false, site));
    0
}

pub(super) fn discard(record: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| session.give_back(record, true, site));
    0
}

pub(super) fn output(map: u64, data: u64, count: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        let map = session.map_of(1, map, only(MapKind::RingBuf), site);
        let bytes = session.bytes(2, data, length(count), site);
        let done = session.maps[map].ring().ok_or(EINVAL).and_then(|ring| ring.output(&bytes, flags));
        if done.is_ok() {
            session.send(map, bytes, site);
        }
        result(done)
    })
}

pub(super) fn query(map: u64, what: u64, _: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        let map = session.map_of(1, map, only(MapKind::RingBuf), site);
        session.maps[map].ring().map_or(0, |ring| ring.query(what))
    })
}

/// Bits of the flags that say which entry; all of them set mean this CPU's.
const INDEX: u64 = 0xffff_ffff;
/// Bits of the flags that say how many bytes of the packet go with the record.
const PACKET: u64 = 0xfffff << 32;

/// As `bpf_perf_event_output`; an entry that is set is an event on its CPU.
pub(super) fn perf_output(context: u64, map: u64, flags: u64, data: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let map = session.map_of(2, map, only(MapKind::PerfEventArray), site);
        let count = length(session.fifth);
        let mut bytes = session.bytes(4, data, count, site);
        if flags & !(INDEX | PACKET) != 0 {
            return errno(EINVAL);
        }
        let packet_length = word(flags >> 32);
        let Some(packet) = session.packet.bytes().get(..packet_length) else { return errno(EFAULT) };
        bytes.extend_from_slice(packet);
        let index = if flags & INDEX == INDEX { 0 } else { word(flags) };
        if index >= session.maps[map].shape().max_entries as usize {
            return errno(E2BIG);
        }
        let key = u32::try_from(index).expect("32 bits").to_le_bytes();
        if session.maps[map].target(&key).is_none() {
            return errno(ENOENT);
        }
        if index != 0 {
            return errno(EOPNOTSUPP);
        }
        session.send(map, bytes, site);
        0
    })
}

/// A length of 64 bits; where it is beyond all memory the pointer's test fails.
fn length(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl Session {
    fn send(&mut self, map: usize, bytes: Vec<u8>, site: u64) {
        self.keep(bytes.len(), site);
        let map = self.maps[map].shape().name.clone();
        self.records.push(Record { map, bytes });
    }

    fn give_back(&mut self, address: u64, is_discarded: bool, site: u64) {
        let found = self.reserved.iter_mut().find(|reservation| reservation.is_open && reservation.address == address);
        let Some(reservation) = found else { stop(site, Fault::Pointer { argument: 1, spot: self.spot(address, 0), size: 0 }) };
        reservation.is_open = false;
        let bytes = self.maps[reservation.map].ring().and_then(|ring| ring.commit(address, is_discarded));
        reservation.bytes = bytes.filter(|_| !is_discarded);
    }

    /// Ends a run: the records that were submitted take their places, the others leave none.
    pub(in crate::vm) fn settle(&mut self) {
        for reservation in self.reserved.drain(..).rev() {
            match reservation.bytes {
                Some(bytes) => self.records[reservation.place].bytes = bytes,
                None => drop(self.records.remove(reservation.place)),
            }
        }
    }
}

//! The session: what helpers work on, and the only way from a program's numbers to memory.

use super::super::Fault;
use super::super::follow::Follower;
use super::super::guard::Guard;
use super::super::loaded::Loaded;
use super::super::map::Map;
use super::super::memory::Piece;
use super::super::record::{Record, Redirect};
use super::super::spot::Spot;
use super::super::stack::Stack;
use super::buffer::Buffer;
use super::callback::Turns;
use super::ring::Reservation;
use super::route::{Forwarding, Route};
use super::tunnel::Tunnel;
use super::{HANDLE, Kinds, Meter, only, stop};
use crate::bpf::Hook;
use std::collections::BTreeMap;

/// Bytes of records, copies of the packet and lines that a run may leave: far more than real ones do.
const KEPT_MAX: usize = 1 << 28;

/// What helpers work on, and all that a run changes.
pub(in crate::vm) struct Session {
    pub(in crate::vm) maps: Vec<Map>,
    pub(in crate::vm) hook: Hook,
    pub(in crate::vm) context: Piece,
    pub(in crate::vm) packet: Piece,
    /// The packet with the metadata before it.
    pub(in crate::vm) reach: Piece,
    /// All that the packet may grow into.
    pub(in crate::vm) room: Piece,
    pub(in crate::vm) now_ns: u64,
    /// State of the generator, see `random`.
    pub(in crate::vm) random: u64,
    /// What the run sent to ring buffers and perf event arrays, and where it sent the packet.
    pub(in crate::vm) records: Vec<Record>,
    pub(in crate::vm) reserved: Vec<Reservation>,
    pub(in crate::vm) lines: Vec<String>,
    pub(in crate::vm) redirect: Option<Redirect>,
    /// Copies sent away while the run went on.
    pub(in crate::vm) clones: Vec<(Redirect, Vec<u8>)>,
    /// Bytes of all those and of lines so far.
    pub(in crate::vm) kept_length: usize,
    /// Loops that call functions, the innermost last, and where their keys are shown.
    pub(in crate::vm) loops: Vec<Turns>,
    pub(in crate::vm) keys: Vec<Piece>,
    /// What the kernel knows of a socket buffer.
    pub(in crate::vm) buffer: Buffer,
    /// Through which tunnel the program sends the packet.
    pub(in crate::vm) tunnel: Option<Tunnel>,
    /// The longest packet of each interface, without its Ethernet header.
    pub(in crate::vm) mtus: BTreeMap<u32, u32>,
    /// Which interfaces forward packets.
    pub(in crate::vm) forwarding: BTreeMap<u32, Forwarding>,
    pub(in crate::vm) routes: Vec<Route>,
    /// Which instruction prints.
    pub(in crate::vm) site: u64,
    /// Fifth argument of the helper that is called next.
    pub(in crate::vm) fifth: u64,
    pub(in crate::vm) instructions_max: u64,
    pub(in crate::vm) instructions_left: u64,
    /// Position of the running program, and the meters of each.
    pub(in crate::vm) program: usize,
    /// Hook of each program, and how often the run went on to another.
    pub(in crate::vm) hooks: Vec<Hook>,
    pub(in crate::vm) tail_calls: u32,
    /// All programs, while one runs.
    pub(in crate::vm) programs: *const [Loaded],
    /// What the last one that ran to its end for a function of another answered.
    pub(in crate::vm) answer: u64,
    /// The VM's own stack, and what its bytes hold before they are written.
    pub(in crate::vm) own_stack: Piece,
    pub(in crate::vm) stack_fill: u8,
    pub(in crate::vm) meters: Vec<Vec<Meter>>,
    pub(in crate::vm) guards: Vec<Vec<Guard>>,
    /// What traced programs count.
    pub(in crate::vm) counts: Vec<Vec<u64>>,
    pub(in crate::vm) stack: Stack,
    /// Who follows the run.
    pub(in crate::vm) follower: Option<Box<Follower>>,
    /// Copies of a key and a value while a map works on them: they may lie in that map's own window.
    pub(in crate::vm) key: Vec<u8>,
    pub(in crate::vm) value: Vec<u8>,
}

impl Session {
    pub(super) fn map_number(&self, value: u64, site: u64) -> usize {
        let number = usize::try_from(value ^ HANDLE).unwrap_or(usize::MAX);
        if number >= self.maps.len() {
            stop(site, Fault::NoMap { spot: self.spot(value, 0) });
        }
        number
    }

    /// The number of a map of one of these kinds.
    pub(super) fn map_of(&self, argument: u8, value: u64, kinds: Kinds, site: u64) -> usize {
        let number = self.map_number(value, site);
        let kind = self.maps[number].shape().kind;
        if kinds & only(kind) == 0 {
            stop(site, Fault::MapKind { argument, map: number, kind });
        }
        number
    }

    /// A copy of bytes that the program points to; a null pointer to none is none.
    pub(in crate::vm) fn bytes(&self, argument: u8, address: u64, length: usize, site: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if length > 0 {
            self.copy(&mut bytes, argument, address, length, site);
        }
        bytes
    }

    /// Writes to where the program points.
    pub(super) fn write(&self, argument: u8, address: u64, bytes: &[u8], site: u64) {
        let target = self.target(argument, address, bytes.len(), site);
        // SAFETY: `target` made sure that so many bytes are there, in memory that lives as long as the run; `bytes` are the host's own.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// The address as a pointer, after making sure that `length` bytes there are the program's.
    pub(super) fn pointer(&self, argument: u8, address: u64, length: usize, site: u64) -> *mut u8 {
        if !self.holds(address, length) {
            stop(site, Fault::Pointer { argument, spot: self.spot(address, length), size: length });
        }
        std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("addresses fit"))
    }

    /// The same for bytes that the helper now writes, all of them.
    pub(super) fn target(&self, argument: u8, address: u64, length: usize, site: u64) -> *mut u8 {
        let target = self.pointer(argument, address, length, site);
        self.stack.write(address, length);
        target
    }

    /// Ends the run if some of so many bytes there are the stack's and were never written.
    pub(super) fn expect_written(&self, argument: Option<u8>, address: u64, length: usize, site: u64) {
        if let Some(unwritten) = self.stack.unwritten(address, length) {
            stop(site, Fault::Unwritten { argument, offset: unwritten.offset, frame: unwritten.frame, size: length });
        }
    }

    /// Where so many bytes lie, for a message.
    pub(super) fn spot(&self, address: u64, length: usize) -> Spot {
        Spot::of(self, address, 0, length)
    }

    /// Whether so many bytes there are the program's.
    pub(in crate::vm) fn holds(&self, address: u64, length: usize) -> bool {
        self.stack.holds(address, length as u64)
            || self.reach.holds(address, length)
            || self.context.holds(address, length)
            || self.maps.iter().any(|map| map.holds(address, length))
            || self.keys.iter().any(|key| key.holds(address, length))
    }

    /// Counts what a run leaves, with a little for each piece.
    pub(super) fn keep(&mut self, length: usize, site: u64) {
        self.kept_length += length + 64;
        if self.kept_length > KEPT_MAX {
            stop(site, Fault::Absent { what: "room for more than 256 MiB of a run's records, copies and lines" });
        }
    }

    /// Puts the packet at `start` of its room, after `metadata` bytes; contents are the caller's.
    pub(in crate::vm) fn place(&mut self, start: usize, length: usize, metadata: usize) {
        self.packet = self.room.part(start, length);
        self.reach = self.room.part(start - metadata, metadata + length);
    }

    pub(super) fn copy(&self, into: &mut Vec<u8>, argument: u8, address: u64, length: usize, site: u64) {
        let source = self.pointer(argument, address, length, site);
        self.expect_written(Some(argument), address, length, site);
        // SAFETY: `pointer` made sure that `length` bytes are there, in memory that lives as long as the run; `into` is the
        // host's own.
        let bytes = unsafe { std::slice::from_raw_parts(source, length) };
        into.clear();
        into.extend_from_slice(bytes);
    }

    pub(super) fn take_key(&mut self, map: usize, address: u64, site: u64) -> Vec<u8> {
        let mut key = std::mem::take(&mut self.key);
        self.copy(&mut key, 2, address, self.maps[map].shape().key_size, site);
        key
    }

    pub(super) fn expect_context(&self, address: u64, site: u64) {
        if address != self.context.address() {
            let length = self.hook.context_length();
            stop(site, Fault::Pointer { argument: 1, spot: self.spot(address, length), size: length });
        }
    }
}

//! Spots: where in the program's memory an address lies, as faults name it. No address of this process is shown.

use super::helper::{self, Session};
use super::memory::Arena;
use std::fmt;

/// Numbers below this, and as far below zero, are no address of anything.
const NUMBER_MAX: i64 = 1 << 16;

/// What of the program's memory an address leads to, and how far from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// The packet; what lies before it is its metadata.
    Packet {
        /// From its first byte.
        offset: i64,
        /// Bytes that it has.
        length: usize,
    },
    /// The context.
    Context {
        /// From its first byte.
        offset: i64,
        /// Bytes that it has.
        length: usize,
    },
    /// The stack.
    Stack {
        /// From the frame pointer (r10), negative inside.
        offset: i64,
        /// How many calls deep the frame is, where it is not the function's own; 0 is the main program's.
        frame: u32,
    },
    /// A value of a map, or a record of a ring buffer.
    Value {
        /// The map's name.
        map: String,
        /// From its first byte.
        offset: i64,
        /// Bytes that it has.
        length: usize,
    },
    /// A key that a function is shown.
    Key {
        /// From its first byte.
        offset: i64,
    },
    /// A map itself, of which a program sees nothing.
    Map {
        /// Its name.
        map: String,
    },
    /// A small number, null for one.
    Number(i64),
    /// Memory of nobody's.
    Nowhere,
}

impl Spot {
    /// Where an access of `size` bytes at `base` plus `offset` starts. Which region is meant the base says, if it is in one, then the first and
    /// the last byte.
    pub(super) fn of(session: &Session, base: u64, offset: i64, size: usize) -> Self {
        let address = base.wrapping_add_signed(offset);
        if (-NUMBER_MAX..NUMBER_MAX).contains(&address.cast_signed()) {
            return Self::Number(address.cast_signed());
        }
        let last = address.wrapping_add(size.max(1) as u64 - 1);
        [base, address, last].into_iter().find_map(|near| Self::near(session, near, address)).unwrap_or(Self::Nowhere)
    }

    /// The address as seen from the region in which `near` lies, or at whose end.
    fn near(session: &Session, near: u64, address: u64) -> Option<Self> {
        let from = |start: u64| address.wrapping_sub(start).cast_signed();
        let is_in = |range: std::ops::Range<u64>| (range.start..=range.end).contains(&near);
        if is_in(session.room.range()) {
            return Some(Self::Packet { offset: from(session.packet.address()), length: session.packet.length() });
        }
        if is_in(session.context.range()) {
            return Some(Self::Context { offset: from(session.context.address()), length: session.context.length() });
        }
        let (frame, top) = session.stack.frame(near);
        if is_in(session.stack.end.saturating_sub(session.stack.length)..session.stack.end) {
            return Some(Self::Stack { offset: from(top), frame });
        }
        if let Some(key) = session.keys.iter().find(|key| is_in(key.range())) {
            return Some(Self::Key { offset: from(key.address()) });
        }
        for (number, map) in session.maps.iter().enumerate() {
            let name = || map.shape().name.clone();
            if near == helper::handle(number) {
                return Some(Self::Map { map: name() });
            }
            let Some(range) = map.ranges().into_iter().find(|range| is_in(range.clone())) else { continue };
            let (mut start, mut length) = (range.start, map.shape().value_size);
            if let Some((record, bytes)) = session.record(number, near) {
                (start, length) = (record, bytes);
            } else if length > 0 && range.end - range.start > length as u64 {
                // Places of many values, one after the other.
                start += (near - start) / Arena::room(length) as u64 * Arena::room(length) as u64;
            }
            return Some(Self::Value { map: name(), offset: from(start), length });
        }
        None
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { offset, .. } => write!(f, "packet{offset:+}"),
            Self::Context { offset, .. } => write!(f, "context{offset:+}"),
            Self::Stack { offset, frame: 0 } => write!(f, "fp{offset:+}"),
            Self::Stack { offset, frame } => write!(f, "fp{offset:+} of the frame {frame} calls deep"),
            Self::Value { map, offset, .. } => write!(f, "{map}{offset:+}"),
            Self::Key { offset } => write!(f, "key{offset:+}"),
            Self::Map { map } => write!(f, "the map {map} itself"),
            Self::Number(number @ 0..) => write!(f, "{number:#x}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Nowhere => f.write_str("an address that is no memory of the program's"),
        }
    }
}

/// How many bytes there are where an access went beyond them, for a message.
pub(super) struct Extent<'a>(pub(super) &'a Spot);

impl fmt::Display for Extent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Spot::Packet { length, .. } => write!(f, "; the packet has {length}"),
            Spot::Context { length, .. } => write!(f, "; the context has {length}"),
            Spot::Value { map, length, .. } => write!(f, "; a value or record of {map} has {length}"),
            Spot::Stack { .. } => f.write_str("; a frame has the 512 below its pointer"),
            _ => Ok(()),
        }
    }
}

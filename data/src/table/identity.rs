//! Whether a table's rows of one capture and flow number are those of one flow.
//!
//! The tables of several runs may be put together, and two captures may have had one name: then flow 7 of the one and flow 7 of the other look like one flow.
//! In one flow the ports, the protocol and the class stay, each packet's number comes once, and between two of its packets there
//! are at least as many frames as packets. Rows in the order of a capture, as they are written, are checked as they come; in any other order,
//! a second pass over three columns checks them.

use std::collections::HashMap;

use treeline_ebpf::feature::{ORIGINATOR_PORT, PROTOCOL, RESPONDER_PORT};

use super::{Column, Reader, TableError};
use crate::Row;

/// Checks rows as they are read.
#[derive(Debug, Default)]
pub struct Identity {
    flows: HashMap<(u32, u64), Seen>,
    is_disordered: bool,
}

/// What is known of a flow.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Ports and protocol.
    endpoints: [i64; 3],
    midstream: bool,
    class: Option<u16>,
    last: Position,
}

/// Where a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// Its number in the flow, from 1.
    packet: u64,
    /// Its frame in the capture, from 0.
    index: u64,
}

impl Position {
    /// Whether `later` can be a later packet of the same flow.
    fn precedes(self, later: Self) -> bool {
        later.packet > self.packet && later.index.checked_sub(self.index).is_some_and(|frames| frames >= later.packet - self.packet)
    }
}

impl Identity {
    /// The columns that it looks at, besides those of the features.
    pub const COLUMNS: [Column; 5] = [Column::Capture, Column::Index, Column::Flow, Column::Packet, Column::Class];

    /// Looks at a row of `reader`.
    pub fn observe(&mut self, reader: &Reader, row: &Row) -> Result<(), TableError> {
        let Row { capture, index, flow, packet, midstream, features, class, .. } = *row;
        let endpoints = [features[ORIGINATOR_PORT], features[RESPONDER_PORT], features[PROTOCOL]];
        let last = Position { packet, index };
        let seen =
            self.flows.entry((capture, flow)).or_insert(Seen { endpoints, midstream, class, last: Position { packet: 0, index: 0 } });
        let found = if packet == 0 || index < packet - 1 {
            Some(format!("packet {packet} is frame {index}"))
        } else if seen.endpoints != endpoints {
            Some("ports or protocol change".to_owned())
        } else if seen.midstream != midstream {
            Some("midstream changes".to_owned())
        } else if class.is_some() && seen.class.is_some() && seen.class != class {
            Some("the class changes".to_owned())
        } else {
            None
        };
        if let Some(found) = found {
            return Err(two_flows(reader, (capture, flow), found));
        }
        self.is_disordered |= seen.last.packet > 0 && !seen.last.precedes(last);
        seen.last = last;
        seen.class = seen.class.or(class);
        Ok(())
    }

    /// Looks at the order of the packets, after all rows have been observed.
    pub fn finish(self, reader: &Reader) -> Result<(), TableError> {
        if !self.is_disordered {
            return Ok(());
        }
        drop(self.flows);
        let mut rows = Vec::new();
        for chunk in reader.chunks(&[Column::Capture, Column::Index, Column::Flow, Column::Packet]) {
            let chunk = chunk?;
            let positions = chunk.packet.iter().zip(&chunk.index).map(|(&packet, &index)| Position { packet, index });
            rows.extend(chunk.capture.iter().copied().zip(chunk.flow).zip(positions));
        }
        rows.sort_unstable();
        for pair in rows.windows(2) {
            let [(flow, position), (next_flow, next)] = [pair[0], pair[1]];
            if flow == next_flow && !position.precedes(next) {
                let found =
                    format!("packet {} is frame {}, and packet {} is frame {}", position.packet, position.index, next.packet, next.index);
                return Err(two_flows(reader, flow, found));
            }
        }
        Ok(())
    }
}

fn two_flows(reader: &Reader, (capture, flow): (u32, u64), found: String) -> TableError {
    let capture = reader.captures()[capture as usize].clone();
    TableError::TwoFlows { path: reader.path().to_owned(), capture, flow, found }
}

//! Flow tables as CIC-IDS-2017 publishes them, and the corrected table of 2022: a row is a flow with a label.
//!
//! A packet's flow is found by its key, the same for both directions, and by time: it was opened between the row's timestamp and the row's end
//! (timestamp, as coarse as it is written, plus duration). Of several such rows the one that starts last counts.
//!
//! Rows that cannot be used are counted by reason, not refused: the published files have hundreds of thousands of empty lines.

use std::net::IpAddr;

use treeline_ebpf::Key;
use treeline_ebpf::packet::{TCP, UDP};
use treeline_sim::conversation::Conversation;

use super::class::Classes;
use super::record::{Header, Records};
use super::report::{self, Parts, Unmatched};
use super::{LabelError, time};

/// Rows kept, 64 bytes each. The whole dataset has three million.
const ROWS_MAX: usize = 1 << 26;

/// The names of the label's column, in lower case.
pub(super) const LABEL: &[&str] = &["label"];

/// Published labels that the windows call otherwise, so that a model learns the same names from either.
const RENAMED: &[(&str, &str)] = &[
    ("bot", "botnet-ares"),
    ("botnet", "botnet-ares"),
    ("ddos", "ddos-loit"),
    ("web-attack-brute-force", "web-brute-force"),
    ("web-attack-sql-injection", "web-sql-injection"),
    ("web-attack-xss", "web-xss"),
];

/// What the corrected table appends to the label of an attack that had no effect; its authors count these flows as benign.
const ATTEMPTED: &str = "-attempted";

/// The rows of a table.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) classes: Classes,
    /// By key, then start; of equal ones the first in the file last.
    rows: Vec<Row>,
    rows_count: u64,
    unusable: Vec<Unmatched>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    key: Key,
    start_ns: u64,
    /// The last nanosecond.
    end_ns: u64,
    line: u32,
    class: u16,
    /// On the first row of a key: a flow of that key was seen.
    seen: bool,
    matched: bool,
}

const _: () = assert!(size_of::<Row>() == 64);

/// Where the columns are.
struct Columns {
    addresses: [usize; 2],
    ports: [usize; 2],
    time: usize,
    label: usize,
    protocol: Option<usize>,
    /// Ends in the protocol, where there is no column for it.
    id: Option<usize>,
    /// Microseconds.
    duration: Option<usize>,
}

impl Columns {
    fn find(header: &Header, records: &Records) -> Result<Self, LabelError> {
        let needed = |names: &[&str], column| header.place(names).ok_or_else(|| LabelError::NoAddresses { path: records.path(), column });
        let columns = Self {
            addresses: [needed(&["source ip", "src ip"], "Source IP")?, needed(&["destination ip", "dst ip"], "Destination IP")?],
            ports: [needed(&["source port", "src port"], "Source Port")?, needed(&["destination port", "dst port"], "Destination Port")?],
            time: needed(&["timestamp"], "Timestamp")?,
            label: needed(LABEL, "Label")?,
            protocol: header.place(&["protocol"]),
            id: header.place(&["flow id"]),
            duration: header.place(&["flow duration"]),
        };
        if columns.protocol.is_none() && columns.id.is_none() {
            return Err(LabelError::MissingColumn { path: records.path(), column: "Protocol" });
        }
        Ok(columns)
    }
}

impl Flows {
    pub(super) fn read(mut records: Records) -> Result<Self, LabelError> {
        let columns = Columns::find(records.header(), &records)?;
        let mut flows = Self { classes: Classes::default(), rows: Vec::new(), rows_count: 0, unusable: Vec::new() };
        while records.advance()? {
            flows.rows_count += 1;
            match usable(&records, &columns) {
                Ok((key, start_ns, end_ns)) => {
                    if flows.rows.len() == ROWS_MAX {
                        return Err(LabelError::TooManyRows { path: records.path(), line: records.line(), rows_max: ROWS_MAX });
                    }
                    let number = flows.classes.number(&class_name(&records.field(columns.label)));
                    let class = number.ok_or_else(|| LabelError::TooManyClasses { path: records.path(), line: records.line() })?;
                    let line = u32::try_from(records.line()).unwrap_or(u32::MAX);
                    flows.rows.push(Row { key, start_ns, end_ns, line, class, seen: false, matched: false });
                }
                Err(reason) => report::add(&mut flows.unusable, reason, records.line()),
            }
        }
        if let ([], [first, ..]) = (flows.rows.as_slice(), flows.unusable.as_slice()) {
            let (line, reason) = (first.lines.first().copied().unwrap_or_default(), first.reason);
            return Err(LabelError::NoUsableRow { path: records.path(), rows: flows.rows_count, line, reason });
        }
        flows.rows.sort_unstable_by_key(|row| (order(&row.key), row.start_ns, std::cmp::Reverse(row.line)));
        Ok(flows)
    }

    pub(super) fn class(&mut self, conversation: &Conversation, first_ns: u64) -> Option<u16> {
        let key = order(&conversation.key());
        let first = self.rows.partition_point(|row| order(&row.key) < key);
        let count = self.rows[first..].partition_point(|row| order(&row.key) == key);
        let rows = &mut self.rows[first..first + count];
        rows.first_mut()?.seen = true;
        let started = rows.partition_point(|row| row.start_ns <= first_ns);
        let row = rows[..started].iter_mut().rev().find(|row| first_ns <= row.end_ns)?;
        row.matched = true;
        Some(row.class)
    }

    pub(super) fn report(&self) -> Parts {
        let mut unmatched = Vec::new();
        let mut matched = 0;
        for rows in self.rows.chunk_by(|a, b| a.key == b.key) {
            let seen = rows.first().is_some_and(|row| row.seen);
            for row in rows {
                if row.matched {
                    matched += 1;
                } else if seen {
                    report::add(&mut unmatched, "its flow is in the captures, but none was opened in its time", row.line.into());
                } else {
                    report::add(&mut unmatched, "its flow is not in the captures", row.line.into());
                }
            }
        }
        unmatched.extend(self.unusable.iter().cloned());
        ("flow table", self.rows_count, matched, unmatched)
    }
}

/// Key, first and last nanosecond of a row, or why it has none.
fn usable(records: &Records, columns: &Columns) -> Result<(Key, u64, u64), &'static str> {
    if (0..records.fields_count()).all(|at| records.field(at).is_empty()) {
        return Err("empty row");
    }
    if !records.field(columns.label).contains(|letter: char| letter.is_ascii_alphanumeric()) {
        return Err("no label");
    }
    let protocol = match columns.protocol {
        Some(at) => records.field(at).parse().ok(),
        None => columns.id.and_then(|at| records.field(at).rsplit_once('-')?.1.parse().ok()),
    };
    let protocol: u8 = protocol.ok_or("no protocol number")?;
    let endpoint = |end: usize| -> Result<(IpAddr, u16), &'static str> {
        let address = records.field(columns.addresses[end]).parse().map_err(|_| "no IP address")?;
        let has_ports = matches!(protocol, TCP | UDP);
        let port = if has_ports { records.field(columns.ports[end]).parse().map_err(|_| "no port number")? } else { 0 };
        Ok((address, port))
    };
    let (originator, responder) = (endpoint(0)?, endpoint(1)?);
    if originator.0.is_ipv4() != responder.0.is_ipv4() {
        return Err("addresses of two IP versions");
    }
    let key = Conversation { originator, responder, protocol }.key();
    let moment = time::table(&records.field(columns.time)).ok_or("no time")?;
    // A few published durations are negative or broken: such a row covers its timestamp alone.
    let microseconds: f64 = columns.duration.and_then(|at| records.field(at).parse().ok()).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; not a number becomes 0")]
    let duration_ns = (microseconds * 1000.0) as u64;
    Ok((key, moment.start_ns, moment.start_ns.saturating_add(duration_ns).saturating_add(moment.resolution_ns - 1)))
}

/// The class of a published label: lower case, words joined by `-`. The dash in `Web Attack – XSS` is broken in three ways in the files, so
/// whatever is no letter or digit counts as one separator.
fn class_name(label: &str) -> String {
    let words: Vec<_> = label.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = words.join("-").to_ascii_lowercase();
    if name.ends_with(ATTEMPTED) {
        return treeline_model::BENIGN.to_owned();
    }
    match RENAMED.iter().find(|(published, _)| *published == name) {
        Some((_, ours)) => (*ours).to_owned(),
        None => name,
    }
}

/// Any total order of keys.
fn order(key: &Key) -> impl Ord + use<> {
    (key.low, key.high, key.low_port, key.high_port, key.protocol, key.version)
}

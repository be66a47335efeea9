//! Rules: a line says which flows are of a class; the first line that matches wins.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use treeline_ebpf::packet::{TCP, UDP};
use treeline_sim::conversation::Conversation;

use super::class::Classes;
use super::record::Records;
use super::report::{self, Parts};
use super::{LabelError, time};

/// Rules kept.
const ROWS_MAX: usize = 1 << 20;

const COLUMNS: &[&str; 10] = &["capture", "class", "protocol", "address_a", "address_b", "port", "start", "end", "originator", "responder"];

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The rules of a file.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) classes: Classes,
    rows: Vec<Rule>,
    /// The capture asked for last, and the rules that name it. Captures come one after another, with many flows each.
    selected: Option<(PathBuf, Vec<usize>)>,
}

/// One line; `None` is any.
#[derive(Debug)]
struct Rule {
    line: u64,
    capture: Option<PathBuf>,
    class: u16,
    protocols: Option<Protocols>,
    addresses: [Option<IpAddr>; 2],
    port: Option<u16>,
    /// First and last nanosecond.
    times: (Option<u64>, Option<u64>),
    originator: Option<Endpoint>,
    responder: Option<Endpoint>,
    /// A capture that the rule names was read.
    asked: bool,
    matched: bool,
}

/// Two numbers, for `icmp` means the protocol for IPv4 and the one for IPv6.
type Protocols = [u8; 2];

/// An address, with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    port: Option<u16>,
}

impl Endpoint {
    fn is(self, (address, port): (IpAddr, u16)) -> bool {
        self.address == address && self.port.is_none_or(|own| own == port)
    }
}

impl Rule {
    /// The rule of a line whose fields are at `places`, in the order of [`COLUMNS`].
    fn read(records: &Records, places: &[usize; COLUMNS.len()], classes: &mut Classes) -> Result<Self, LabelError> {
        let [capture, class, protocol, address_a, address_b, port, start, end, originator, responder] = *places;
        let name = records.field(class);
        if name.is_empty() {
            return Err(records.unclear("class", "", "a name"));
        }
        let number = classes.number(&name);
        let file = records.field(capture);
        let file = file.strip_prefix("./").unwrap_or(&file);
        let address = |column, at| records.parsed(column, at, "an IP address", |text| text.parse().ok());
        let time = |column, at| records.parsed(column, at, "a time like 2017-07-06T13:15:00Z or seconds since 1970", time::instant);
        let end_point = |column, at| records.parsed(column, at, "an IP address, with or without a port", endpoint);
        Ok(Self {
            line: records.line(),
            capture: (!file.is_empty()).then(|| PathBuf::from(file)),
            class: number.ok_or_else(|| LabelError::TooManyClasses { path: records.path(), line: records.line() })?,
            protocols: records.parsed("protocol", protocol, "tcp, udp, icmp, icmpv6, sctp, gre, esp or a number to 255", protocols)?,
            addresses: [address("address_a", address_a)?, address("address_b", address_b)?],
            port: records.parsed("port", port, "a port number", |text| text.parse().ok())?,
            times: (time("start", start)?, time("end", end)?),
            originator: end_point("originator", originator)?,
            responder: end_point("responder", responder)?,
            asked: false,
            matched: false,
        })
    }

    fn names(&self, capture: &Path, absolute: &Path) -> bool {
        self.capture.as_ref().is_none_or(|suffix| capture.ends_with(suffix) || absolute.ends_with(suffix))
    }

    /// Whether the flow is one of the rule's, its capture aside.
    fn covers(&self, conversation: &Conversation, first_ns: u64) -> bool {
        let Conversation { originator, responder, protocol } = *conversation;
        self.protocols.is_none_or(|protocols| protocols.contains(&protocol))
            && self.covers_addresses(originator.0, responder.0)
            && self.port.is_none_or(|port| port == originator.1 || port == responder.1)
            && self.times.0.is_none_or(|start_ns| start_ns <= first_ns)
            && self.times.1.is_none_or(|end_ns| first_ns <= end_ns)
            && self.originator.is_none_or(|endpoint| endpoint.is(originator))
            && self.responder.is_none_or(|endpoint| endpoint.is(responder))
    }

    fn covers_addresses(&self, originator: IpAddr, responder: IpAddr) -> bool {
        let [a, b] = self.addresses;
        let either = |first, second| a.is_none_or(|a| a == first) && b.is_none_or(|b| b == second);
        either(originator, responder) || either(responder, originator)
    }
}

impl Rules {
    pub(super) fn read(mut records: Records) -> Result<Self, LabelError> {
        let header = records.header();
        header.check(COLUMNS)?;
        header.needed("capture")?;
        header.needed("class")?;
        let places = COLUMNS.map(|column| header.place(&[column]).unwrap_or(usize::MAX));
        let columns = header.columns_count();
        let mut rules = Self { classes: Classes::default(), rows: Vec::new(), selected: None };
        while records.advance()? {
            let (path, line) = (|| records.path(), records.line());
            if records.fields_count() != columns {
                return Err(LabelError::FieldsCount { path: path(), line, found: records.fields_count(), columns });
            }
            if rules.rows.len() == ROWS_MAX {
                return Err(LabelError::TooManyRows { path: path(), line, rows_max: ROWS_MAX });
            }
            let rule = Rule::read(&records, &places, &mut rules.classes)?;
            if matches!(rule.times, (Some(start_ns), Some(end_ns)) if end_ns < start_ns) {
                return Err(LabelError::Backwards { path: path(), line });
            }
            rules.rows.push(rule);
        }
        Ok(rules)
    }

    pub(super) fn class(&mut self, capture: &Path, conversation: &Conversation, first_ns: u64) -> Option<u16> {
        if self.selected.as_ref().is_none_or(|(path, _)| path != capture) {
            self.select(capture);
        }
        let (_, selected) = self.selected.as_ref()?;
        let found = selected.iter().copied().find(|&at| self.rows[at].covers(conversation, first_ns))?;
        self.rows[found].matched = true;
        Some(self.rows[found].class)
    }

    fn select(&mut self, capture: &Path) {
        let absolute = std::path::absolute(capture).unwrap_or_else(|_| capture.to_owned());
        let selected: Vec<usize> = (0..self.rows.len()).filter(|&at| self.rows[at].names(capture, &absolute)).collect();
        for &at in &selected {
            self.rows[at].asked = true;
        }
        self.selected = Some((capture.to_owned(), selected));
    }

    pub(super) fn report(&self) -> Parts {
        let mut unmatched = Vec::new();
        for rule in self.rows.iter().filter(|rule| !rule.matched) {
            let reason = if rule.asked { "no flow that an earlier row had not taken" } else { "its capture had no flows or was not read" };
            report::add(&mut unmatched, reason, rule.line);
        }
        let matched = self.rows.iter().filter(|rule| rule.matched).count();
        ("rules", self.rows.len() as u64, matched as u64, unmatched)
    }
}

fn protocols(text: &str) -> Option<Protocols> {
    let number = match text.to_ascii_lowercase().as_str() {
        "tcp" => TCP,
        "udp" => UDP,
        "icmp" => return Some([ICMP, ICMPV6]),
        "icmpv6" => ICMPV6,
        "sctp" => 132,
        "gre" => 47,
        "esp" => 50,
        number => number.parse().ok()?,
    };
    Some([number; 2])
}

fn endpoint(text: &str) -> Option<Endpoint> {
    if let Ok(address) = text.parse() {
        return Some(Endpoint { address, port: None });
    }
    text.parse().ok().map(|socket: SocketAddr| Endpoint { address: socket.ip(), port: Some(socket.port()) })
}

//! Attack windows: who attacked whom and when, the way CIC-IDS-2017 describes its attacks.
//!
//! A row gives up to two windows: the paper's (`paper_*`) and the one that the corrected flow table of 2022 shows (`table_*`). A flow is of the
//! row's class if it was opened inside the window by `address_from` towards `address_to`; a later row wins; every other flow is benign. An end
//! covers its whole second.
//!
//! The corrected edition takes the union of the two windows, and where rows overlap, a row with both addresses before one with a single one: the
//! host that was infiltrated scans everybody, but what it says to its attacker is the infiltration.

use std::net::IpAddr;

use treeline_sim::conversation::Conversation;

use super::class::Classes;
use super::record::Records;
use super::report::{self, Parts};
use super::{LabelError, time};

/// The built-in rows.
pub(super) const CIC_IDS_2017: &str = include_str!("cic-ids-2017-windows.csv");

/// Windows kept.
const ROWS_MAX: usize = 1 << 16;

const COLUMNS: &[&str] =
    &["class", "address_from", "address_to", "port_to", "paper_start_utc", "paper_end_utc", "table_first_utc", "table_last_utc"];

/// The class whose flows count in both directions: the paper's rows have the attacker open them, the table has the victims.
const BOTH_DIRECTIONS: &str = "infiltration";

const SECOND_NS: u64 = 1_000_000_000;

/// Which of a row's windows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edition {
    /// The paper's.
    Paper,
    /// The union of the paper's and the table's.
    Corrected,
}

/// The windows of a file.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) classes: Classes,
    /// In the order in which they are asked.
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    line: u64,
    class: u16,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    port_to: Option<u16>,
    both_directions: bool,
    start_ns: u64,
    /// The first nanosecond after it.
    end_ns: u64,
    matched: bool,
}

impl Window {
    fn covers(&self, conversation: &Conversation, first_ns: u64) -> bool {
        let opened = |from: (IpAddr, u16), to: (IpAddr, u16)| {
            self.from.is_none_or(|address| address == from.0)
                && self.to.is_none_or(|address| address == to.0)
                && self.port_to.is_none_or(|port| port == to.1)
        };
        let Conversation { originator, responder, .. } = *conversation;
        (self.start_ns..self.end_ns).contains(&first_ns)
            && (opened(originator, responder) || (self.both_directions && opened(responder, originator)))
    }
}

impl Windows {
    pub(super) fn read(mut records: Records, edition: Edition) -> Result<Self, LabelError> {
        let header = records.header();
        header.check(COLUMNS)?;
        let mut places = [0; COLUMNS.len()];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            *place = header.needed(column)?;
        }
        let [class, from, to, port, ..] = places;
        let mut windows = Self { classes: Classes::default(), windows: Vec::new() };
        while records.advance()? {
            if windows.windows.len() == ROWS_MAX {
                return Err(LabelError::TooManyRows { path: records.path(), line: records.line(), rows_max: ROWS_MAX });
            }
            let name = records.field(class);
            if name.is_empty() {
                return Err(records.unclear("class", "", "a name"));
            }
            let number = windows.classes.number(&name);
            let class = number.ok_or_else(|| LabelError::TooManyClasses { path: records.path(), line: records.line() })?;
            let both_directions = name == BOTH_DIRECTIONS;
            let Some((start_ns, end_ns)) = span(&records, &places, edition)? else { continue };
            windows.windows.push(Window {
                line: records.line(),
                class,
                from: records.parsed("address_from", from, "an IP address", |text| text.parse().ok())?,
                to: records.parsed("address_to", to, "an IP address", |text| text.parse().ok())?,
                port_to: records.parsed("port_to", port, "a port number", |text| text.parse().ok())?,
                both_directions,
                start_ns,
                end_ns,
                matched: false,
            });
        }
        windows.windows.reverse();
        if edition == Edition::Corrected {
            windows.windows.sort_by_key(|window| window.from.is_none() || window.to.is_none());
        }
        Ok(windows)
    }

    pub(super) fn class(&mut self, conversation: &Conversation, first_ns: u64) -> u16 {
        let found = self.windows.iter_mut().find(|window| window.covers(conversation, first_ns));
        found.map_or(0, |window| {
            window.matched = true;
            window.class
        })
    }

    pub(super) fn report(&self) -> Parts {
        let mut unmatched = Vec::new();
        let mut missed: Vec<_> = self.windows.iter().filter(|window| !window.matched).collect();
        missed.sort_by_key(|window| window.line);
        for window in &missed {
            report::add(&mut unmatched, "no flow opened inside the window", window.line);
        }
        let rows = self.windows.len() as u64;
        ("windows", rows, rows - missed.len() as u64, unmatched)
    }
}

/// Start and end of a row's window, or `None` if the edition has none there.
fn span(records: &Records, places: &[usize; COLUMNS.len()], edition: Edition) -> Result<Option<(u64, u64)>, LabelError> {
    let times = match edition {
        Edition::Paper => 4..6,
        Edition::Corrected => 4..8,
    };
    let mut span: Option<(u64, u64)> = None;
    for at in times.step_by(2) {
        let moment = |at: usize| records.parsed(COLUMNS[at], places[at], "a time like 2017-07-06T13:15:00Z", time::instant);
        let (Some(start_ns), Some(end_ns)) = (moment(at)?, moment(at + 1)?) else { continue };
        if end_ns < start_ns {
            return Err(LabelError::Backwards { path: records.path(), line: records.line() });
        }
        let end_ns = end_ns.saturating_add(SECOND_NS);
        span = Some(span.map_or((start_ns, end_ns), |(start, end)| (start.min(start_ns), end.max(end_ns))));
    }
    Ok(span)
}

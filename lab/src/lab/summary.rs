//! What a replay found: counts, the maps at its end, the first divergence or the engine that broke.

use std::collections::BTreeMap;
use std::time::Duration;

use super::difference::Difference;
use super::difference::EntryDifference;
use super::map::Map;
use super::{Outcome, Place};
use crate::Frame;
use crate::capture::Unsupported;
use crate::vm::Trace;

/// A packet on which two engines differ.
#[derive(Debug, Clone)]
pub struct Divergence {
    /// Names of the two engines.
    pub engines: [String; 2],
    /// The packet.
    pub frame: Frame,
    /// What each made of it.
    pub outcomes: [Outcome; 2],
    /// What differs in the outcomes.
    pub differences: Vec<Difference>,
    /// What differs in the maps, at most sixteen entries.
    pub entries: Vec<EntryDifference>,
    /// The entries differ since a packet after this one: whole maps are not compared after each.
    pub since: Option<u64>,
    /// Notes that may explain it: a map that evicted before.
    pub notes: Vec<String>,
}

/// An engine that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The frame.
    pub frame: Frame,
    /// The engine and its words.
    pub reason: String,
    /// The instruction at which the vm stopped.
    pub place: Option<Place>,
}

/// What an engine did over a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSummary {
    /// The engine.
    pub name: String,
    /// Packets run.
    pub packets: u64,
    /// Time they took.
    pub time: Duration,
}

/// A map at the end of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSummary {
    /// The map.
    pub map: Map,
    /// Its entries in the first engine, where it can be read.
    pub entries: Option<usize>,
    /// Why it was not compared, or not to the end.
    pub note: Option<String>,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Frames read, those of unsupported link types included.
    pub frames: u64,
    /// The frames of unsupported link types: none ran them.
    pub unsupported: Unsupported,
    /// Frames run.
    pub packets: u64,
    /// Frames that an engine cannot take, by reason: none ran them.
    pub untaken: BTreeMap<&'static str, u64>,
    /// Packets by return value of the first engine.
    pub returned: BTreeMap<u32, u64>,
    /// Packets whose bytes or length the program changed.
    pub changed: u64,
    /// Records by map.
    pub records: BTreeMap<String, u64>,
    /// What every packet should return, if that was said.
    pub expected: Option<u32>,
    /// Packets that returned something else.
    pub unexpected: u64,
    /// The first of these, and what it returned.
    pub unexpected_first: Option<(u64, u32)>,
    /// The first divergence; the replay ends there.
    pub divergence: Option<Divergence>,
    /// The engine that broke; the replay ends there.
    pub stop: Option<Stop>,
    /// The engines, in the order given.
    pub engines: Vec<EngineSummary>,
    /// The maps.
    pub maps: Vec<MapSummary>,
    /// The capture's error, if it is damaged; everything before it was replayed.
    pub damage: Option<String>,
    /// What is odd about the capture, and no damage.
    pub warning: Option<String>,
    /// What the programs did, of an engine that traced them.
    pub traces: Vec<(String, Trace)>,
}

impl Summary {
    /// Whether nothing speaks against the program or the engines. An expectation that no packet met is not met.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.divergence.is_none() && self.stop.is_none() && self.unexpected == 0 && !self.expects_in_vain()
    }

    /// Whether something was expected of packets, and none ran.
    #[must_use]
    pub fn expects_in_vain(&self) -> bool {
        self.expected.is_some() && self.packets == 0
    }
}

//! A capture through the engines, packet by packet, until two differ.
//!
//! Maps: after each packet the entries that the program used, if an engine knows them, and all of small maps; whole maps at the end, and after as
//! many packets as a map has entries, at least [`WHOLE_PACKETS`]. A frame that one engine cannot take runs in none, so maps stay comparable.

use std::time::{Duration, Instant};

use super::difference::Difference;
use super::difference::{self, EntryDifference};
use super::map::{Map, Way};
use super::summary::{Divergence, EngineSummary, MapSummary, Stop, Summary};
use super::{Engine, LabError, Outcome};
use crate::Frame;
use crate::capture::Capture;
use crate::cause::explain;
use crate::vm::Hook;

/// Packets between comparisons of whole maps, at least.
pub const WHOLE_PACKETS: u64 = 1024;
/// Entries that a divergence shows.
const ENTRIES_SHOWN_MAX: usize = 16;

/// The engines of a replay and what they have seen.
pub struct Replay {
    hook: Hook,
    engines: Vec<(Box<dyn Engine>, Duration)>,
    maps: Vec<Watched>,
    summary: Summary,
}

/// A map under comparison.
struct Watched {
    map: Map,
    /// Packets after which it is compared whole.
    due: u64,
    /// The last packet after which it was.
    whole: Option<u64>,
    /// Why it is no longer compared.
    retired: Option<String>,
}

impl Replay {
    /// A replay through engines that have the same maps in the same order. Every packet should return `expected`, if given, and there should be one.
    #[must_use]
    pub fn new(hook: Hook, maps: &[Map], engines: Vec<Box<dyn Engine>>, expected: Option<u32>) -> Self {
        assert!(!engines.is_empty(), "a replay needs an engine");
        let maps = maps.iter().map(|map| Watched { map: map.clone(), due: WHOLE_PACKETS, whole: None, retired: None }).collect();
        let engines = engines.into_iter().map(|engine| (engine, Duration::ZERO)).collect();
        Self { hook, engines, maps, summary: Summary { expected, ..Summary::default() } }
    }

    /// Replays frames until the capture ends, `limit` frames of it are read or two engines differ. `each` sees every packet that ran with the first
    /// engine's outcome, `progress` the capture's state now and then. An error is one of reading maps.
    pub fn run(
        mut self,
        capture: &mut Capture,
        limit: u64,
        mut each: impl FnMut(&Frame, &Outcome),
        mut progress: impl FnMut(&Capture),
    ) -> Result<Summary, LabError> {
        let mut frame = Frame::default();
        let frames_before = capture.frames_count();
        capture.stop_after(frames_before.saturating_add(limit));
        while self.summary.divergence.is_none() && self.summary.stop.is_none() {
            match capture.next_into(&mut frame) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.summary.damage = Some(explain(&error));
                    break;
                }
            }
            if let Some(outcome) = self.one(&frame)? {
                each(&frame, &outcome);
            }
            if self.summary.packets.is_multiple_of(256) {
                progress(capture);
            }
        }
        self.summary.frames = capture.frames_count() - frames_before;
        (self.summary.unsupported, self.summary.warning) = (capture.unsupported().clone(), capture.warning());
        if self.summary.divergence.is_none() && self.summary.stop.is_none() {
            self.last(&frame)?;
        }
        self.finish()
    }

    /// The engines' names, in order.
    pub fn engines(&self) -> impl Iterator<Item = &str> {
        self.engines.iter().map(|(engine, _)| engine.name())
    }

    /// Why no engine runs this frame, if so.
    #[must_use]
    pub fn refuses(&self, frame: &Frame) -> Option<&'static str> {
        self.engines.iter().find_map(|(engine, _)| engine.refuses(frame))
    }

    /// What was found so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The first engine, whose maps are the others' too.
    pub fn first(&mut self) -> &mut dyn Engine {
        &mut *self.engines[0].0
    }

    /// Puts an entry into a map of every engine.
    pub fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        self.engines.iter_mut().try_for_each(|(engine, _)| engine.fill(map, key, value))
    }

    /// Runs one frame and compares; the first engine's outcome if the frame ran and nothing was found.
    pub fn one(&mut self, frame: &Frame) -> Result<Option<Outcome>, LabError> {
        if let Some(reason) = self.refuses(frame) {
            *self.summary.untaken.entry(reason).or_default() += 1;
            return Ok(None);
        }
        let mut outcomes = Vec::with_capacity(self.engines.len());
        for (engine, time) in &mut self.engines {
            let start = Instant::now();
            let result = engine.run(frame);
            *time += start.elapsed();
            match result {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    let reason = error.to_string();
                    let place = if let LabError::Fault { place, .. } = error { Some(*place) } else { None };
                    self.summary.stop = Some(Stop { frame: frame.clone(), reason, place });
                    return Ok(None);
                }
            }
        }
        self.summary.packets += 1;
        self.retire();
        for other in 1..self.engines.len() {
            let differences = difference::outcomes(self.hook, &outcomes[0], &outcomes[other]);
            let (entries, since) = self.maps_after(other)?;
            if !differences.is_empty() || !entries.is_empty() {
                self.diverge(frame, other, &outcomes, differences, entries, since);
                return Ok(None);
            }
        }
        let outcome = outcomes.swap_remove(0);
        self.count(frame, &outcome);
        Ok(Some(outcome))
    }

    fn diverge(
        &mut self,
        frame: &Frame,
        other: usize,
        outcomes: &[Outcome],
        differences: Vec<Difference>,
        mut entries: Vec<EntryDifference>,
        since: Option<u64>,
    ) {
        entries.truncate(ENTRIES_SHOWN_MAX);
        self.summary.divergence = Some(Divergence {
            engines: [self.engines[0].0.name().to_owned(), self.engines[other].0.name().to_owned()],
            frame: frame.clone(),
            outcomes: [outcomes.first().cloned().unwrap_or_default(), outcomes.get(other).cloned().unwrap_or_default()],
            differences,
            entries,
            since,
            notes: self.maps.iter().filter_map(|watched| watched.retired.clone()).collect(),
        });
    }

    fn count(&mut self, frame: &Frame, outcome: &Outcome) {
        *self.summary.returned.entry(outcome.returned).or_default() += 1;
        self.summary.changed += u64::from(outcome.packet != frame.bytes);
        for record in &outcome.records {
            *self.summary.records.entry(record.map.clone()).or_default() += 1;
        }
        if self.summary.expected.is_some_and(|expected| expected != outcome.returned) {
            self.summary.unexpected += 1;
            self.summary.unexpected_first.get_or_insert((frame.index, outcome.returned));
        }
    }

    /// Stops comparing LRU maps in which the kernel may have evicted.
    fn retire(&mut self) {
        for (position, watched) in self.maps.iter_mut().enumerate().filter(|(_, watched)| watched.retired.is_none()) {
            if let Some(limit) = watched.map.evicts_beyond()
                && let Some(count) = self.engines.iter().find_map(|(engine, _)| engine.entries_count(position))
                && count > limit
            {
                watched.retired = Some(format!(
                    "{}: not compared after packet {}: beyond {limit} entries the kernel evicts in an order of its own",
                    watched.map.name, self.summary.packets
                ));
            }
        }
    }

    /// Differences between the maps of the first engine and another after a packet, and since which packet they may be there.
    fn maps_after(&mut self, other: usize) -> Result<(Vec<EntryDifference>, Option<u64>), LabError> {
        let (first, rest) = self.engines.split_at_mut(1);
        let (first, other) = (&mut *first[0].0, &mut *rest[other - 1].0);
        let mut found = Vec::new();
        for (position, key) in first.touched().or_else(|| other.touched()).unwrap_or_default() {
            let watched = &self.maps[position];
            if watched.retired.is_some() || watched.map.way() != Way::Entries || watched.map.is_small() {
                continue;
            }
            let (one, two) = (first.value(position, &key)?, other.value(position, &key)?);
            if one != two {
                found.push(EntryDifference { map: watched.map.name.clone(), key, first: one, second: two });
            }
        }
        let mut since = None;
        for (position, watched) in self.maps.iter_mut().enumerate().filter(|(_, watched)| watched.retired.is_none()) {
            match watched.map.way() {
                Way::Queue => {
                    let (one, two) = (first.value(position, &[])?, other.value(position, &[])?);
                    if one != two {
                        found.push(EntryDifference { map: watched.map.name.clone(), key: Vec::new(), first: one, second: two });
                    }
                }
                Way::Entries if watched.map.is_small() => {
                    found.extend(difference::entries(&watched.map.name, &first.entries(position)?, &other.entries(position)?));
                }
                Way::Entries if found.is_empty() && self.summary.packets >= watched.due => {
                    let ours = first.entries(position)?;
                    found = difference::entries(&watched.map.name, &ours, &other.entries(position)?);
                    since = if found.is_empty() { since } else { Some(watched.whole.unwrap_or(0)) };
                    watched.whole = Some(self.summary.packets);
                    watched.due = self.summary.packets + WHOLE_PACKETS.max(ours.len() as u64);
                }
                _ => {}
            }
        }
        Ok((found, since))
    }

    /// Compares whole maps after the last packet.
    fn last(&mut self, frame: &Frame) -> Result<(), LabError> {
        for other in 1..self.engines.len() {
            for position in 0..self.maps.len() {
                let watched = &self.maps[position];
                if watched.retired.is_some() || !matches!(watched.map.way(), Way::Entries | Way::Queue) {
                    continue;
                }
                let ours = self.engines[0].0.entries(position)?;
                let found = difference::entries(&watched.map.name, &ours, &self.engines[other].0.entries(position)?);
                if !found.is_empty() {
                    let since = Some(watched.whole.unwrap_or(0));
                    self.diverge(frame, other, &[], Vec::new(), found, since);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary, LabError> {
        let first = &mut self.engines[0].0;
        for (position, watched) in self.maps.iter().enumerate() {
            let (entries, note) = match watched.map.way() {
                Way::Entries => {
                    let count = first.entries_count(position).map_or_else(|| first.entries(position).map(|entries| entries.len()), Ok)?;
                    (Some(count), watched.retired.clone())
                }
                Way::Nothing(reason) => (None, Some(format!("not compared: {reason}"))),
                Way::Queue | Way::Records => (None, None),
            };
            self.summary.maps.push(MapSummary { map: watched.map.clone(), entries, note });
        }
        let packets = self.summary.packets;
        let engine = |(engine, time): &(Box<dyn Engine>, Duration)| EngineSummary { name: engine.name().to_owned(), packets, time: *time };
        self.summary.engines = self.engines.iter().map(engine).collect();
        self.summary.traces = self.engines.iter().map(|(engine, _)| engine.traces()).find(|traces| !traces.is_empty()).unwrap_or_default();
        Ok(self.summary)
    }
}

//! A capture through the engines, packet by packet, under the oracle.
//!
//! Frames pass in batches, so that memory does not grow with the capture and an engine's time can be read without one clock call per packet.
//! Not here: rendering (the command), reading ([`treeline_lab::capture`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use treeline_ebpf::{Config, Counter, Counters, Outcome};

use crate::engine;
use crate::engine::{Engine, EngineError, Observation};
use crate::oracle::{self, Divergence};
use crate::reference::{Judgement, Reference};
use crate::suspect::{Suspect, Suspects};
use treeline_lab::Frame;
use treeline_lab::capture::{Capture, CaptureError, Unsupported};
use treeline_lab::cause::explain;

/// Frames a batch.
const BATCH: usize = 512;

/// The engines of a replay and what they have seen.
pub struct Replay {
    exact: Vec<Runner>,
    reference: Option<(Reference, Timing)>,
    reference_retired: Option<String>,
    flows_max: u32,
    frames: Vec<Frame>,
    judgements: Vec<Judgement>,
    summary: Summary,
    suspects: Suspects,
}

/// One exact engine with its batch of observations.
struct Runner {
    engine: Box<dyn Engine>,
    observations: Vec<Option<Observation>>,
    timing: Timing,
    untaken: BTreeMap<&'static str, u64>,
    retired: Option<String>,
}

/// Packets and the time they took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Packets run.
    pub packets: u64,
    /// Time they took, observation included.
    pub time: Duration,
}

impl Timing {
    /// Nanoseconds a packet; 0 without packets.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    pub fn ns_per_packet(&self) -> f64 {
        if self.packets == 0 { 0.0 } else { self.time.as_nanos() as f64 / self.packets as f64 }
    }
}

/// What an engine did over a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSummary {
    /// The engine.
    pub name: &'static str,
    /// Packets and time.
    pub timing: Timing,
    /// Frames it could not take, by reason; not compared.
    pub untaken: BTreeMap<&'static str, u64>,
    /// Why it stopped being compared, if it did.
    pub retired: Option<String>,
}

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames read, those of unsupported link types included.
    pub frames: u64,
    /// The frames of unsupported link types: no engine ran them.
    pub unsupported: Unsupported,
    /// Counters of the first engine over all frames.
    pub counters: Counters,
    /// Frames on which every engine was compared and agreed.
    pub agreed: u64,
    /// Frames on which at least one engine had nothing to compare.
    pub incomplete: u64,
    /// The first divergence; the replay ends there.
    pub divergence: Option<Divergence>,
    /// The engines, in the order given.
    pub engines: Vec<EngineSummary>,
    /// Malicious flows.
    pub flows_malicious: u64,
    /// The first of them by the end of the replay, at most [`crate::suspect::LISTED_MAX`].
    pub suspects: Vec<Suspect>,
    /// The capture's error, if it is damaged; everything before it was replayed.
    pub damage: Option<String>,
    /// What is odd about the capture, and no damage.
    pub warning: Option<String>,
}

impl Summary {
    /// Packets that got a verdict.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.counters[Counter::Benign as usize] + self.counters[Counter::Malicious as usize]
    }
}

/// Why a replay could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An engine broke.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A packet as the first engine saw it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The frame.
    pub frame: &'a Frame,
    /// What the first exact engine made of it, or the reference's outcome alone.
    pub outcome: Outcome,
    /// Its observation, if an exact engine runs.
    pub observation: Option<&'a Observation>,
}

impl Replay {
    /// A replay through exact engines (the first one's observations are reported) and the reference. At least one of both is needed.
    #[must_use]
    pub fn new(exact: Vec<Box<dyn Engine>>, reference: Option<Reference>, flows_max: u32) -> Self {
        assert!(!exact.is_empty() || reference.is_some(), "a replay needs an engine");
        let runners = exact.into_iter().map(|engine| Runner {
            engine,
            observations: Vec::with_capacity(BATCH),
            timing: Timing::default(),
            untaken: BTreeMap::new(),
            retired: None,
        });
        Self {
            exact: runners.collect(),
            reference: reference.map(|reference| (reference, Timing::default())),
            reference_retired: None,
            flows_max,
            frames: vec![Frame::default(); BATCH],
            judgements: Vec::with_capacity(BATCH),
            summary: Summary::default(),
            suspects: Suspects::new(flows_max),
        }
    }

    /// Replays frames until the capture ends, `limit` frames of it are read or two engines differ. `each` sees every packet that was compared,
    /// `progress` each batch with the capture's state.
    pub fn run(
        mut self,
        capture: &mut Capture,
        limit: u64,
        mut each: impl FnMut(Seen<'_>),
        mut progress: impl FnMut(&Capture),
    ) -> Result<Summary, ReplayError> {
        let frames_before = capture.frames_count();
        capture.stop_after(frames_before.saturating_add(limit));
        loop {
            let filled = self.fill(capture);
            self.summary.frames = capture.frames_count() - frames_before;
            let count = match filled {
                Ok(count) => count,
                Err((count, error)) => {
                    self.summary.damage = Some(explain(&error));
                    count
                }
            };
            self.batch(count)?;
            self.compare(count, &mut each);
            progress(capture);
            if count < BATCH || self.summary.divergence.is_some() || self.summary.damage.is_some() {
                (self.summary.unsupported, self.summary.warning) = (capture.unsupported().clone(), capture.warning());
                return Ok(self.finish());
            }
        }
    }

    /// Reads a batch; on damage, says how many frames came before it.
    fn fill(&mut self, capture: &mut Capture) -> Result<usize, (usize, CaptureError)> {
        for (count, frame) in self.frames.iter_mut().enumerate() {
            match capture.next_into(frame) {
                Ok(true) => {}
                Ok(false) => return Ok(count),
                Err(error) => return Err((count, error)),
            }
        }
        Ok(self.frames.len())
    }

    /// Runs the first `count` frames through each engine.
    fn batch(&mut self, count: usize) -> Result<(), ReplayError> {
        let frames = &self.frames[..count];
        for runner in &mut self.exact {
            runner.observations.clear();
            if runner.retired.is_some() {
                continue;
            }
            let start = Instant::now();
            let mut taken = 0;
            runner.engine.prepare(frames)?;
            for frame in frames {
                match runner.engine.judge(frame) {
                    Ok(observation) => {
                        taken += 1;
                        runner.observations.push(Some(observation));
                    }
                    Err(EngineError::Untaken { reason, .. }) => {
                        *runner.untaken.entry(reason).or_default() += 1;
                        runner.observations.push(None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            runner.timing.time += start.elapsed();
            runner.timing.packets += taken;
        }
        self.judgements.clear();
        if let Some((reference, timing)) = &mut self.reference
            && self.reference_retired.is_none()
        {
            let start = Instant::now();
            self.judgements.extend(frames.iter().map(|frame| reference.judge(frame)));
            timing.time += start.elapsed();
            timing.packets += count as u64;
        }
        Ok(())
    }

    /// Compares the batch frame by frame, up to the first divergence.
    fn compare(&mut self, count: usize, each: &mut impl FnMut(Seen<'_>)) {
        for index in 0..count {
            let frame = &self.frames[index];
            let mut first: Option<(&'static str, &Observation)> = None;
            let mut complete = true;
            for runner in &self.exact {
                let Some(observation) = runner.observations.get(index).and_then(Option::as_ref) else {
                    complete = false;
                    continue;
                };
                let Some((name, base)) = first else {
                    first = Some((runner.engine.name(), observation));
                    continue;
                };
                let differences = oracle::compare(base, observation);
                if !differences.is_empty() {
                    let engines = [name, runner.engine.name()];
                    self.summary.divergence = Some(Divergence { engines, frame: frame.clone(), differences });
                    return;
                }
            }
            let judgement = self.judgements.get(index);
            complete &= self.reference.is_none() || judgement.is_some();
            if let (Some((name, base)), Some(judgement)) = (first, judgement) {
                let differences = oracle::compare_reference(base, judgement);
                if !differences.is_empty() {
                    self.summary.divergence = Some(Divergence { engines: [name, "reference"], frame: frame.clone(), differences });
                    return;
                }
            }
            if complete {
                self.summary.agreed += 1;
            } else {
                self.summary.incomplete += 1;
            }
            let observation = first.map(|(_, observation)| observation);
            if let Some(observation) = observation {
                for (total, step) in self.summary.counters.iter_mut().zip(observation.counted) {
                    *total += step;
                }
                self.suspects.see(frame, observation);
            } else if let Some(judgement) = judgement {
                self.summary.counters[judgement.outcome.counter() as usize] += 1;
                if judgement.observation.as_ref().is_some_and(|observed| observed.events.opened) {
                    self.summary.counters[Counter::Opened as usize] += 1;
                }
            }
            if let Some(outcome) = observation.map(|observation| observation.outcome).or(judgement.map(|judgement| judgement.outcome)) {
                each(Seen { frame, outcome, observation });
            }
        }
        self.retire();
    }

    /// Stops comparing engines whose table would evict differently: the kernel's LRU order is approximate and the reference never evicts.
    fn retire(&mut self) {
        let counted = |counter: Counter| self.summary.counters[counter as usize];
        let ended = [Counter::EndedIdle, Counter::EndedActive, Counter::EndedLimit, Counter::EndedClosed].map(counted).iter().sum();
        let keys = counted(Counter::Opened).saturating_sub(ended);
        let exact_max = u64::from(self.flows_max) - BATCH as u64;
        let kernel_max = u64::from(self.flows_max) / 4 * 3;
        let note = |max: u64| Some(format!("stopped after frame {}: more than {max} flows; --flows takes more", self.summary.frames));
        if keys + BATCH as u64 > kernel_max {
            for runner in &mut self.exact {
                if runner.engine.name().starts_with(engine::kernel::NAME) && runner.retired.is_none() {
                    runner.retired = note(kernel_max);
                }
            }
        }
        if keys > exact_max && self.reference_retired.is_none() {
            self.reference_retired = note(exact_max);
        }
    }

    fn finish(mut self) -> Summary {
        self.summary.engines = self
            .exact
            .into_iter()
            .map(|runner| EngineSummary {
                name: runner.engine.name(),
                timing: runner.timing,
                untaken: runner.untaken,
                retired: runner.retired,
            })
            .collect();
        if let Some((_, timing)) = self.reference {
            let retired = self.reference_retired;
            self.summary.engines.push(EngineSummary { name: "reference", timing, untaken: BTreeMap::new(), retired });
        }
        (self.summary.flows_malicious, self.summary.suspects) = self.suspects.finish();
        self.summary
    }
}

/// The smallest flow table a replay takes: below it nothing could be compared exactly.
pub const FLOWS_MIN: u32 = 4096;

/// The largest, beyond the memory of most machines if all of it is used.
pub const FLOWS_MAX: u32 = 1 << 26;

/// Why settings cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A timeout of nothing, or longer than the classifier's sums allow.
    #[error("timeouts must lie between 1 ns and {} s", treeline_ebpf::platform::TIMEOUT_NS_MAX / 1_000_000_000)]
    Timeout,
    /// A flow table that is too small or too large.
    #[error("the flow table must have room for {FLOWS_MIN} to {FLOWS_MAX} flows")]
    Flows,
}

/// Whether settings can be replayed.
///
/// # Errors
///
/// A timeout or a size of the flow table out of its range.
pub fn check(config: &Config, flows_max: u32) -> Result<(), SettingsError> {
    if !config.is_valid() {
        return Err(SettingsError::Timeout);
    }
    if !(FLOWS_MIN..=FLOWS_MAX).contains(&flows_max) {
        return Err(SettingsError::Flows);
    }
    Ok(())
}

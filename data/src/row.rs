//! Captures into rows: one a packet that reached a flow, with its features, its flow's number and class.
//!
//! The native engine computes the features over a flow table of fixed size, so 50 million packets need no more memory than 50. Each capture
//! starts with an empty table; a flow that is evicted and goes on counts as a new one.
//!
//! Not here: where rows go ([`crate::table`]).

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lru::LruCache;
use treeline_ebpf::{Config, Counter, Counters, FEATURES, Flow, Key};
use treeline_lab::Frame;
use treeline_lab::capture::{Capture, CaptureError, Unsupported};
use treeline_model::{BENIGN, Model, Node};
use treeline_sim::conversation::Conversation;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, EngineError, Hook, Observation, Settings};

use crate::Labels;

/// One packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Number of the capture in the order given, from 0.
    pub capture: u32,
    /// Index of the packet's frame in its capture, from 0.
    pub index: u64,
    /// The capture's clock, nanoseconds since 1970.
    pub time_ns: u64,
    /// Number of the flow over all captures, from 0, in the order of their first packets.
    pub flow: u64,
    /// Number of the packet in its flow, from 1.
    pub packet: u64,
    /// Whether the flow is midstream: a TCP connection that began before it.
    pub midstream: bool,
    /// The features, 16 fractional bits, in the order of [`treeline_ebpf::feature::NAMES`].
    pub features: [i64; FEATURES],
    /// The flow's class, an index into [`Labels::classes`]; `None` if no label covers it or there are no labels.
    pub class: Option<u16>,
}

/// How captures become rows.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The timeouts that end flows.
    pub config: Config,
    /// Size of the flow table.
    pub flows_max: u32,
    /// Frames read of each capture.
    pub frames_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { config: Config::default(), flows_max: 262_144, frames_max: u64::MAX }
    }
}

/// What has been read so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames read, those that reached no flow included.
    pub frames: u64,
    /// The classifier's counters. Verdicts mean nothing here: no model runs.
    pub counters: Counters,
    /// Rows and flows of each class, in the order of [`Labels::classes`].
    pub classes: Vec<Count>,
    /// Those without a class.
    pub unlabelled: Count,
    /// Frames of unsupported link types, in the captures read to their end.
    pub unsupported: Unsupported,
    /// What is odd about the captures, and no damage.
    pub warnings: Vec<String>,
}

/// Rows and flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Rows: packets.
    pub rows: u64,
    /// Flows.
    pub flows: u64,
}

impl Tally {
    /// All rows and flows, with a class or without.
    #[must_use]
    pub fn total(&self) -> Count {
        self.classes.iter().fold(self.unlabelled, |sum, count| Count { rows: sum.rows + count.rows, flows: sum.flows + count.flows })
    }

    fn count(&mut self, class: Option<u16>, opened: bool) {
        let count = match class {
            None => &mut self.unlabelled,
            Some(class) => {
                let class = usize::from(class);
                if self.classes.len() <= class {
                    self.classes.resize(class + 1, Count::default());
                }
                &mut self.classes[class]
            }
        };
        count.rows += 1;
        count.flows += u64::from(opened);
    }
}

/// Why a capture gave no rows, or no more.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The capture cannot be opened or is damaged.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The engine broke.
    #[error("{}", path.display())]
    Engine {
        /// The capture.
        path: PathBuf,
        /// What happened.
        source: EngineError,
    },
    /// A timeout out of range.
    #[error("a timeout must be from 1 ns to {} ns", treeline_ebpf::platform::TIMEOUT_NS_MAX)]
    Timeout,
}

/// The rows of captures, one capture after another. An error ends its capture, not the iteration: the rows before the damage come first, then
/// the error, then the next capture.
#[derive(Debug)]
pub struct Rows {
    captures: Vec<PathBuf>,
    options: Options,
    labels: Option<Labels>,
    /// The number of the next capture.
    next: usize,
    reading: Option<Reading>,
    flows_count: u64,
    tally: Tally,
}

/// The capture being read.
#[derive(Debug)]
struct Reading {
    capture: Capture,
    frame: Frame,
    engine: Native,
    /// Number and class of each flow in the engine's table. Asked in the same order and of the same size, it evicts the same flows.
    flows: LruCache<Key, Numbered>,
}

#[derive(Debug, Clone, Copy)]
struct Numbered {
    flow: u64,
    class: Option<u16>,
}

impl Rows {
    /// The rows of `captures` (`-` is standard input), with the classes that `labels` gives. Nothing is opened yet. Fails if a timeout is out
    /// of range.
    pub fn new(captures: Vec<PathBuf>, labels: Option<Labels>, options: Options) -> Result<Self, RowError> {
        if !options.config.is_valid() {
            return Err(RowError::Timeout);
        }
        Ok(Self { captures, options, labels, next: 0, reading: None, flows_count: 0, tally: Tally::default() })
    }

    /// The captures, by number.
    #[must_use]
    pub fn captures(&self) -> &[PathBuf] {
        &self.captures
    }

    /// The labels, with their report so far.
    #[must_use]
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Gives the labels back, with their report.
    #[must_use]
    pub fn into_labels(self) -> Option<Labels> {
        self.labels
    }

    /// The classes' names; `benign` alone without labels.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.labels.as_ref().map_or_else(|| vec![BENIGN.to_owned()], |labels| labels.classes().to_vec())
    }

    /// What has been read so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The capture that is being read, its number and path; `None` before the first row and after the last.
    #[must_use]
    pub fn reading(&self) -> Option<(usize, &Path, &Capture)> {
        let number = self.next.checked_sub(1)?;
        Some((number, self.captures.get(number)?, &self.reading.as_ref()?.capture))
    }

    fn read(&mut self) -> Result<Option<Row>, RowError> {
        loop {
            if self.reading.is_none() {
                let Some(path) = self.captures.get(self.next) else { return Ok(None) };
                self.next += 1;
                self.reading = Some(Reading::open(path, &self.options)?);
            }
            let number = self.next - 1;
            let Some(reading) = &mut self.reading else { continue };
            if !reading.capture.next_into(&mut reading.frame)? {
                self.close();
                continue;
            }
            self.tally.frames += 1;
            let judged = reading.engine.judge(&reading.frame);
            let observation = judged.map_err(|source| RowError::Engine { path: self.captures[number].clone(), source })?;
            for (total, step) in self.tally.counters.iter_mut().zip(observation.counted) {
                *total += step;
            }
            if let Some(row) = self.row(number, &observation) {
                return Ok(Some(row));
            }
        }
    }

    /// Ends the capture being read.
    fn close(&mut self) {
        if let Some(Reading { capture, .. }) = self.reading.take() {
            self.tally.frames += capture.unsupported().count();
            self.tally.unsupported.merge(capture.unsupported());
            self.tally.warnings.extend(capture.warning());
        }
    }

    fn row(&mut self, number: usize, observation: &Observation) -> Option<Row> {
        let (features, flow) = (observation.features?, observation.flow?);
        let reading = self.reading.as_mut()?;
        let opened = observation.counted[Counter::Opened as usize] > 0;
        let known = if opened { None } else { reading.flows.get(&flow.key).copied() };
        let numbered = known.unwrap_or_else(|| {
            let class = self.labels.as_mut().and_then(|labels| class(labels, &self.captures[number], &flow));
            let numbered = Numbered { flow: self.flows_count, class };
            self.flows_count += 1;
            reading.flows.put(flow.key, numbered);
            numbered
        });
        self.tally.count(numbered.class, opened);
        Some(Row {
            capture: u32::try_from(number).unwrap_or(u32::MAX),
            index: reading.frame.index,
            time_ns: reading.frame.time_ns,
            flow: numbered.flow,
            packet: flow.packets,
            midstream: flow.is_midstream(),
            features,
            class: numbered.class,
        })
    }
}

fn class(labels: &mut Labels, capture: &Path, flow: &Flow) -> Option<u16> {
    labels.class(capture, &Conversation::of(flow), flow.first_ns)
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.read().transpose();
        if matches!(row, Some(Err(_))) {
            self.close();
        }
        row
    }
}

impl Reading {
    fn open(path: &Path, options: &Options) -> Result<Self, RowError> {
        let flows_max = NonZeroUsize::new(options.flows_max as usize).unwrap_or(NonZeroUsize::MIN);
        let benign = Model::from_nodes("no model", vec![BENIGN.to_owned()], vec![Node::Leaf { class: 0 }]);
        let benign = benign.unwrap_or_else(|error| unreachable!("a lone leaf is a model: {error}"));
        let settings = Settings::new(Hook::Tc, options.config, &benign, options.flows_max);
        let mut capture = Capture::open(path)?;
        capture.stop_after(options.frames_max);
        Ok(Self { capture, frame: Frame::default(), engine: Native::new(&settings), flows: LruCache::new(flows_max) })
    }
}

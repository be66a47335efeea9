//! Frame -> judgement: the rules of `docs/classifier.md` told a second time, in real numbers.
//!
//! This engine exists to disagree. It shares no logic with `treeline-ebpf`, only the names of its outcomes and its settings, and prefers
//! what is obvious to what is fast: `etherparse` where its checks come in the order of the rules, whole endpoints for keys, floating-point
//! sums, trees of `enum` nodes. Each feature carries the interval its fixed-point twin must lie in, so the comparison can fail by one unit
//! in a mean and by two in a deviation ([`Feature::admits`]).
//!
//! Not here: the comparison itself (the oracle), a full table, contention, a missing model: an engine without limits has none of them.

mod allow;

mod feature;

mod flow;

mod packet;

mod real;

mod tree;

mod vote;

use std::collections::HashMap;

use treeline_ebpf::{Config, Link, Outcome, Skip};
use treeline_model::Model;

pub use feature::{FEATURES, Feature};
pub use flow::{End, Events, Flow};
pub use packet::Endpoint;
pub use tree::{FloatNode, FloatTree, TreeError};
pub use vote::{FloatModel, FloatVote};

use crate::allow::List;
use allow::Allow;
use packet::{Key, Packet};
use treeline_lab::Frame;

/// The engine: every flow it has seen, and a model.
///
/// Memory grows with the number of keys, not with the number of packets.
#[derive(Debug)]
pub struct Reference {
    config: Config,
    link: Link,
    model: FloatModel,
    packets_min: u32,
    midstream_passes: bool,
    allow: Allow,
    flows: HashMap<Key, Flow>,
}

/// What the reference makes of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict, or why there is none.
    pub outcome: Outcome,
    /// Whether enforce mode drops the packet at a hook that can drop (rule 12).
    pub dropped: bool,
    /// A threshold on the path lies so close to its feature that the fixed-point value may fall on its other side.
    /// Only then may another engine's class differ.
    pub ambiguous: bool,
    /// What the packet did to its flow; `None` if it was passed unclassified.
    pub observation: Option<Observation>,
}

/// A packet that reached its flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The twelve features, in the order of `docs/classifier.md`.
    pub features: [Feature; FEATURES],
    /// The flow, this packet included.
    pub flow: Flow,
    /// What there is to count.
    pub events: Events,
}

impl Observation {
    /// The first feature whose fixed-point value (16 fractional bits) lies outside its bound.
    #[must_use]
    pub fn out_of_bound(&self, fixed: &[i64; FEATURES]) -> Option<usize> {
        (0..FEATURES).find(|&index| !self.features[index].admits(fixed[index]))
    }

    /// The features as the nearest `f64`.
    #[must_use]
    pub fn values(&self) -> [f64; FEATURES] {
        self.features.map(Feature::value)
    }
}

impl Reference {
    /// An engine that has seen nothing. `config.replay` means nothing to it: its clock is always the frame's.
    ///
    /// Panics if a timeout is outside of what [`Config::is_valid`] allows, for the sums would not be exact.
    #[must_use]
    pub fn new(config: Config, model: impl Into<FloatModel>) -> Self {
        assert!(config.is_valid(), "timeouts out of range: {config:?}");
        let model = model.into();
        Self {
            config,
            link: Link::Ethernet,
            model,
            packets_min: 1,
            midstream_passes: false,
            allow: Allow::default(),
            flows: HashMap::new(),
        }
    }

    /// The engine with a first verdict at packet `packets_min` of a flow (rule 11).
    #[must_use]
    pub fn with_packets_min(mut self, packets_min: u32) -> Self {
        self.packets_min = packets_min;
        self
    }

    /// The engine that classifies no flow that began in the middle of a TCP connection, if so asked (rule 11).
    #[must_use]
    pub fn with_midstream_passed(mut self, passes: bool) -> Self {
        self.midstream_passes = passes;
        self
    }

    /// The engine for frames that begin so (rule 1); Ethernet's unless told.
    #[must_use]
    pub fn with_link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The engine with an allow-list (rule 13).
    #[must_use]
    pub fn with_allow(mut self, list: &List) -> Self {
        self.allow = Allow::of(list);
        self
    }

    /// An engine with the model and its precondition. Panics as [`new`](Self::new) does.
    #[must_use]
    pub fn of(config: Config, model: &Model) -> Self {
        let precondition = model.precondition();
        let reference = Self::new(config, FloatModel::of(model));
        reference.with_packets_min(precondition.packets_min()).with_midstream_passed(precondition.midstream_passes())
    }

    /// Classifies the next frame.
    pub fn judge(&mut self, frame: &Frame) -> Judgement {
        match Packet::parse(&frame.bytes, self.link) {
            Ok(packet) if self.passes(&packet) => Judgement::skipped(Skip::Allowed),
            Ok(packet) => self.observe(&packet, frame.time_ns),
            Err(skip) => Judgement::skipped(skip),
        }
    }

    /// How many keys have a flow, over or not: a flow that is over stays until a packet of its key comes.
    #[must_use]
    pub fn flows_count(&self) -> usize {
        self.flows.len()
    }

    /// Rule 13.
    fn passes(&self, packet: &Packet) -> bool {
        [packet.source, packet.destination].iter().any(|endpoint| self.allow.admits(packet.protocol, endpoint))
    }

    /// Rules 8 and 11: the packet joins its flow or opens the next one of its key, then walks the tree.
    fn observe(&mut self, packet: &Packet, now_ns: u64) -> Judgement {
        let key = packet.key();
        let ended = self.flows.get(&key).and_then(|flow| flow.end(packet, now_ns, &self.config));
        if ended.is_some() {
            self.flows.remove(&key);
        }
        let opened = !self.flows.contains_key(&key);
        let flow = self.flows.entry(key).or_insert_with(|| Flow::open(packet, now_ns));
        let clock_back = now_ns < flow.last_ns;
        let features = flow.join(packet, now_ns);

        let passes = flow.packets < self.packets_min.into() || (self.midstream_passes && flow.midstream);
        let (class, ambiguous) = if passes { (0, false) } else { self.model.decide(&features) };
        Judgement {
            outcome: Outcome::Judged(class),
            dropped: self.config.enforce != 0 && class != 0,
            ambiguous,
            observation: Some(Observation { features, flow: flow.clone(), events: Events { opened, ended, clock_back } }),
        }
    }
}

impl Judgement {
    fn skipped(skip: Skip) -> Self {
        Self { outcome: Outcome::Skipped(skip), dropped: false, ambiguous: false, observation: None }
    }
}

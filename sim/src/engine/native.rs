//! The classifier's library on the host: the fastest engine, and that of the live system's user-space peers, which [watch](Watch) it.

mod table;

use std::sync::Arc;

use treeline_ebpf::{Alarm, Allowed, Config, Counter, Counters, FEATURES, Features, Flow, Key, Link, Outcome, Platform, Skip};

use self::table::Table;
use super::{Decider, Engine, EngineError, Hook, Observation, Settings};
use crate::allow;
use treeline_lab::Frame;

/// The native engine. Its flow table evicts the least recently used flow when full.
#[derive(Debug)]
pub struct Native {
    hook: Hook,
    link: Link,
    config: Config,
    model: Decider,
    flows: Table,
    allow: Arc<allow::List>,
}

impl Native {
    /// An engine with an empty flow table.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let Settings { hook, link, decider, flows_max, allow, .. } = settings;
        let (config, flows) = (settings.loaded(), Table::new(*flows_max));
        Self { hook: *hook, link: *link, config, model: decider.clone(), flows, allow: allow.clone() }
    }

    /// Classifies a frame of which `bytes` is the start, with a header as `link` says, at time `now_ns`; `watch` sees what happens. Frames of all
    /// kinds share the flow table.
    pub fn watched<W: Watch>(&mut self, link: Link, bytes: &[u8], now_ns: u64, watch: &mut W) -> Outcome {
        treeline_ebpf::classify(&mut World { engine: self, link, bytes, now_ns, watch })
    }

    /// Flows in the table, in no particular order; a flow stays at its place until it is evicted, and then another one has that.
    #[must_use]
    pub fn flows(&self) -> &[Flow] {
        self.flows.flows()
    }
}

impl Engine for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let mut record = Record::default();
        let outcome = self.watched(self.link, &frame.bytes, frame.time_ns, &mut record);
        let Record { counted, features, flow } = record;
        Ok(Observation { outcome, returned: self.hook.returned(outcome.drops(&self.config)), features, flow, counted })
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        self.config = settings.loaded();
        self.model = settings.decider.clone();
        Ok(())
    }
}

/// Sees what becomes of a packet, as much of it as is of interest.
pub trait Watch {
    /// A counter goes up by one.
    fn count(&mut self, counter: Counter);

    /// The packet's flow was not in the table, and is now.
    fn inserted(&mut self) {}

    /// The flow after the packet.
    fn flow(&mut self, _flow: &Flow) {}

    /// The packet's features.
    fn trace(&mut self, _features: &Features) {}

    /// The packet is malicious; its flow.
    fn alarm(&mut self, _alarm: &Alarm<'_>, _flow: &mut Flow) {}
}

/// Keeps what an [`Observation`] wants.
#[derive(Default)]
struct Record {
    counted: Counters,
    features: Option<[i64; FEATURES]>,
    flow: Option<Flow>,
}

impl Watch for Record {
    fn count(&mut self, counter: Counter) {
        self.counted[counter as usize] += 1;
    }

    fn flow(&mut self, flow: &Flow) {
        self.flow = Some(*flow);
    }

    fn trace(&mut self, features: &Features) {
        self.features = Some(features.values());
    }
}

struct World<'a, W> {
    engine: &'a mut Native,
    link: Link,
    bytes: &'a [u8],
    now_ns: u64,
    watch: &'a mut W,
}

impl<W: Watch> Platform for World<'_, W> {
    fn link(&self) -> Link {
        self.link
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let (words, _) = self.bytes.get(offset..)?.as_chunks::<4>();
        let words: &[[u8; 4]; N] = words.get(..N)?.try_into().ok()?;
        Some(words.map(u32::from_be_bytes))
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }

    fn half(&self, offset: usize) -> Option<u16> {
        self.bytes.get(offset..)?.first_chunk().map(|half| u16::from_be_bytes(*half))
    }

    fn holds(&self, length: usize) -> bool {
        length <= self.bytes.len()
    }

    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn config(&self) -> Config {
        self.engine.config
    }

    fn with_flow<R>(&mut self, key: &Key, apply: impl FnOnce(&mut Flow) -> R) -> Result<R, Skip> {
        let flow = self.engine.flows.get_or_insert_mut(key, || self.watch.inserted());
        let result = apply(flow);
        self.watch.flow(flow);
        Ok(result)
    }

    fn decide(&mut self, features: &Features) -> Result<u16, Skip> {
        self.engine.model.decide(features)
    }

    fn allowed(&self, address: [u64; 2]) -> Option<&Allowed> {
        self.engine.allow.find(address)
    }

    fn alarm(&mut self, alarm: &Alarm<'_>) {
        // It is there: nothing has happened since the packet joined it.
        if let Some(flow) = self.engine.flows.peek_mut(alarm.key) {
            self.watch.alarm(alarm, flow);
        }
    }

    fn count(&mut self, counter: Counter) {
        self.watch.count(counter);
    }

    fn trace(&mut self, features: &Features) {
        self.watch.trace(features);
    }
}

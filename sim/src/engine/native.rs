//! The classifier's library on the host: the fastest engine, and the user-space IDS of the paper.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use treeline_ebpf::{Allowed, Config, Counter, Counters, FEATURES, Features, Flow, Key, Platform, Skip, Tree, tree};
use treeline_model::{Document, Ensemble};

use super::{Engine, EngineError, Hook, Observation, Settings};
use crate::{Frame, allow};

/// The native engine. Its flow table evicts the least recently used flow when full.
#[derive(Debug)]
pub struct Native {
    hook: Hook,
    config: Config,
    model: Decider,
    flows: LruCache<Key, Flow>,
    allow: Arc<allow::List>,
}

/// What gives a class for features: the kernel's own walk over a tree, or an ensemble, which no other engine runs.
#[derive(Debug, Clone)]
pub enum Decider {
    /// One tree, its wait a node of it.
    Tree(Box<Tree>),
    /// Trees that vote.
    Ensemble(Arc<Ensemble>),
}

impl Decider {
    /// Any model.
    #[must_use]
    pub fn of(model: &Document) -> Self {
        match model {
            Document::Tree(model) => Self::Tree(model.to_tree()),
            Document::Ensemble(ensemble) => Self::Ensemble(Arc::new(ensemble.clone())),
        }
    }

    /// The class of a packet, an index into the model's classes. No packet is skipped if the tree is a model's.
    pub fn decide(&self, features: &Features) -> Result<u16, Skip> {
        match self {
            Self::Tree(tree) => tree::descend(tree, features),
            Self::Ensemble(ensemble) => Ok(ensemble.judge(features)),
        }
    }
}

impl Native {
    /// An engine with an empty flow table.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let tree = Decider::Tree(settings.tree.clone());
        Self::of(settings.hook, settings.loaded(), settings.flows_max, tree).allowing(settings.allow.clone())
    }

    /// An engine with an empty table of `flows_max` flows that runs any model.
    #[must_use]
    pub fn of(hook: Hook, config: Config, flows_max: u32, model: Decider) -> Self {
        let flows = LruCache::new(NonZeroUsize::new(flows_max as usize).unwrap_or(NonZeroUsize::MIN));
        Self { hook, config, model, flows, allow: Arc::default() }
    }

    /// The same with an allow-list.
    #[must_use]
    pub fn allowing(self, allow: Arc<allow::List>) -> Self {
        Self { allow, ..self }
    }

    /// Flows in the table, in no particular order.
    #[must_use]
    pub fn flows(&self) -> impl ExactSizeIterator<Item = &Flow> {
        self.flows.iter().map(|(_, flow)| flow)
    }
}

impl Engine for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let mut world =
            World { engine: self, bytes: &frame.bytes, now_ns: frame.time_ns, counted: Counters::default(), features: None, flow: None };
        let outcome = treeline_ebpf::classify(&mut world);
        let World { counted, features, flow, .. } = world;
        Ok(Observation { outcome, returned: self.hook.returned(outcome.drops(&self.config)), features, flow, counted })
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        self.config = settings.loaded();
        self.model = Decider::Tree(settings.tree.clone());
        Ok(())
    }
}

struct World<'a> {
    engine: &'a mut Native,
    bytes: &'a [u8],
    now_ns: u64,
    counted: Counters,
    features: Option<[i64; FEATURES]>,
    flow: Option<Flow>,
}

impl Platform for World<'_> {
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let (words, _) = self.bytes.get(offset..)?.as_chunks::<4>();
        let words: &[[u8; 4]; N] = words.get(..N)?.try_into().ok()?;
        Some(words.map(u32::from_be_bytes))
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
        let flow = self.engine.flows.get_or_insert_mut(*key, || Flow::new(key));
        let result = apply(flow);
        self.flow = Some(*flow);
        Ok(result)
    }

    fn decide(&mut self, features: &Features) -> Result<u16, Skip> {
        self.engine.model.decide(features)
    }

    fn allowed(&self, address: [u64; 2]) -> Option<&Allowed> {
        self.engine.allow.find(address)
    }

    fn count(&mut self, counter: Counter) {
        self.counted[counter as usize] += 1;
    }

    fn trace(&mut self, features: &Features) {
        self.features = Some(features.values());
    }
}

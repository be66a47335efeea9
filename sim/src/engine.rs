//! Frame -> observation: the engines, each a way to run the one classifier.
//!
//! | engine | runs |
//! |---|---|
//! | [`native`] | the classifier's library on the host |
//! | [`vm`] | the object's own bytecode in a user-space VM |
//! | [`kernel`] | the same object in the kernel, or in another one in QEMU |
//!
//! These agree exactly. The reference engine, which computes in real numbers, has a shape of its own ([`crate::reference`]).
//! Not here: comparing ([`crate::oracle`]) and driving ([`crate::replay`]).

use std::borrow::Cow;
use std::sync::Arc;

use treeline_ebpf::{Config, Counters, FEATURES, Features, Flow, Link, Outcome, Skip, Tree, tree};
use treeline_model::Model;
use treeline_model::link::{LinkError, link};

use crate::{allow, object};
use treeline_lab::Frame;

pub mod kernel;
pub mod native;
pub mod vm;

/// Where in the kernel a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Express data path: ingress, before the stack.
    Xdp,
    /// Traffic control: ingress and egress.
    Tc,
    /// The filter of a raw socket: sees copies.
    Socket,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 3] = [Self::Xdp, Self::Tc, Self::Socket];

    /// The name in options and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Socket => "socket",
        }
    }

    /// The program of the object that serves the hook on interfaces whose frames begin so.
    #[must_use]
    pub const fn program(self, link: Link) -> &'static str {
        match (self, link) {
            (Self::Xdp, Link::Ethernet) => "treeline_xdp",
            (Self::Xdp, Link::Ip) => "treeline_xdp_ip",
            (Self::Tc, Link::Ethernet) => "treeline_tc",
            (Self::Tc, Link::Ip) => "treeline_tc_ip",
            (Self::Socket, Link::Ethernet) => "treeline_socket",
            (Self::Socket, Link::Ip) => "treeline_socket_ip",
        }
    }

    /// What the program must return for a packet that is or is not dropped, as an unsigned 32-bit number: `XDP_PASS` and `XDP_DROP`,
    /// `TC_ACT_UNSPEC` and `TC_ACT_SHOT`; a socket filter always keeps the whole copy.
    #[must_use]
    pub const fn returned(self, dropped: bool) -> u32 {
        match (self, dropped) {
            (Self::Xdp, false) | (Self::Tc, true) => 2,
            (Self::Xdp, true) => 1,
            (Self::Tc, false) | (Self::Socket, _) => u32::MAX,
        }
    }
}

/// What an engine is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hook whose program runs.
    pub hook: Hook,
    /// What frames begin with. Those of a [capture](treeline_lab::capture) are always Ethernet's.
    pub link: Link,
    /// Load-time settings of the classifier. Engines set [`Config::replay`] themselves, and [`Config::allow`] with a list.
    pub config: Config,
    /// What gives a class.
    pub decider: Decider,
    /// Size of the flow table.
    pub flows_max: u32,
    /// An object with a tree compiled into it, for vm and kernel to load; without one they walk the decider's in [`object::OBJECT`].
    pub linked: Option<Arc<[u8]>>,
    /// Whose packets pass unclassified.
    pub allow: Arc<allow::List>,
}

impl Settings {
    /// Settings for Ethernet frames, without an allow-list; vm and kernel walk the model's tree.
    #[must_use]
    pub fn new(hook: Hook, config: Config, model: &Model, flows_max: u32) -> Self {
        let decider = Decider::of(model);
        Self { hook, link: Link::Ethernet, config, decider, flows_max, linked: None, allow: Arc::default() }
    }

    /// The configuration as it is loaded: with [`Config::allow`] set if there is an allow-list.
    #[must_use]
    pub fn loaded(&self) -> Config {
        Config { allow: u32::from(self.config.allow != 0 || !self.allow.is_empty()), ..self.config }
    }

    /// The same with `model`, which these settings were made of, as instructions of the programs. A vote is an error.
    pub fn compiled(self, model: &Model) -> Result<Self, LinkError> {
        let linked = link(object::OBJECT, model)?.object;
        Ok(Self { linked: Some(linked.into()), ..self })
    }

    /// The name of the program that runs.
    #[must_use]
    pub const fn program(&self) -> &'static str {
        self.hook.program(self.link)
    }

    /// The tree that vm and kernel walk; `None` where it is compiled into the object.
    pub(crate) fn walked(&self, engine: &'static str) -> Result<Option<&Tree>, EngineError> {
        match &self.decider {
            _ if self.linked.is_some() => Ok(None),
            Decider::Tree(tree) => Ok(Some(tree)),
            Decider::Vote(_) => {
                let reason = "it runs one tree, and the model is an ensemble; use --engine native,reference".to_owned();
                Err(EngineError::Unavailable { engine, reason })
            }
        }
    }

    /// What vm and kernel load.
    pub(crate) fn object(&self) -> &[u8] {
        self.linked.as_deref().unwrap_or(object::OBJECT)
    }
}

/// What gives a class for features, in the form in which engines take it.
#[derive(Debug, Clone)]
pub enum Decider {
    /// The array that the kernel walks, its precondition's splits in front.
    Tree(Arc<Tree>),
    /// A vote, which runs in no kernel program.
    Vote(Arc<Model>),
}

impl Decider {
    /// Any model's.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        match model.to_array() {
            Ok(tree) => Self::Tree(tree.into()),
            Err(_) => Self::Vote(Arc::new(model.clone())),
        }
    }

    /// The class of a packet, an index into the model's classes. No packet is skipped if the tree is a model's.
    pub fn decide(&self, features: &Features) -> Result<u16, Skip> {
        match self {
            Self::Tree(tree) => tree::descend(tree, features),
            Self::Vote(model) => Ok(model.classify(features)),
        }
    }
}

/// All that is compared after a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Classified or skipped.
    pub outcome: Outcome,
    /// The hook's return code.
    pub returned: u32,
    /// The packet's features, if it reached a flow.
    pub features: Option<[i64; FEATURES]>,
    /// Its flow after it, if it reached one.
    pub flow: Option<Flow>,
    /// By how much each counter moved.
    pub counted: Counters,
}

/// Why an engine gave no observation.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine cannot be used here; the others can.
    #[error("the {engine} engine is not available: {reason}")]
    Unavailable {
        /// The engine.
        engine: &'static str,
        /// What is missing and what to do.
        reason: String,
    },
    /// The engine cannot take this frame; it stays as it was, and can take the next.
    #[error("the {engine} engine cannot take frame {frame}: {reason}")]
    Untaken {
        /// The engine.
        engine: &'static str,
        /// The frame's index.
        frame: u64,
        /// Why: a short name by which such frames are counted.
        reason: &'static str,
    },
    /// The engine broke.
    #[error("the {engine} engine failed at frame {frame}: {reason}")]
    Failed {
        /// The engine.
        engine: &'static str,
        /// The frame's index.
        frame: u64,
        /// What happened.
        reason: String,
    },
}

/// One way to run the classifier, with its flow table and counters.
pub trait Engine {
    /// The engine's name in options and reports.
    fn name(&self) -> &'static str;

    /// Announces the frames that it will be asked for next, in this order: an engine that is far away classifies them all at once.
    fn prepare(&mut self, _frames: &[Frame]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Runs one frame.
    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError>;

    /// Goes on with the configuration and the tree of `settings`, walked or compiled; flow table, counters and allow-list stay. On an error
    /// everything is as before.
    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError>;
}

/// Bytes of a frame that the vm and the kernel are given. No header is read beyond
/// [`OFFSET_MAX`](treeline_ebpf::packet::OFFSET_MAX), so the rest of a long frame cannot matter.
pub(crate) const FRAME_BYTES_MAX: usize = 2048;

const _: () = assert!(treeline_ebpf::packet::OFFSET_MAX + treeline_ebpf::packet::HEADER_BYTES_MAX <= FRAME_BYTES_MAX);

/// The start of a frame, which is all that matters.
pub(crate) fn clipped(frame: &Frame) -> &[u8] {
    frame.bytes.get(..FRAME_BYTES_MAX).unwrap_or(&frame.bytes)
}

/// What the vm and the kernel are given of a frame. A test run at TC takes what lies behind 14 bytes for the network header, where
/// the program for frames without Ethernet header reads: such a frame is put behind an empty one.
#[must_use]
pub fn given(frame: &Frame, hook: Hook, link: Link) -> Cow<'_, [u8]> {
    let bytes = clipped(frame);
    match (hook, link) {
        (Hook::Tc, Link::Ip) => [&[0; ETHERNET_BYTES], bytes].concat().into(),
        _ => bytes.into(),
    }
}

/// Bytes of an Ethernet header.
const ETHERNET_BYTES: usize = 14;
/// The longest that [`given`] gives.
const GIVEN_BYTES_MAX: usize = ETHERNET_BYTES + FRAME_BYTES_MAX;

/// What a replay cell says about a packet, given the one before it.
pub(crate) fn observation(cell: &treeline_ebpf::replay::Cell, before: &Counters, returned: u32) -> Option<Observation> {
    let treeline_ebpf::replay::Cell { record, counters } = cell;
    let outcome = Outcome::from_code(record.outcome)?;
    let reached = record.reached_flow == 1;
    Some(Observation {
        outcome,
        returned,
        features: reached.then_some(record.features),
        flow: reached.then_some(record.flow),
        counted: std::array::from_fn(|index| counters[index].wrapping_sub(before[index])),
    })
}

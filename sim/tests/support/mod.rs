//! What the suites across engines share: the engines, the captures, the model, and one way to send frames through all of them.
//!
//! Not here: comparing, which is the oracle's; the suites only choose frames, trees and settings.

#![allow(dead_code, unused_imports, reason = "each suite uses its part")]

use std::io::Cursor;

pub use captures::{capture, captures, files, name, other_captures};
use treeline_ebpf::{Config, Counter, Link, Tree};
use treeline_lab::Frame;
use treeline_lab::capture::Capture;
use treeline_model::{Model, Node};
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Decider, Engine, EngineError, Hook, Settings};
use treeline_sim::reference::Reference;
use treeline_sim::replay::{Replay, Summary};

pub mod allow;
#[path = "../../../lab/tests/support/mod.rs"]
mod captures;
#[path = "../reference/recipe.rs"]
pub mod recipe;
pub mod swap;

/// The model of the suites: small enough to check a verdict by eye.
const MODEL: &str = include_str!("../../../testdata/models/hand.json");

/// Size of the flow table where none matters.
pub const FLOWS_MAX: u32 = 65_536;

/// The model of the suites.
pub fn model() -> Model {
    Model::read_bytes(MODEL.as_bytes()).expect("a sound model")
}

/// A model of one leaf.
pub fn constant(class: u16) -> Model {
    Model::from_nodes("one leaf", vec!["benign".to_owned(), "malicious".to_owned()], vec![Node::Leaf { class }]).expect("a tree")
}

/// The array that no loader ever filled.
pub fn unloaded() -> Decider {
    Decider::Tree(empty().into())
}

/// The same to write nodes into.
pub fn empty() -> Box<Tree> {
    let nodes = vec![treeline_ebpf::Node::default(); treeline_ebpf::tree::NODES_MAX].into_boxed_slice();
    let nodes: Box<[treeline_ebpf::Node; treeline_ebpf::tree::NODES_MAX]> = nodes.try_into().expect("as many as asked for");
    Box::new(Tree { nodes: *nodes })
}

/// What an engine is built from.
pub fn settings(hook: Hook, config: Config, model: &Model) -> Settings {
    Settings::new(hook, config, model, FLOWS_MAX)
}

/// A frame that begins as `link` says: an Ethernet frame, or what follows its header. A frame without all of that stays as it is.
pub fn begun(link: Link, mut frame: Vec<u8>) -> Vec<u8> {
    if link == Link::Ip && frame.len() >= 14 {
        frame.drain(..14);
    }
    frame
}

/// The settings with enforce mode.
pub fn enforced() -> Config {
    Config { enforce: 1, ..Config::default() }
}

/// The exact engines that run anywhere, the one that others are compared with first.
pub fn rootless(settings: &Settings) -> Vec<Box<dyn Engine>> {
    vec![Box::new(Native::new(settings)), Box::new(Vm::new(settings).expect("the vm takes the object"))]
}

/// The kernel engine, or why there is none. Where the environment has `CI` its absence is an error.
pub fn kernel(settings: &Settings) -> Result<Kernel, String> {
    match Kernel::new(settings) {
        Err(EngineError::Unavailable { reason, .. }) => {
            assert!(std::env::var_os("CI").is_none(), "the kernel engine is not available under CI: {reason}");
            Err(reason)
        }
        result => Ok(result.unwrap_or_else(|error| panic!("{error}"))),
    }
}

/// A capture through engines, to its end or the first divergence.
pub fn replay(mut capture: Capture, exact: Vec<Box<dyn Engine>>, reference: Option<Reference>) -> Summary {
    let replay = Replay::new(exact, reference, FLOWS_MAX);
    replay.run(&mut capture, u64::MAX, |_| (), |_| ()).unwrap_or_else(|error| panic!("{error}"))
}

/// What there is to say against a replay; `None` if all agreed and every packet was counted once.
pub fn finding(summary: &Summary) -> Option<String> {
    if let Some(divergence) = &summary.divergence {
        return Some(divergence.to_string());
    }
    let outcomes = &Counter::ALL[..=Counter::Undecided as usize];
    let counted: u64 = outcomes.iter().map(|&counter| summary.counters[counter as usize]).sum();
    // Frames of a damaged record were read, and none of them was classified.
    if counted + summary.unsupported.count() != summary.frames {
        return Some(format!("{} frames and {counted} outcomes", summary.frames));
    }
    let retired: Vec<_> =
        summary.engines.iter().filter_map(|engine| Some(format!("{}: {}", engine.name, engine.retired.as_ref()?))).collect();
    (!retired.is_empty()).then(|| retired.join(", "))
}

/// A capture of these frames, nanosecond pcap.
pub fn capture_of(frames: &[(u64, Vec<u8>)]) -> Capture {
    let mut bytes = vec![];
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for (time_ns, frame) in frames {
        let length = u32::try_from(frame.len()).expect("a short frame");
        let [seconds, rest] = [time_ns / 1_000_000_000, time_ns % 1_000_000_000].map(|part| u32::try_from(part).expect("before 2106"));
        for word in [seconds, rest, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    Capture::from_reader(Cursor::new(bytes), "generated").expect("a sound header")
}

/// Numbered frames.
pub fn frames(frames: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<Frame> {
    let numbered = frames.into_iter().zip(0..);
    numbered
        .map(|((time_ns, bytes), index)| {
            let original_length = u32::try_from(bytes.len()).expect("a short frame");
            Frame { index, time_ns, original_length, bytes }
        })
        .collect()
}

/// Fails once, with all findings.
pub fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

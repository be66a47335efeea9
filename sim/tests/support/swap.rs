//! Swapping trees in the middle of a capture: any engine against native with the same swaps.

use std::path::Path;

use treeline_ebpf::Config;
use treeline_lab::Frame;
use treeline_lab::capture::Capture;
use treeline_model::{Model, Node};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, EngineError, Hook, Settings};
use treeline_sim::oracle;

/// The number of the packet in its flow.
const PACKETS: u16 = 3;

type Made = Result<Box<dyn Engine>, EngineError>;

/// Settings that walk one tree, and settings with another one compiled. They disagree on packets beyond a flow's second.
pub fn pair(hook: Hook) -> [Settings; 2] {
    let classes = || vec!["benign".to_owned(), "malicious".to_owned()];
    let split = |below, above| {
        let root = Node::Inner { feature: PACKETS, threshold: 2 << 16, left: 1, right: 2 };
        let nodes = vec![root, Node::Leaf { class: below }, Node::Leaf { class: above }];
        Model::from_nodes("two leaves", classes(), nodes).expect("a tree")
    };
    let config = |model| Config { enforce: 1, model, ..Config::default() };
    let compiled = split(1, 0);
    let walked = super::settings(hook, config(1), &split(0, 1));
    [walked, super::settings(hook, config(2), &compiled).compiled(&compiled).expect("links")]
}

/// Swaps before every packet, walk to compiled and back; then, for every packet, once to compiled there and back two packets later.
pub fn check(path: &Path, hook: Hook, make: impl Fn(&Settings) -> Made) -> Result<(), String> {
    let frames: Vec<Frame> = Capture::open(path).map_err(text)?.collect::<Result<_, _>>().map_err(text)?;
    let all: Vec<usize> = (1..frames.len()).collect();
    run(&frames, hook, &make, &all)?;
    (0..frames.len()).try_for_each(|at| run(&frames, hook, &make, &[at, at + 2]))
}

fn run(frames: &[Frame], hook: Hook, make: impl Fn(&Settings) -> Made, swaps: &[usize]) -> Result<(), String> {
    let settings = pair(hook);
    let (mut native, mut engine) = (Native::new(&settings[0]), make(&settings[0]).map_err(text)?);
    let mut tree = 0;
    for (position, frame) in frames.iter().enumerate() {
        if swaps.contains(&position) {
            tree = 1 - tree;
            native.swap(&settings[tree]).map_err(text)?;
            engine.swap(&settings[tree]).map_err(text)?;
        }
        let seen = match engine.judge(frame) {
            Err(EngineError::Untaken { .. }) => continue,
            seen => seen.map_err(text)?,
        };
        let differences = oracle::compare(&native.judge(frame).map_err(text)?, &seen);
        if !differences.is_empty() {
            return Err(format!("frame {position}, swaps before {swaps:?}: {differences:?}"));
        }
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

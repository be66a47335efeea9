//! The rules of `docs/classifier.md` one by one, on frames made by hand. Each frame goes through the classifier as well ([`Pair`]).
//! The modules follow its headings.

mod flow;
mod packet;
mod verdict;

use treeline_ebpf::{Config, Outcome, Skip};
use treeline_lab::Frame;
use treeline_sim::reference::{Judgement, Observation};

use crate::native::Pair;
use crate::recipe::Recipe;

fn frame(time_ns: u64, bytes: Vec<u8>) -> Frame {
    Frame { time_ns, bytes, ..Frame::default() }
}

/// Classifies one frame by itself.
fn judge(bytes: Vec<u8>) -> Judgement {
    Pair::new(Config::default(), &[Err(0)]).step(&frame(0, bytes))
}

fn check_skipped(bytes: Vec<u8>, expect: Skip) {
    assert_eq!(judge(bytes).outcome, Outcome::Skipped(expect));
}

fn observe(bytes: Vec<u8>) -> Observation {
    let judgement = judge(bytes);
    judgement.observation.unwrap_or_else(|| panic!("{:?}", judgement.outcome))
}

/// Classifies packets, each with its time, in one world.
fn observe_all(packets: impl IntoIterator<Item = (u64, Recipe)>) -> Vec<Observation> {
    let mut pair = Pair::new(Config::default(), &[Err(0)]);
    let judge = |(time_ns, recipe): (u64, Recipe)| pair.step(&frame(time_ns, recipe.bytes())).observation.expect("a whole packet");
    packets.into_iter().map(judge).collect()
}

fn ports(bytes: Vec<u8>) -> (u16, u16) {
    let flow = observe(bytes).flow;
    (flow.originator.port, flow.responder.port)
}

fn changed(recipe: &Recipe, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = recipe.bytes();
    for &(at, value) in changes {
        bytes[at] = value;
    }
    bytes
}

fn cut(recipe: &Recipe, length: usize) -> Vec<u8> {
    let mut bytes = recipe.bytes();
    bytes.truncate(length);
    bytes
}

fn check_value(value: f64, expect: f64) {
    assert!((value - expect).abs() <= expect.abs() * 1e-15, "{value} instead of {expect}");
}

//! The classifier: bytes become a packet, a packet joins a flow, the flow gives twelve features, the tree gives a verdict.
//!
//! One call does it, [`classify`], generic over a small [`Platform`]. The host compiles it for the native engine and the BPF
//! target compiles the same lines into the kernel programs (`src/kernel`), so there is one copy of every rule.
//! The modules follow the packet's order.
//!
//! Not here: maps, contexts, locks (the shell in `src/kernel`), the model's file format (`treeline-model`), and any `unsafe`.
//! Nothing allocates, every loop has a constant bound, and no path panics. `docs/classifier.md` states the rules in prose.

#![no_std]
#![forbid(unsafe_code)]
#![allow(clippy::inline_always, reason = "each kernel program must be one function: a call costs the verifier and the packet")]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)]

#[cfg(test)]
extern crate std;

pub mod platform;

pub mod packet;

pub mod allow;

pub mod flow;

pub mod feature;

pub mod tree;

pub mod verdict;

pub mod alert;

pub mod live;

pub mod replay;

pub use alert::{Alarm, Alert};
pub use allow::Allowed;
pub use feature::{FEATURES, Features};
pub use flow::{Flow, Key};
pub use live::Live;
pub use packet::{Link, Packet};
pub use platform::{Config, Platform};
pub use tree::{Node, Tree};
pub use verdict::{Counter, Counters, Outcome, Skip};

/// Classifies the packet that `platform` holds and counts what happened; exactly one outcome counter moves per call.
#[inline(always)]
pub fn classify<P: Platform>(platform: &mut P) -> Outcome {
    let outcome = match judge(platform) {
        Ok(class) => Outcome::Judged(class),
        Err(skip) => Outcome::Skipped(skip),
    };
    platform.count(outcome.counter());
    if outcome.drops(&platform.config()) {
        platform.count(Counter::Dropped);
    }
    outcome
}

#[inline(always)]
fn judge<P: Platform>(platform: &mut P) -> Result<u16, Skip> {
    let packet = match packet::parse(platform) {
        Err(Skip::Truncated) if platform.pull() => packet::parse(platform)?,
        parsed => parsed?,
    };
    let config = platform.config();
    if config.allow != 0 && allow::passes(platform, &packet.key) {
        return Err(Skip::Allowed);
    }
    let now_ns = platform.now_ns();
    let mut features = Features::default();
    let change = platform.with_flow(&packet.key, |flow| flow::observe(flow, &packet, now_ns, &config, &mut features))?;
    change.count(platform);
    platform.trace(&features);
    let class = platform.decide(&features)?;
    if class != 0 {
        platform.alarm(&Alarm { key: &packet.key, from_low: packet.from_low, now_ns, features: &features, class });
    }
    Ok(class)
}

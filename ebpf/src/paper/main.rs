//! The bench's object: the paper's layout, written from its description, the floor that all are compared with, and a generator.
//!
//! Five arrays (left, right, feature, threshold, value) that are looked up at every node, one feature vector that all CPUs share, written
//! element by element, and flow state that nothing guards. As in the paper: IPv4, ports at fixed places, nothing ever ends a flow. Its known
//! defects that change verdicts are not rebuilt (reference: key halves sorted apart, a pointer tested for a value), because it must answer
//! the same tree. Built only for the BPF target, by `ebpf/build`. Not here: anything that a live system loads.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(clippy::inline_always, reason = "each program must be one function")]
#![allow(missing_docs, reason = "the attribute macros add undocumented functions")]

mod flood;

mod flow;

mod map;

mod packet;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use treeline_ebpf::Key;

/// Nodes on a path, at most, as in the paper.
const NODES_MAX: usize = 20;
/// What the left array holds at a leaf.
const LEAF: i64 = -1;

/// The paper's classifier at XDP, state and features written in place: `XDP_DROP` for malicious, `XDP_PASS` for benign, `XDP_ABORTED` for
/// what it cannot read.
#[xdp]
pub fn paper_xdp(context: XdpContext) -> u32 {
    judge::<false>(&context)
}

/// The same, state and features written by the helper that updates a map.
#[xdp]
pub fn paper_helpers_xdp(context: XdpContext) -> u32 {
    judge::<true>(&context)
}

#[inline(always)]
fn judge<const HELPERS: bool>(context: &XdpContext) -> u32 {
    match value::<HELPERS>(context) {
        Some(0) => xdp_action::XDP_PASS,
        Some(_) => xdp_action::XDP_DROP,
        None => xdp_action::XDP_ABORTED,
    }
}

#[inline(always)]
fn value<const HELPERS: bool>(context: &XdpContext) -> Option<i64> {
    let packet = packet::parse(context)?;
    flow::observe::<HELPERS>(&packet, now_ns()?)?;
    descend()
}

#[inline(always)]
fn now_ns() -> Option<u64> {
    if map::is_replay() {
        return map::NOW.get(0).copied();
    }
    // SAFETY: a helper without arguments.
    Some(unsafe { bpf_ktime_get_ns() })
}

/// The value of the node where the path ends: a leaf, or the [`NODES_MAX`]th node.
#[inline(always)]
fn descend() -> Option<i64> {
    let mut node = 0_u32;
    for _ in 0..NODES_MAX {
        let left = *map::LEFT.get(node)?;
        let right = *map::RIGHT.get(node)?;
        if left == LEAF {
            break;
        }
        let feature = *map::FEATURE.get(node)?;
        let threshold = *map::THRESHOLD.get(node)?;
        let value = *map::FEATURES.get(feature as u32)?;
        node = if value <= threshold { left as u32 } else { right as u32 };
    }
    map::VALUE.get(node).copied()
}

/// The floor: the clock and one lookup of the packet's flow in an LRU table. The frame is the flow's key, so that nothing is parsed.
#[xdp]
pub fn floor_xdp(context: XdpContext) -> u32 {
    let Some(key) = packet::words(&context, 0) else { return xdp_action::XDP_ABORTED };
    const { assert!(size_of::<Key>() == 40) };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    match map::FLOWS.get_ptr_mut(key) {
        Some(flow) => {
            // SAFETY: a live map value.
            unsafe { (*flow)[0] = now_ns };
            xdp_action::XDP_PASS
        }
        None => xdp_action::XDP_ABORTED,
    }
}

// A helper call needs a licence that the kernel takes as GPL-compatible.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Unreachable by construction: were it not, the verifier would refuse the endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

//! The kernel programs: one thin shell around [`treeline_ebpf::classify`] for each hook and each kind of link, in one object.
//!
//! Built only for the BPF target, by `ebpf/build`. Here and nowhere else in the crate is `unsafe`: contexts, maps, the lock.
//! Not here: any rule about packets, flows or verdicts.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(clippy::inline_always, reason = "each program must be one function: a call costs the verifier and the packet")]
#![allow(missing_docs, reason = "the attribute macros add undocumented functions")]

mod map;

mod alert;

mod reach;

mod tree;

mod world;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::macros::{classifier, socket_filter, xdp};
use aya_ebpf::programs::{SkBuffContext, TcContext, XdpContext};

use crate::reach::{Direct, Inner, Linear, Loaded};
use crate::world::{ETHERNET, IP};

/// XDP: ingress only; enforce drops.
#[xdp]
pub fn treeline_xdp(context: XdpContext) -> u32 {
    xdp_action(world::classify::<ETHERNET, _>(Direct(context)))
}

/// The same for an interface without Ethernet header, as are the other programs whose names end so.
#[xdp]
pub fn treeline_xdp_ip(context: XdpContext) -> u32 {
    xdp_action(world::classify::<IP, _>(Direct(context)))
}

/// TC, ingress and egress; enforce drops. A passed packet goes on to the next filter of the hook.
#[classifier]
pub fn treeline_tc(context: TcContext) -> i32 {
    tc_action(world::classify::<ETHERNET, _>(Linear(context)))
}

#[classifier]
pub fn treeline_tc_ip(context: TcContext) -> i32 {
    tc_action(world::classify::<IP, _>(Inner(context)))
}

/// A raw socket's filter: sees a copy, so it keeps every packet whole and cannot drop traffic.
#[socket_filter]
pub fn treeline_socket(context: SkBuffContext) -> i64 {
    world::classify::<ETHERNET, _>(Loaded(context));
    i64::from(u32::MAX)
}

#[socket_filter]
pub fn treeline_socket_ip(context: SkBuffContext) -> i64 {
    world::classify::<IP, _>(Loaded(context));
    i64::from(u32::MAX)
}

#[inline(always)]
fn xdp_action(drop: bool) -> u32 {
    if drop { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[inline(always)]
fn tc_action(drop: bool) -> i32 {
    if drop { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
}

/// The floor of the cost benchmark: what any flow tracker pays before it computes anything, the clock and one lookup in the same table.
#[xdp]
pub fn treeline_floor(context: XdpContext) -> u32 {
    world::floor(&Direct(context));
    xdp_action::XDP_PASS
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

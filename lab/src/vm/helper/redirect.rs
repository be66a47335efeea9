//! Helpers that say where the packet is to go, and how long it may be there.

use super::super::context::{self, skb, xdp};
use super::super::record::Redirect;
use super::{EINVAL, ENODEV, errno, signed, with, word};
use crate::bpf::Hook;

const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;
const INGRESS: u64 = 1;

/// As `bpf_redirect`.
pub(super) fn interface(index: u64, flags: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let (allowed, refused, done) = match session.hook {
            Hook::Xdp => (0, XDP_ABORTED, XDP_REDIRECT),
            Hook::Tc | Hook::Socket => (INGRESS, TC_ACT_SHOT, TC_ACT_REDIRECT),
        };
        if flags & !allowed != 0 {
            return refused;
        }
        session.redirect = Some(Redirect::Interface { index: interface_index(index), flags });
        done
    })
}

pub(super) fn peer(index: u64, flags: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        if flags != 0 {
            return TC_ACT_SHOT;
        }
        session.redirect = Some(Redirect::Peer { index: interface_index(index) });
        TC_ACT_REDIRECT
    })
}

/// Bytes of `struct bpf_redir_neigh`.
const NEXT_HOP: usize = 20;

pub(super) fn neighbour(index: u64, next_hop: u64, length: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        let next_hop = session.bytes(2, next_hop, word(length), site);
        if flags != 0 || (1..NEXT_HOP).contains(&next_hop.len()) {
            return TC_ACT_SHOT;
        }
        session.redirect = Some(Redirect::Neighbour { index: interface_index(index), next_hop });
        TC_ACT_REDIRECT
    })
}

/// As `bpf_clone_redirect` to an interface that takes it.
pub(super) fn clone(context: u64, index: u64, flags: u64, _: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let index = interface_index(index);
        if flags & !INGRESS != 0 || !session.mtus.contains_key(&index) {
            return errno(EINVAL);
        }
        session.keep(session.packet.length(), site);
        session.clones.push((Redirect::Interface { index, flags }, session.packet.bytes().to_vec()));
        session.point();
        0
    })
}

const FRAG_NEEDED: u64 = 1;
const SEGMENTS: u64 = 1;
const ETHERNET: i64 = 14;

/// As `bpf_check_mtu`.
pub(super) fn check_mtu(context: u64, index: u64, length: u64, difference: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let flags = session.fifth;
        let given: [u8; 4] = session.bytes(3, length, 4, site).try_into().expect("four bytes");
        let given = u32::from_ne_bytes(given);
        let difference = signed(difference);
        let allowed = if session.hook == Hook::Xdp { 0 } else { SEGMENTS };
        if flags & !allowed != 0 || flags & SEGMENTS != 0 && (difference != 0 || given != 0) {
            return errno(EINVAL);
        }
        let own = if session.hook == Hook::Xdp { xdp::INGRESS_IFINDEX } else { skb::IFINDEX };
        let index = match interface_index(index) {
            0 => context::word(&session.context, own),
            index => index,
        };
        let Some(mtu) = session.mtus.get(&index).copied() else { return errno(ENODEV) };
        let packet = i64::try_from(session.packet.length()).expect("packets are short");
        let there = if given > 0 { i64::from(given) + ETHERNET } else { packet };
        session.write(3, length, &mtu.to_ne_bytes(), site);
        if there + difference > i64::from(mtu) + ETHERNET { FRAG_NEEDED } else { 0 }
    })
}

fn interface_index(argument: u64) -> u32 {
    u32::try_from(word(argument)).expect("32 bits")
}

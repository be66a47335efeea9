//! What calls do to addresses that the program holds (`bpf_helper_changes_pkt_data`, `release_reference` and `invalidate_non_owning_refs` of
//! Linux v6.18: <https://github.com/torvalds/linux/blob/v6.18/net/core/filter.c>, `kernel/bpf/verifier.c`).

use crate::bpf::Program;
use crate::vm::helper_name;
use rbpf::ebpf;
use std::collections::BTreeSet;

/// An effect on the addresses that a program holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Addresses in the packet, and slices of it, are invalid.
    ChangesPacket,
    /// The same on some kernels.
    MayChangePacket,
    /// The same where the dynptr is one over the packet.
    WritesDynptr,
    /// What an argument holds is given back.
    Releases,
    /// An object goes into a list or tree: the program's address of it does not own it any more.
    Shares,
    /// Addresses of objects that the program does not own are invalid.
    Unlocks,
    /// The result is a slice of a dynptr.
    GivesSlice,
}

/// A tail call returns only if it failed, so in the program itself it changes nothing; kernels of 6.13 and later thought otherwise for a while, and in a
/// function that is called it counts.
const TAIL_CALL: &str = "tail_call";

/// Helpers after which the packet may lie elsewhere.
const CHANGE_PACKET: [&str; 23] = [
    "clone_redirect",
    "l3_csum_replace",
    "l4_csum_replace",
    "lwt_push_encap",
    "lwt_seg6_action",
    "lwt_seg6_adjust_srh",
    "lwt_seg6_store_bytes",
    "msg_pop_data",
    "msg_pull_data",
    "msg_push_data",
    "skb_adjust_room",
    "skb_change_head",
    "skb_change_proto",
    "skb_change_tail",
    "skb_pull_data",
    "skb_store_bytes",
    "skb_vlan_pop",
    "skb_vlan_push",
    "store_hdr_opt",
    "xdp_adjust_head",
    "xdp_adjust_meta",
    "xdp_adjust_tail",
    // A function of the kernel, since 6.18.
    "xdp_pull_data",
];

/// Helpers that release; functions of the kernel say it at the end of their names.
const RELEASE: [&str; 6] =
    ["kptr_xchg", "ringbuf_discard", "ringbuf_discard_dynptr", "ringbuf_submit", "ringbuf_submit_dynptr", "sk_release"];
const RELEASE_ENDS: [&str; 6] = ["_release", "_destroy", "_drop", "_drop_impl", "_put", "put_file"];
const SHARE: [&str; 6] =
    ["list_push_front", "list_push_front_impl", "list_push_back", "list_push_back_impl", "rbtree_add", "rbtree_add_impl"];
const UNLOCK: [&str; 3] = ["spin_unlock", "res_spin_unlock", "res_spin_unlock_irqrestore"];
const SLICE: [&str; 3] = ["dynptr_data", "dynptr_slice", "dynptr_slice_rdwr"];

/// `bpf_xdp_adjust_head` of `call bpf_xdp_adjust_head#44`.
pub(super) fn called(text: &str) -> Option<&str> {
    let name = text.strip_prefix("call ")?.split('#').next()?;
    (!name.starts_with("pc")).then_some(name)
}

/// Effects of a call that enters no function of the program. `text` is the call as the log shows it.
pub(super) fn of(program: &Program, instruction: usize, text: &str) -> Vec<Effect> {
    let Some(name) = called(text) else {
        return if changes_packet(program, instruction).is_some() { vec![Effect::ChangesPacket] } else { Vec::new() };
    };
    let name = name.strip_prefix("bpf_").unwrap_or(name);
    let is_release = || RELEASE.contains(&name) || RELEASE_ENDS.iter().any(|end| name.ends_with(end));
    let effects = [
        (Effect::ChangesPacket, CHANGE_PACKET.contains(&name)),
        (Effect::MayChangePacket, name == TAIL_CALL),
        (Effect::WritesDynptr, name == "dynptr_write"),
        (Effect::Releases, is_release()),
        (Effect::Shares, SHARE.contains(&name)),
        (Effect::Unlocks, UNLOCK.contains(&name)),
        (Effect::GivesSlice, SLICE.contains(&name)),
    ];
    effects.into_iter().filter_map(|(effect, has)| has.then_some(effect)).collect()
}

/// The helper by which a function of the program that is called here may change the packet: its name, and the instruction that calls it.
pub(super) fn changes_packet(program: &Program, call: usize) -> Option<(&'static str, usize)> {
    let mut todo = vec![target(program, call)?];
    let mut seen = BTreeSet::new();
    while let Some(start) = todo.pop() {
        if !seen.insert(start) {
            continue;
        }
        let next = program.functions.iter().map(|function| function.start).find(|next| *next > start);
        for slot in start..next.unwrap_or(program.instructions.len()) {
            let insn = &program.instructions[slot];
            if insn.opc == ebpf::CALL && insn.src == 0 {
                let name = helper_name(insn.imm).filter(|name| *name == TAIL_CALL || CHANGE_PACKET.contains(name));
                if let Some(name) = name {
                    return Some((name, slot));
                }
            }
            todo.extend(target(program, slot));
        }
    }
    None
}

/// Where the function begins that an instruction calls, or takes the address of.
pub(super) fn target(program: &Program, slot: usize) -> Option<usize> {
    let insn = program.instructions.get(slot)?;
    let is_reference = insn.opc == ebpf::CALL && insn.src == 1 || insn.opc == ebpf::LD_DW_IMM && insn.src == 4;
    let target = i64::try_from(slot).ok()? + 1 + i64::from(insn.imm);
    let target = usize::try_from(target).ok().filter(|target| *target < program.instructions.len());
    target.filter(|_| is_reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_helper_that_has_an_effect_is_one_of_the_kernels() {
        let is_helper = |name: &str| (1..=211).any(|number| helper_name(number) == Some(name));
        let unknown = CHANGE_PACKET.iter().chain(&RELEASE).filter(|name| !is_helper(name)).collect::<Vec<_>>();
        assert_eq!(unknown, [&"xdp_pull_data"], "a function of the kernel");
    }
}

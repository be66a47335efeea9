//! The table of helpers: all that the VM has, one line each, and the only place that says what a helper is.
//!
//! From it come the registers a call reads, the memory it reads and writes, the hooks that have it, and the table in `docs/vm.md`.
//! Numbers and names are those of `include/uapi/linux/bpf.h`, hooks those of the kernel's `func_proto` functions, v6.18.

use super::{checksum, clock, dynamic, map, packet, program, redirect, ring, route, skb, socket, text, tunnel, xdp};
use crate::bpf::Hook;

/// The hooks that have a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    const XDP: Self = Self(1);
    const TC: Self = Self(2);
    const SOCKET: Self = Self(4);
    const XDP_TC: Self = Self(1 | 2);
    const SKB: Self = Self(2 | 4);
    const ALL: Self = Self(1 | 2 | 4);

    /// Whether the hook is one of them.
    #[must_use]
    pub fn has(self, hook: Hook) -> bool {
        let hook = match hook {
            Hook::Xdp => Self::XDP,
            Hook::Tc => Self::TC,
            Hook::Socket => Self::SOCKET,
        };
        self.0 & hook.0 != 0
    }
}

/// How many bytes an argument points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many.
    Bytes(usize),
    /// As the argument of this number says, 1 for r1. The pointer may be null where that is zero.
    Argument(u8),
    /// As a key of the map in r1 has.
    Key,
    /// As a value of the map in r1 has.
    Value,
}

/// What a helper takes in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number,
    /// The program's context.
    Context,
    /// A map.
    Map,
    /// Bytes that the helper reads; all must have been written before.
    Read(Size),
    /// Bytes that the helper writes, on success and on failure.
    Write(Size),
    /// Bytes that the helper may write, some or all.
    Room(Size),
    /// Bytes that the helper reads and writes, or may read.
    Change(Size),
    /// A ring buffer's reserved record.
    Record,
    /// A spin lock in a value of a map.
    Lock,
    /// Text in a map that nobody writes, up to a zero byte.
    Text,
    /// A function of the program's.
    Function,
    /// A socket, which a program never gets.
    Socket,
    /// Anything.
    Any,
}

/// What r0 is after the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A number.
    Number,
    /// The address of a value of the map in r1 (of maps: a map), or null.
    Value,
    /// The address of as many bytes as r2 says, or null.
    Record,
}

/// What a call may do to the packet's bytes and pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// Nothing.
    Kept,
    /// Its bytes may change; as in the kernel, packet pointers from before are void.
    Changed,
    /// Its length or place may change too.
    Moved,
}

/// One helper.
#[derive(Debug, Clone, Copy)]
pub struct Helper {
    /// Its number, the call's immediate.
    pub number: i32,
    /// Its name without `bpf_`.
    pub name: &'static str,
    /// Where it may be called.
    pub hooks: Hooks,
    /// What it takes, r1 first.
    pub arguments: &'static [Argument],
    /// What it answers.
    pub answer: Answer,
    /// What becomes of the packet.
    pub packet: Packet,
    pub(in crate::vm) run: rbpf::ebpf::Helper,
}

impl Helper {
    /// Whether it writes to memory that the program points it to.
    #[must_use]
    pub fn writes_memory(&self) -> bool {
        self.arguments
            .iter()
            .any(|argument| matches!(argument, Argument::Write(_) | Argument::Room(_) | Argument::Change(_) | Argument::Function))
    }
}

/// The helper of a number, if the VM has it.
#[must_use]
pub fn find(number: i32) -> Option<&'static Helper> {
    let position = HELPERS.binary_search_by_key(&number, |helper| helper.number).ok()?;
    HELPERS.get(position)
}

use Answer::{Number as N, Record as R, Value as V};
use Argument::{Any, Change, Context, Function, Lock, Map, Number, Read, Record, Room, Socket, Text, Write};
use Packet::{Changed, Kept, Moved};

type Run = rbpf::ebpf::Helper;

const fn helper(
    number: i32,
    name: &'static str,
    hooks: Hooks,
    arguments: &'static [Argument],
    answer: Answer,
    packet: Packet,
    run: Run,
) -> Helper {
    Helper { number, name, hooks, arguments, answer, packet, run }
}

const KEY: Argument = Read(Size::Key);
const VALUE: Argument = Read(Size::Value);
const DYNPTR: Size = Size::Bytes(16);

/// All helpers, by number.
#[rustfmt::skip]
pub static HELPERS: &[Helper] = &[
    helper(1, "map_lookup_elem", Hooks::ALL, &[Map, KEY], V, Kept, map::lookup),
    helper(2, "map_update_elem", Hooks::ALL, &[Map, KEY, VALUE, Number], N, Kept, map::update),
    helper(3, "map_delete_elem", Hooks::ALL, &[Map, KEY], N, Kept, map::delete),
    helper(5, "ktime_get_ns", Hooks::ALL, &[], N, Kept, clock::now),
    helper(6, "trace_printk", Hooks::ALL, &[Read(Size::Argument(2)), Number, Any, Any, Any], N, Kept, text::print),
    helper(7, "get_prandom_u32", Hooks::ALL, &[], N, Kept, clock::random),
    helper(8, "get_smp_processor_id", Hooks::ALL, &[], N, Kept, clock::zero),
    helper(9, "skb_store_bytes", Hooks::TC, &[Context, Number, Read(Size::Argument(4)), Number, Number], N, Changed, skb::store_bytes),
    helper(10, "l3_csum_replace", Hooks::TC, &[Context, Number, Number, Number, Number], N, Changed, checksum::replace_network),
    helper(11, "l4_csum_replace", Hooks::TC, &[Context, Number, Number, Number, Number], N, Changed, checksum::replace_transport),
    helper(12, "tail_call", Hooks::ALL, &[Context, Map, Number], N, Kept, program::tail_call),
    helper(13, "clone_redirect", Hooks::TC, &[Context, Number, Number], N, Changed, redirect::clone),
    helper(18, "skb_vlan_push", Hooks::TC, &[Context, Number, Number], N, Moved, skb::vlan_push),
    helper(19, "skb_vlan_pop", Hooks::TC, &[Context], N, Moved, skb::vlan_pop),
    helper(20, "skb_get_tunnel_key", Hooks::TC, &[Context, Write(Size::Argument(3)), Number, Number], N, Kept, tunnel::key),
    helper(21, "skb_set_tunnel_key", Hooks::TC, &[Context, Read(Size::Argument(3)), Number, Number], N, Kept, tunnel::set_key),
    helper(23, "redirect", Hooks::XDP_TC, &[Number, Number], N, Kept, redirect::interface),
    helper(24, "get_route_realm", Hooks::TC, &[Context], N, Kept, clock::zero),
    helper(25, "perf_event_output", Hooks::ALL, &[Context, Map, Number, Read(Size::Argument(5)), Number], N, Kept, ring::perf_output),
    helper(26, "skb_load_bytes", Hooks::SKB, &[Context, Number, Write(Size::Argument(4)), Number], N, Kept, packet::load_bytes),
    helper(28, "csum_diff", Hooks::XDP_TC, &[Read(Size::Argument(2)), Number, Read(Size::Argument(4)), Number, Number], N, Kept, checksum::difference),
    helper(29, "skb_get_tunnel_opt", Hooks::TC, &[Context, Write(Size::Argument(3)), Number], N, Kept, tunnel::options),
    helper(30, "skb_set_tunnel_opt", Hooks::TC, &[Context, Read(Size::Argument(3)), Number], N, Kept, tunnel::set_options),
    helper(31, "skb_change_proto", Hooks::TC, &[Context, Number, Number], N, Moved, skb::change_proto),
    helper(32, "skb_change_type", Hooks::TC, &[Context, Number], N, Kept, skb::change_type),
    helper(34, "get_hash_recalc", Hooks::TC, &[Context], N, Kept, skb::get_hash),
    helper(38, "skb_change_tail", Hooks::TC, &[Context, Number, Number], N, Moved, skb::change_tail),
    helper(39, "skb_pull_data", Hooks::TC, &[Context, Number], N, Changed, packet::pull_data),
    helper(40, "csum_update", Hooks::TC, &[Context, Number], N, Kept, skb::checksum_update),
    helper(41, "set_hash_invalid", Hooks::TC, &[Context], N, Kept, skb::set_hash_invalid),
    helper(42, "get_numa_node_id", Hooks::ALL, &[], N, Kept, clock::zero),
    helper(43, "skb_change_head", Hooks::TC, &[Context, Number, Number], N, Moved, skb::change_head),
    helper(44, "xdp_adjust_head", Hooks::XDP, &[Context, Number], N, Moved, xdp::adjust_head),
    helper(48, "set_hash", Hooks::TC, &[Context, Number], N, Kept, skb::set_hash),
    helper(50, "skb_adjust_room", Hooks::TC, &[Context, Number, Number, Number], N, Moved, skb::adjust_room),
    helper(51, "redirect_map", Hooks::XDP, &[Map, Number, Number], N, Kept, map::redirect),
    helper(54, "xdp_adjust_meta", Hooks::XDP, &[Context, Number], N, Moved, xdp::adjust_meta),
    helper(65, "xdp_adjust_tail", Hooks::XDP, &[Context, Number], N, Moved, xdp::adjust_tail),
    helper(68, "skb_load_bytes_relative", Hooks::SKB, &[Context, Number, Write(Size::Argument(4)), Number, Number], N, Kept, packet::load_bytes_relative),
    helper(69, "fib_lookup", Hooks::XDP_TC, &[Context, Change(Size::Argument(3)), Number, Number], N, Kept, route::lookup),
    helper(84, "sk_lookup_tcp", Hooks::XDP_TC, &[Context, Read(Size::Argument(3)), Number, Number, Number], N, Kept, socket::lookup),
    helper(85, "sk_lookup_udp", Hooks::XDP_TC, &[Context, Read(Size::Argument(3)), Number, Number, Number], N, Kept, socket::lookup),
    helper(86, "sk_release", Hooks::XDP_TC, &[Socket], N, Kept, socket::absent),
    helper(87, "map_push_elem", Hooks::ALL, &[Map, VALUE, Number], N, Kept, map::push),
    helper(88, "map_pop_elem", Hooks::ALL, &[Map, Write(Size::Value)], N, Kept, map::pop),
    helper(89, "map_peek_elem", Hooks::ALL, &[Map, Change(Size::Value)], N, Kept, map::peek),
    helper(93, "spin_lock", Hooks::ALL, &[Lock], N, Kept, map::lock),
    helper(94, "spin_unlock", Hooks::ALL, &[Lock], N, Kept, map::lock),
    helper(95, "sk_fullsock", Hooks::TC, &[Socket], N, Kept, socket::absent),
    helper(96, "tcp_sock", Hooks::TC, &[Socket], N, Kept, socket::absent),
    helper(97, "skb_ecn_set_ce", Hooks::TC, &[Context], N, Changed, skb::set_congestion),
    helper(98, "get_listener_sock", Hooks::TC, &[Socket], N, Kept, socket::absent),
    helper(99, "skc_lookup_tcp", Hooks::XDP_TC, &[Context, Read(Size::Argument(3)), Number, Number, Number], N, Kept, socket::lookup),
    helper(
        100,
        "tcp_check_syncookie",
        Hooks::XDP_TC,
        &[Socket, Read(Size::Argument(3)), Number, Read(Size::Argument(5)), Number],
        N,
        Kept,
        socket::absent,
    ),
    helper(105, "strtol", Hooks::ALL, &[Read(Size::Argument(2)), Number, Number, Write(Size::Bytes(8))], N, Kept, text::to_signed),
    helper(106, "strtoul", Hooks::ALL, &[Read(Size::Argument(2)), Number, Number, Write(Size::Bytes(8))], N, Kept, text::to_unsigned),
    helper(
        110,
        "tcp_gen_syncookie",
        Hooks::XDP_TC,
        &[Socket, Read(Size::Argument(3)), Number, Read(Size::Argument(5)), Number],
        N,
        Kept,
        socket::absent,
    ),
    helper(118, "jiffies64", Hooks::ALL, &[], N, Kept, clock::ticks),
    helper(124, "sk_assign", Hooks::TC, &[Context, Socket, Number], N, Kept, socket::absent),
    helper(125, "ktime_get_boot_ns", Hooks::ALL, &[], N, Kept, clock::now),
    helper(130, "ringbuf_output", Hooks::ALL, &[Map, Read(Size::Argument(3)), Number, Number], N, Kept, ring::output),
    helper(131, "ringbuf_reserve", Hooks::ALL, &[Map, Number, Number], R, Kept, ring::reserve),
    helper(132, "ringbuf_submit", Hooks::ALL, &[Record, Number], N, Kept, ring::submit),
    helper(133, "ringbuf_discard", Hooks::ALL, &[Record, Number], N, Kept, ring::discard),
    helper(134, "ringbuf_query", Hooks::ALL, &[Map, Number], N, Kept, ring::query),
    helper(135, "csum_level", Hooks::TC, &[Context, Number], N, Kept, skb::checksum_level),
    helper(152, "redirect_neigh", Hooks::TC, &[Number, Read(Size::Argument(3)), Number, Number], N, Kept, redirect::neighbour),
    helper(155, "redirect_peer", Hooks::TC, &[Number, Number], N, Kept, redirect::peer),
    helper(160, "ktime_get_coarse_ns", Hooks::ALL, &[], N, Kept, clock::now),
    helper(163, "check_mtu", Hooks::XDP_TC, &[Context, Number, Change(Size::Bytes(4)), Number, Number], N, Kept, redirect::check_mtu),
    helper(164, "for_each_map_elem", Hooks::ALL, &[Map, Function, Any, Number], N, Kept, clock::zero),
    helper(165, "snprintf", Hooks::ALL, &[Room(Size::Argument(2)), Number, Text, Read(Size::Argument(5)), Number], N, Kept, text::format),
    helper(177, "trace_vprintk", Hooks::ALL, &[Read(Size::Argument(2)), Number, Read(Size::Argument(4)), Number], N, Kept, text::print_many),
    helper(181, "loop", Hooks::ALL, &[Number, Function, Any, Number], N, Kept, clock::zero),
    helper(182, "strncmp", Hooks::ALL, &[Read(Size::Argument(2)), Number, Text], N, Kept, text::compare),
    helper(188, "xdp_get_buff_len", Hooks::XDP, &[Context], N, Kept, xdp::buffer_length),
    helper(189, "xdp_load_bytes", Hooks::XDP, &[Context, Number, Room(Size::Argument(4)), Number], N, Kept, xdp::load_bytes),
    helper(190, "xdp_store_bytes", Hooks::XDP, &[Context, Number, Read(Size::Argument(4)), Number], N, Kept, xdp::store_bytes),
    helper(192, "skb_set_tstamp", Hooks::TC, &[Context, Number, Number], N, Kept, skb::set_tstamp),
    helper(195, "map_lookup_percpu_elem", Hooks::ALL, &[Map, KEY, Number], V, Kept, map::lookup_percpu),
    helper(197, "dynptr_from_mem", Hooks::ALL, &[Any, Number, Number, Write(DYNPTR)], N, Kept, dynamic::from_memory),
    helper(198, "ringbuf_reserve_dynptr", Hooks::ALL, &[Map, Number, Number, Write(DYNPTR)], N, Kept, dynamic::reserve),
    helper(199, "ringbuf_submit_dynptr", Hooks::ALL, &[Change(DYNPTR), Number], N, Kept, dynamic::submit),
    helper(200, "ringbuf_discard_dynptr", Hooks::ALL, &[Change(DYNPTR), Number], N, Kept, dynamic::discard),
    helper(201, "dynptr_read", Hooks::ALL, &[Room(Size::Argument(2)), Number, Read(DYNPTR), Number, Number], N, Kept, dynamic::read),
    helper(202, "dynptr_write", Hooks::ALL, &[Read(DYNPTR), Number, Read(Size::Argument(4)), Number, Number], N, Kept, dynamic::write),
    helper(203, "dynptr_data", Hooks::ALL, &[Read(DYNPTR), Number, Number], N, Kept, dynamic::data),
    helper(208, "ktime_get_tai_ns", Hooks::ALL, &[], N, Kept, clock::now),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_stand_in_the_order_of_their_numbers() {
        assert!(HELPERS.is_sorted_by(|one, other| one.number < other.number));
    }

    #[test]
    fn sizes_name_arguments_that_are_numbers() {
        for helper in HELPERS {
            assert!(helper.arguments.len() <= 5, "{}", helper.name);
            for argument in helper.arguments {
                let (Read(size) | Write(size) | Room(size) | Change(size)) = argument else { continue };
                match size {
                    Size::Argument(number) => {
                        let named = helper.arguments.get(*number as usize - 1);
                        assert_eq!(named, Some(&Number), "{}", helper.name);
                    }
                    Size::Key | Size::Value => assert_eq!(helper.arguments[0], Map, "{}", helper.name),
                    Size::Bytes(_) => {}
                }
            }
        }
    }
}

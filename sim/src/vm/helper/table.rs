//! The table of helpers: all that the VM has, one line each, and the only place that says what a helper is.
//!
//! From it come the registers a call reads, the memory it reads and writes, the hooks that have it, and the table in `docs/vm.md`.
//! Numbers and names are those of `include/uapi/linux/bpf.h`, hooks those of the kernel's `func_proto` functions, v6.18.

use super::super::context::Hook;
use super::{clock, map, packet, ring, xdp};

/// The hooks that have a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks(u8);

impl Hooks {
    const XDP: Self = Self(1);
    const TC: Self = Self(2);
    const SOCKET: Self = Self(4);
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
    /// Bytes that the helper reads and writes.
    Change(Size),
    /// A ring buffer's reserved record.
    Record,
    /// A function of the program's.
    Function,
    /// Handed to the function; anything.
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
    /// Its bytes, length or place may change; older packet pointers are void.
    Changed,
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
        self.arguments.iter().any(|argument| matches!(argument, Argument::Write(_) | Argument::Change(_) | Argument::Function))
    }
}

/// The helper of a number, if the VM has it.
#[must_use]
pub fn find(number: i32) -> Option<&'static Helper> {
    let position = HELPERS.binary_search_by_key(&number, |helper| helper.number).ok()?;
    HELPERS.get(position)
}

use Answer::{Number as N, Record as R, Value as V};
use Argument::{Context, Map, Number, Read, Record, Write};
use Packet::{Changed, Kept};

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

/// All helpers, by number.
#[rustfmt::skip]
pub static HELPERS: &[Helper] = &[
    helper(1, "map_lookup_elem", Hooks::ALL, &[Map, KEY], V, Kept, map::lookup),
    helper(2, "map_update_elem", Hooks::ALL, &[Map, KEY, VALUE, Number], N, Kept, map::update),
    helper(3, "map_delete_elem", Hooks::ALL, &[Map, KEY], N, Kept, map::delete),
    helper(5, "ktime_get_ns", Hooks::ALL, &[], N, Kept, clock::now),
    helper(7, "get_prandom_u32", Hooks::ALL, &[], N, Kept, clock::random),
    helper(8, "get_smp_processor_id", Hooks::ALL, &[], N, Kept, clock::zero),
    helper(26, "skb_load_bytes", Hooks::SKB, &[Context, Number, Write(Size::Argument(4)), Number], N, Kept, packet::load_bytes),
    helper(39, "skb_pull_data", Hooks::TC, &[Context, Number], N, Changed, packet::pull_data),
    helper(44, "xdp_adjust_head", Hooks::XDP, &[Context, Number], N, Changed, xdp::adjust_head),
    helper(54, "xdp_adjust_meta", Hooks::XDP, &[Context, Number], N, Changed, xdp::adjust_meta),
    helper(65, "xdp_adjust_tail", Hooks::XDP, &[Context, Number], N, Changed, xdp::adjust_tail),
    helper(125, "ktime_get_boot_ns", Hooks::ALL, &[], N, Kept, clock::now),
    helper(131, "ringbuf_reserve", Hooks::ALL, &[Map, Number, Number], R, Kept, ring::reserve),
    helper(132, "ringbuf_submit", Hooks::ALL, &[Record, Number], N, Kept, ring::submit),
    helper(160, "ktime_get_coarse_ns", Hooks::ALL, &[], N, Kept, clock::now),
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
                let (Read(size) | Write(size) | Argument::Change(size)) = argument else { continue };
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

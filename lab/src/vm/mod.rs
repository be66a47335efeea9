//! The VM: runs a BPF object's own bytecode in user space, without root and without a kernel.
//!
//! The engine is rbpf's interpreter, which knows no maps, few faults and some wrong results; this module is what lies between
//! it and an unmodified Linux object. In the order of a program's way:
//!
//! ```text
//! bpf::Object -> object -> (instruction, synonym, inline, function, provenance, liveness) -> lower (access, call, guard, shadow)
//!                                                     ^ walk, step, known                    -> rbpf <-> helper <-> map
//!                                                                                               ^ memory, stack, context (field)
//! ```
//!
//! What holds for every run:
//! - **Meaning.** An instruction that rbpf would run wrongly is rewritten into others, or rejected with an error that names it at load ([`VmError::Refused`]).
//! - **Memory.** Context, packet, stack and map values are tested to the byte, in instructions and in helper arguments.
//!   A byte of the stack that is read must have been written in its frame (`shadow`).
//!   A fault ends the run and names the instruction ([`VmError::Fault`]).
//! - **Time** is an argument; the helpers for clocks all answer it.
//! - **Limit.** [`Options::instructions_max`] is charged at loop heads (the loop's length) and calls (the function's length), so it
//!   is a bound, not a count.
//! - **Maps** behave as in the kernel as far as one thread can see. What a program changed through a looked-up value counts
//!   also when the run ends in a fault, as it would have in the kernel up to that instruction.
//!
//! A fault found inside a helper unwinds through rbpf, so the VM needs `panic = "unwind"` (the default).
//!
//! Where it is not the kernel: the one CPU is number 0, constants can be written, an entry of a big map that is
//! looked up lives in one of [`Options::windows`] windows. What there is of helpers and maps, and where they are not the kernel's, says
//! `docs/vm.md`. Not here: a verifier. A program that faults here is one that the kernel would not have loaded.

mod access;
mod arithmetic;
mod atomic;
mod call;
mod callback;
mod context;
mod emit;
mod error;
mod field;
mod follow;
mod function;
mod guard;
mod helper;
mod host;
mod inline;
mod instruction;
mod known;
mod liveness;
mod loaded;
mod lower;
mod map;
mod memory;
mod object;
mod provenance;
pub mod random;
mod record;
mod refusal;
mod run;
mod shadow;
mod spot;
mod stack;
mod step;
mod synonym;
mod trace;
mod walk;

pub use crate::bpf::{Hook, MapKind, NO_COMMON_LRU, NO_PREALLOC, Object, Program, Shape, disassembled, listing};
pub use context::Input;
pub use error::{Fault, VmError};
pub use follow::{Step, Walk, Watch};
pub use helper::{Answer, Argument, Forwarding, HELPERS, Helper, Hooks, NextHop, Packet, Route, Size};
pub use map::{ANY, EXIST, Eviction, Map, NOEXIST};
pub use object::shapes;
pub use record::{Record, Redirect};
pub use run::Vm;
pub use spot::Spot;
pub use trace::{Branch, Trace};

use std::collections::BTreeMap;

/// The kernel's name of a helper, without `bpf_`.
pub(crate) fn helper_name(number: i32) -> Option<&'static str> {
    helper::named(number)
}

/// Whether an instruction may go two ways.
#[must_use]
pub fn is_conditional(insn: &rbpf::ebpf::Insn) -> bool {
    trace::is_conditional(insn)
}

/// The registers that an instruction reads, ascending, but for the frame pointer.
#[must_use]
pub fn operands(insn: &rbpf::ebpf::Insn) -> Vec<u8> {
    let read = instruction::reads(insn);
    (0..instruction::FRAME).filter(|register| read & instruction::only(*register) != 0).collect()
}

/// The registers that an instruction overwrites, ascending.
#[must_use]
pub fn results(insn: &rbpf::ebpf::Insn) -> Vec<u8> {
    let written = instruction::writes(insn);
    (0..instruction::FRAME).filter(|register| written & instruction::only(*register) != 0).collect()
}

/// How to load and run an object's programs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Instructions that a run may execute, about. The kernel's verifier stops at a million as well.
    pub instructions_max: u64,
    /// Entries of one hash, or of one array of more than eight entries, that a run can look up held to the byte. Each slows memory access a
    /// little.
    pub windows: usize,
    /// So many entries more for runs that look up many; their ends rbpf does not see. Slows memory access a little, also if none is used.
    pub windows_more: usize,
    /// Which entry an LRU map evicts.
    pub eviction: Eviction,
    /// Whether ring buffers have room. Where nobody wants what programs send, a full one costs less: a range that rbpf does not scan.
    pub records: bool,
    /// The longest packet in bytes.
    pub packet_length_max: usize,
    /// Where `bpf_get_prandom_u32` starts, see [`random`].
    pub seed: u64,
    /// Bytes that a packet may have after its Ethernet header, by interface: what `bpf_check_mtu` asks for. Interface 1 is the loopback.
    pub mtus: BTreeMap<u32, u32>,
    /// Which interfaces forward packets, so that `bpf_fib_lookup` looks at the routes: none, as in a new network namespace.
    pub forwarding: BTreeMap<u32, Forwarding>,
    /// What `bpf_fib_lookup` looks at.
    pub routes: Vec<Route>,
    /// Whether runs count what they execute, see [`Vm::trace`]. Slower several times.
    pub trace: bool,
    /// Whether a run can be followed, see [`Vm::walk`]. Slower many times.
    pub walk: bool,
    /// For canaries: an opcode of the lowered program, and the one that runs in its place.
    #[doc(hidden)]
    pub mutation: Option<(u8, u8)>,
    /// For tests that nothing depends on it: what bytes of the stack hold that were never written.
    #[doc(hidden)]
    pub stack_fill: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            instructions_max: 1_000_000,
            windows: 4,
            windows_more: 1024,
            eviction: Eviction::default(),
            records: true,
            packet_length_max: 1 << 16,
            seed: random::SEED,
            mtus: BTreeMap::from([(1, 65536)]),
            forwarding: BTreeMap::new(),
            routes: Vec::new(),
            trace: false,
            walk: false,
            mutation: None,
            stack_fill: 0,
        }
    }
}

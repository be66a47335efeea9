//! Provenance: which registers hold a pointer whose object and offset are known, as the kernel's verifier would know them.
//!
//! Used for four things: accesses that cannot leave their map value need no test of their last byte; the stack is held to
//! each frame's own 512 bytes; each function's stack depth tells rbpf how far apart frames must lie; and where all that is read of the
//! stack was surely written before, nobody has to look when it runs. How it is found is in `walk`, what is known in `known`.

use super::Hook;
use super::helper::{self, Argument};
use super::instruction::{CALL, JMP, LDX, MODE_ATOMIC, ST, STX, class, mode, reference, size};
use super::known::{Known, STACK, State};
use super::lower::MapView;
use super::walk::{Depth, Walk};
use rbpf::ebpf::Insn;
use std::ops::Range;

/// What a load or store at an instruction needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: rbpf's own test is exact, or the access is inside its value.
    Exact,
    /// A test of its last byte.
    Probe,
    /// It leaves the frame's stack: it must not run.
    OutOfStack,
}

/// What a load or store at an instruction may touch of the stack's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// None, or such as were surely written before.
    Written,
    /// Bytes of its own frame.
    Frame,
    /// Maybe bytes of some frame.
    Maybe,
}

/// In results the number of a function's own frame, whichever that was.
const OWN: u8 = 0;

/// The result for all functions of a program.
#[derive(Debug)]
pub(super) struct Provenance {
    /// What each load, store and call goes by; of the stack, its own frame's only.
    bases: Vec<Option<Known>>,
    /// What the instruction touches of the stack was surely written before.
    written: Vec<bool>,
    context_length: usize,
    /// Same order as the functions given.
    pub(super) depths: Vec<Depth>,
    /// Something may read bytes of the stack that were never written.
    pub(super) may_read_unwritten: bool,
}

/// Steps of following each call's function: more than real programs take, and less than a second.
const STEPS_MAX: usize = 1 << 19;

impl Provenance {
    pub(super) fn new(length: usize, functions_count: usize, hook: Hook) -> Self {
        Self {
            bases: vec![None; length],
            written: vec![true; length],
            context_length: hook.context_length(),
            depths: vec![Depth::default(); functions_count],
            may_read_unwritten: false,
        }
    }

    /// Follows a program from its entry, with the context in r1. Functions stand in an order in which callers come first. `None`: it has
    /// too many ways.
    pub(super) fn of(program: &[Insn], functions: &[Range<usize>], hook: Hook, maps: &[MapView]) -> Option<Self> {
        let walk = || Walk::new(program, functions, hook, maps);
        let taken = program.iter().enumerate().filter_map(|(index, insn)| reference(index, insn));
        walk().followed(STEPS_MAX).or_else(|| walk().one_by_one(taken, 4 * STEPS_MAX))
    }

    fn base(&self, index: usize) -> Known {
        self.bases[index].unwrap_or(Known::NOTHING)
    }

    /// Where in the context the load or store at `index` starts, if it is one to the context.
    pub(super) fn context_offset(&self, index: usize, insn: &Insn) -> Option<i32> {
        match self.base(index) {
            Known::Context(start) => Some(start + i32::from(insn.off)),
            _ => None,
        }
    }

    /// Where in its own frame the load or store at `index` starts, if it is one to that.
    pub(super) fn stack_offset(&self, index: usize, insn: &Insn) -> Option<i32> {
        match self.base(index) {
            Known::Stack(_, start) => Some(start + i32::from(insn.off)),
            _ => None,
        }
    }

    /// Whether the load or store at `index` may be one to the context, at an offset that is then the instruction's own: the verifier lets no program
    /// follow an address of the context that it moved.
    pub(super) fn may_be_context(&self, index: usize) -> bool {
        matches!(self.base(index), Known::Maybe { context: true, .. })
    }

    /// The function whose address is the second argument of the call at `index`.
    pub(super) fn callback(&self, index: usize) -> Option<usize> {
        match self.base(index) {
            Known::Function(entry) => Some(entry),
            _ => None,
        }
    }

    /// Whether the load or store at `index` may be one to the packet.
    pub(super) fn may_be_packet(&self, index: usize) -> bool {
        matches!(self.base(index), Known::Packet(_) | Known::Maybe { .. })
    }

    /// What the load or store at `index` touches of the stack.
    pub(super) fn touch(&self, index: usize) -> Touch {
        match self.base(index) {
            _ if self.written[index] => Touch::Written,
            Known::Stack(..) => Touch::Frame,
            _ => Touch::Maybe,
        }
    }

    /// What the load or store at `index` needs.
    pub(super) fn access(&self, index: usize, insn: &Insn, value_size: impl Fn(usize) -> usize) -> Access {
        let (offset, size) = (i32::from(insn.off), i32::from(size(insn)));
        match self.base(index) {
            Known::Stack(_, start) => {
                let first = start + offset;
                if first < -STACK || first > -size { Access::OutOfStack } else { Access::Exact }
            }
            // rbpf tests the packet to the byte, and no 32-bit offset leads from there to a map.
            Known::Packet(_) => Access::Exact,
            Known::Context(start) if is_inside(start + offset, size, self.context_length) => Access::Exact,
            Known::Value(map, start) if is_inside(start + offset, size, value_size(map)) => Access::Exact,
            _ if size == 1 => Access::Exact,
            _ => Access::Probe,
        }
    }
}

impl Walk<'_> {
    /// Keeps what is known before an instruction.
    pub(super) fn take(&mut self, index: usize, state: &State) {
        let insn = &self.program[index];
        let base = match class(insn) {
            JMP if insn.opc == CALL => state.registers[2],
            LDX => state.registers[insn.src as usize],
            ST | STX => state.registers[insn.dst as usize],
            _ => return,
        };
        let base = match base {
            Known::Stack(number, offset) if number == state.depth() => Known::Stack(OWN, offset),
            known if known.may_be_stack() => known.weakened(),
            known => known,
        };
        let reads_written = self.reads_written(insn, state);
        let found = &mut self.found;
        found.bases[index] = Some(found.bases[index].map_or(base, |known| known.met(base)));
        let is_trapped = class(insn) != JMP && found.access(index, insn, |_| 0) == Access::OutOfStack;
        found.may_read_unwritten |= !reads_written && !is_trapped;
        let is_written = if matches!(class(insn), ST | STX) { is_written(insn, insn.dst, state) } else { reads_written };
        self.found.written[index] &= is_written;
    }

    /// Whether what the instruction reads of the stack was surely written before; true for one that reads nothing of it.
    fn reads_written(&self, insn: &Insn, state: &State) -> bool {
        let is_atomic = class(insn) == STX && mode(insn) == MODE_ATOMIC;
        match class(insn) {
            LDX => is_written(insn, insn.src, state),
            STX if is_atomic => is_written(insn, insn.dst, state),
            JMP if insn.opc == CALL && insn.src == 0 => helper::find(insn.imm).is_none_or(|helper| {
                (1..).zip(helper.arguments).all(|(register, argument)| self.takes_written(insn, register, *argument, state))
            }),
            _ => true,
        }
    }

    fn takes_written(&self, insn: &Insn, register: usize, argument: Argument, state: &State) -> bool {
        const PRINTERS: [i32; 2] = [165, 177];
        let known = state.registers[register];
        match argument {
            Argument::Read(_) | Argument::Change(_) if !known.may_be_stack() => true,
            // What these read may be addresses of text.
            Argument::Read(_) if PRINTERS.contains(&insn.imm) && state.has_stack_in_slots() => false,
            Argument::Read(size) | Argument::Change(size) => {
                self.length(size, state).is_some_and(|length| length == 0 || state.is_written(known, 0, length))
            }
            Argument::Text => !known.may_be_stack(),
            Argument::Any => {
                !known.may_be_stack() || helper::find(insn.imm).is_some_and(|helper| helper.arguments.contains(&Argument::Function))
            }
            _ => true,
        }
    }
}

/// Whether the bytes at a load or store through `base` are surely written, or not the stack's.
fn is_written(insn: &Insn, base: u8, state: &State) -> bool {
    let known = state.registers[base as usize];
    !known.may_be_stack() || state.is_written(known, insn.off.into(), size(insn).into())
}

fn is_inside(first: i32, size: i32, value_size: usize) -> bool {
    first >= 0 && usize::try_from(first + size).is_ok_and(|end| end <= value_size)
}

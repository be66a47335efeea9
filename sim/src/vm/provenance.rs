//! Provenance: which registers hold a pointer whose object and offset are known, as the kernel's verifier would know them.
//!
//! Used for three things: accesses that cannot leave their map value need no test of their last byte; the stack is held to
//! each frame's own 512 bytes; and each function's stack depth tells rbpf how far apart frames must lie. Knowledge is only
//! ever dropped where paths meet, so what is not known is treated as anything.

use super::Hook;
use super::helper::{self, Answer, Helper};
use super::instruction::{
    ADD, ALU, ALU64, CALL, FRAME, JMP, LD, LD_IMM64, LDX, MODE_ATOMIC, MODE_MEM, MOV, ST, STX, SUB, X, class, is_end, is_jump, mode,
    operation, reference, size, target, writes,
};
use rbpf::ebpf::Insn;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a frame's stack.
pub(super) const STACK: i32 = 512;
const SLOTS: usize = 64;

/// Offsets are followed up to here: far above any object, and sums stay inside 32 bits however long a loop adds.
const REACH: u32 = 1 << 29;

/// What is known of a register or a stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// Context plus offset.
    Context(i32),
    /// Start of the packet plus offset.
    Packet(i32),
    /// Top of the frame's stack plus offset.
    Stack(i32),
    /// A map.
    Map(usize),
    /// A function, by its first instruction.
    Function(usize),
    /// A value of a map plus offset, or null plus offset.
    Value(usize, i32),
}

/// Registers and stack slots at one point of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    registers: [Known; 11],
    slots: [Known; SLOTS],
}

/// What was found out about a function.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Depth {
    /// Bytes of stack it uses, as far as its pointers say.
    pub(super) bytes: i32,
    /// It does arithmetic on the bare frame pointer that hides how deep it goes.
    pub(super) is_open: bool,
}

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

/// The result for all functions of a program.
#[derive(Debug)]
pub(super) struct Provenance {
    bases: Vec<Known>,
    context_length: usize,
    /// Same order as the functions given.
    pub(super) depths: Vec<Depth>,
}

impl Provenance {
    /// Follows every function from its entry; the first is the main program and gets the context in r1, the others what all their calls
    /// pass alike. Functions stand in an order in which callers come first.
    pub(super) fn of(program: &[Insn], functions: &[Range<usize>], hook: Hook) -> Self {
        let mut bases = vec![Known::Nothing; program.len()];
        let mut depths = Vec::with_capacity(functions.len());
        // A function that somebody takes the address of is called with anything.
        let taken = program.iter().enumerate().filter_map(|(index, insn)| reference(index, insn));
        let mut entries: BTreeMap<usize, [Known; 6]> = taken.map(|entry| (entry, [Known::Nothing; 6])).collect();
        for function in functions {
            let mut walk = Walk { program, hook, start: function.start, states: vec![None; function.len()], depth: Depth::default() };
            let mut arguments = entries.get(&function.start).copied().unwrap_or([Known::Nothing; 6]);
            if function.start == 0 {
                arguments = [Known::Nothing; 6];
                arguments[1] = Known::Context(0);
            }
            walk.run(&arguments);
            for (index, state) in function.clone().zip(&walk.states) {
                let (Some(state), insn) = (state, &program[index]) else { continue };
                if insn.opc == CALL && insn.src == 1 {
                    pass(&mut entries, target(index, insn).unwrap_or(usize::MAX), &state.registers);
                }
                bases[index] = match class(insn) {
                    JMP if insn.opc == CALL => state.registers[2],
                    LDX => state.registers[insn.src as usize],
                    ST | STX => state.registers[insn.dst as usize],
                    _ => Known::Nothing,
                };
            }
            depths.push(walk.depth);
        }
        Self { bases, context_length: hook.context_length(), depths }
    }

    /// Where in the context the load or store at `index` starts, if it is one to the context.
    pub(super) fn context_offset(&self, index: usize, insn: &Insn) -> Option<i32> {
        match self.bases[index] {
            Known::Context(start) => Some(start + i32::from(insn.off)),
            _ => None,
        }
    }

    /// The function whose address is the second argument of the call at `index`.
    pub(super) fn callback(&self, index: usize) -> Option<usize> {
        match self.bases[index] {
            Known::Function(entry) => Some(entry),
            _ => None,
        }
    }

    /// Whether the load or store at `index` may be one to the packet.
    pub(super) fn may_be_packet(&self, index: usize) -> bool {
        matches!(self.bases[index], Known::Packet(_) | Known::Nothing)
    }

    /// What the load or store at `index` needs.
    pub(super) fn access(&self, index: usize, insn: &Insn, value_size: impl Fn(usize) -> usize) -> Access {
        let (offset, size) = (i32::from(insn.off), i32::from(size(insn)));
        match self.bases[index] {
            Known::Stack(start) => {
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

/// Notes what a call passes to the function that starts at `entry`: what lies in the caller's frame lies nowhere in the callee's.
fn pass(entries: &mut BTreeMap<usize, [Known; 6]>, entry: usize, registers: &[Known; 11]) {
    let mut given = [Known::Nothing; 6];
    for (given, register) in given[1..].iter_mut().zip(&registers[1..]) {
        *given = if matches!(register, Known::Stack(_)) { Known::Nothing } else { *register };
    }
    let known = entries.entry(entry).or_insert(given);
    for (known, given) in known.iter_mut().zip(given) {
        if *known != given {
            *known = Known::Nothing;
        }
    }
}

struct Walk<'a> {
    program: &'a [Insn],
    hook: Hook,
    start: usize,
    states: Vec<Option<State>>,
    depth: Depth,
}

impl Walk<'_> {
    fn run(&mut self, arguments: &[Known; 6]) {
        let mut registers = [Known::Nothing; 11];
        registers[..6].copy_from_slice(arguments);
        registers[FRAME as usize] = Known::Stack(0);
        let mut pending = Vec::new();
        self.meet(self.start, &State { registers, slots: [Known::Nothing; SLOTS] }, &mut pending);
        while let Some(index) = pending.pop() {
            let Some(mut state) = self.states[index - self.start].clone() else { continue };
            let insn = &self.program[index];
            self.step(index, &mut state);
            if is_jump(insn)
                && let Some(target) = target(index, insn)
            {
                self.meet(target, &state, &mut pending);
            }
            if !is_end(insn) {
                self.meet(index + if insn.opc == LD_IMM64 { 2 } else { 1 }, &state, &mut pending);
            }
        }
    }

    fn meet(&mut self, index: usize, state: &State, pending: &mut Vec<usize>) {
        let Some(place) = index.checked_sub(self.start).and_then(|at| self.states.get_mut(at)) else { return };
        let Some(there) = place else {
            *place = Some(state.clone());
            pending.push(index);
            return;
        };
        let mut changed = false;
        let pairs = there.registers.iter_mut().zip(&state.registers).chain(there.slots.iter_mut().zip(&state.slots));
        for (old, new) in pairs {
            if *old != *new && *old != Known::Nothing {
                *old = Known::Nothing;
                changed = true;
            }
        }
        if changed {
            pending.push(index);
        }
    }

    fn step(&mut self, index: usize, state: &mut State) {
        let insn = &self.program[index];
        let dst = insn.dst as usize;
        match class(insn) {
            LD => {
                let next = self.program.get(index + 1).map_or(0, |next| next.imm);
                state.registers[dst] = match insn.src {
                    1 => Known::Map(usize::try_from(insn.imm).unwrap_or(usize::MAX)),
                    4 => reference(index, insn).map_or(Known::Nothing, Known::Function),
                    2 if next.unsigned_abs() < REACH => Known::Value(usize::try_from(insn.imm).unwrap_or(usize::MAX), next),
                    _ => Known::Nothing,
                };
            }
            LDX => state.registers[dst] = self.load(insn, state),
            ST | STX => self.store(insn, state),
            ALU | ALU64 => state.registers[dst] = self.compute(insn, state),
            JMP if insn.opc == CALL => {
                let found = match (insn.src, insn.imm, state.registers[1]) {
                    (0, number, Known::Map(map)) if answers_value(number) => Known::Value(map, 0),
                    _ => Known::Nothing,
                };
                state.registers[..6].fill(Known::Nothing);
                state.registers[0] = found;
                if insn.src != 0 || helper::find(insn.imm).is_none_or(Helper::writes_memory) {
                    state.slots.fill(Known::Nothing);
                }
            }
            _ => {}
        }
    }

    fn load(&mut self, insn: &Insn, state: &State) -> Known {
        match state.registers[insn.src as usize] {
            Known::Stack(start) => {
                let offset = start + i32::from(insn.off);
                self.note(offset);
                match slot(offset) {
                    Some(slot) if size(insn) == 8 && mode(insn) == MODE_MEM => state.slots[slot],
                    _ => Known::Nothing,
                }
            }
            Known::Context(start) => {
                let is_data = self.hook.data_offset() == Some(start + i32::from(insn.off));
                if is_data && size(insn) == 4 && mode(insn) == MODE_MEM { Known::Packet(0) } else { Known::Nothing }
            }
            _ => Known::Nothing,
        }
    }

    fn store(&mut self, insn: &Insn, state: &mut State) {
        match state.registers[insn.dst as usize] {
            Known::Stack(start) => {
                let offset = start + i32::from(insn.off);
                self.note(offset);
                for slot in offset.div_euclid(8)..=(offset + i32::from(size(insn)) - 1).div_euclid(8) {
                    if let Some(known) = usize::try_from(slot + 64).ok().and_then(|slot| state.slots.get_mut(slot)) {
                        *known = Known::Nothing;
                    }
                }
                if let Some(slot) = slot(offset)
                    && class(insn) == STX
                    && size(insn) == 8
                    && mode(insn) == MODE_MEM
                {
                    state.slots[slot] = state.registers[insn.src as usize];
                }
            }
            // These three cannot be the stack: an access that leaves them ends the run.
            Known::Context(_) | Known::Packet(_) | Known::Value(..) => {}
            Known::Nothing | Known::Map(_) | Known::Function(_) => state.slots.fill(Known::Nothing),
        }
        if class(insn) == STX && mode(insn) == MODE_ATOMIC {
            for register in 0..10 {
                if writes(insn) & (1 << register) != 0 {
                    state.registers[register] = Known::Nothing;
                }
            }
        }
    }

    fn compute(&mut self, insn: &Insn, state: &State) -> Known {
        let old = state.registers[insn.dst as usize];
        let other = if insn.opc & X != 0 { state.registers[insn.src as usize] } else { Known::Nothing };
        if class(insn) == ALU64 {
            match (operation(insn), insn.opc & X != 0) {
                (MOV, true) if insn.off == 0 => return other,
                (MOV, _) => return Known::Nothing,
                (ADD, false) => return self.moved(old, i64::from(insn.imm)),
                (SUB, false) => return self.moved(old, -i64::from(insn.imm)),
                _ => {}
            }
        }
        // Unknown arithmetic upon an object inside the frame stays above its start; upon the bare frame pointer it may not.
        for known in [old, other] {
            if matches!(known, Known::Stack(offset) if offset >= 0) {
                self.depth.is_open = true;
            }
        }
        Known::Nothing
    }

    fn moved(&mut self, known: Known, by: i64) -> Known {
        let sum = |start: i32| i32::try_from(i64::from(start) + by).ok().filter(|sum| sum.unsigned_abs() < REACH);
        let moved = match known {
            Known::Context(start) => sum(start).map(Known::Context),
            Known::Packet(start) => sum(start).map(Known::Packet),
            Known::Stack(start) => sum(start).map(Known::Stack),
            Known::Value(map, start) => sum(start).map(|start| Known::Value(map, start)),
            Known::Nothing | Known::Map(_) | Known::Function(_) => None,
        };
        if let Some(Known::Stack(offset)) = moved {
            self.note(offset);
        }
        moved.unwrap_or(Known::Nothing)
    }

    fn note(&mut self, offset: i32) {
        self.depth.bytes = self.depth.bytes.max(-offset);
    }
}

/// Whether a helper answers the address of one of a map's values.
fn answers_value(number: i32) -> bool {
    helper::find(number).is_some_and(|helper| helper.answer == Answer::Value)
}

fn is_inside(first: i32, size: i32, value_size: usize) -> bool {
    first >= 0 && usize::try_from(first + size).is_ok_and(|end| end <= value_size)
}

/// The slot of eight bytes that starts at this offset from the frame's top.
fn slot(offset: i32) -> Option<usize> {
    (offset % 8 == 0).then(|| usize::try_from(offset / 8 + 64).ok().filter(|slot| *slot < SLOTS)).flatten()
}

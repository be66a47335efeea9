//! Which call made a register's address invalid: the path walked again, with what its instructions copy, spill and fill.
//!
//! After a call that may change the packet, or that releases what was acquired, the verifier takes each address of that kind for a number, in all
//! registers and on the stack, and says nothing of it. Only the access that follows is refused: `R7 invalid mem access 'scalar'`. What the
//! log shows of a register counts; between two such lines the program's own instructions do.
//!
//! Not here: which calls do that (`effect`).

use super::effect::{self, Effect};
use super::place::Place;
use super::state::{self, Shown};
use crate::bpf::{Insn, Program};
use rbpf::ebpf;
use std::collections::BTreeMap;

/// What became of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Place on the path of the instruction that did it.
    pub(super) position: usize,
    pub(super) kind: Kind,
    /// A kernel may see it otherwise: what comes later and is sure counts more.
    is_sure: bool,
    /// The address before, as the log has its kind: `pkt`, `ringbuf_mem`.
    pub(super) was: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The packet may have moved.
    Packet,
    /// It was released.
    Released,
    /// The lock that protects it was given back.
    Unlocked,
    /// The dynptr that it is a slice of was overwritten.
    Overwritten,
}

/// A register, or eight bytes of the stack.
#[derive(Debug, Clone, Default)]
struct Value {
    /// The kind of address, as the log has it; empty for numbers.
    kind: String,
    /// An address in the packet, or of a slice of it.
    is_packet: bool,
    /// A dynptr over the packet.
    is_over_packet: bool,
    is_non_owning: bool,
    /// The number of what was acquired.
    reference: Option<u32>,
    /// Frame and offset of an address in the stack.
    stack: Option<(usize, i32)>,
    /// Where the dynptr is that this is a slice of.
    dynptr: Option<(usize, i32)>,
    lost: Option<Loss>,
}

#[derive(Debug, Clone, Default)]
struct Frame {
    registers: [Value; 11],
    slots: BTreeMap<i32, Value>,
}

/// The state after a part of the path.
struct State<'a> {
    program: &'a Program,
    frames: Vec<Frame>,
    frame: usize,
}

/// The register that the message is about whose address the path made invalid, and how. `before` is what the log shows before the path.
pub(super) fn find(program: &Program, before: &str, path: &[Place], message: &str) -> Option<(u8, Loss)> {
    let (last, way) = path.split_last()?;
    let mut state = State { program, frames: Vec::new(), frame: 0 };
    state.show(before);
    for (position, place) in way.iter().enumerate() {
        state.step(position, place);
    }
    let registers = named(message)
        .map_or_else(|| if last.text.starts_with("call ") { (1..=5).collect() } else { Vec::new() }, |register| vec![register]);
    registers.into_iter().find_map(|register| Some((register, state.loss(register)?)))
}

/// `R7 invalid mem access 'scalar'`
fn named(message: &str) -> Option<u8> {
    let words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter_map(|word| word.strip_prefix('R')?.parse().ok()).find(|register| *register <= 10)
}

impl State<'_> {
    /// Of a register, or of what it points to on the stack.
    fn loss(&self, register: u8) -> Option<Loss> {
        let value = self.frames.get(self.frame)?.registers.get(usize::from(register))?;
        value.lost.clone().or_else(|| self.slot(value.stack?)?.lost.clone())
    }

    fn step(&mut self, position: usize, place: &Place) {
        self.enter(self.frame);
        let next = place.after.iter().rev().find_map(|text| state::frame(text)).unwrap_or(self.frame);
        let insn = self.program.instructions.get(place.instruction).cloned();
        if let Some(insn) = insn {
            match insn.opc {
                ebpf::CALL if next > self.frame => self.descend(&insn, next),
                ebpf::CALL => self.call(position, place),
                ebpf::EXIT if next < self.frame => self.ascend(next),
                _ => self.execute(position, &insn),
            }
        }
        for text in &place.after {
            self.show(text);
        }
        self.frame = next;
    }

    fn enter(&mut self, frame: usize) {
        while self.frames.len() <= frame {
            let mut fresh = Frame::default();
            fresh.registers[10].stack = Some((self.frames.len(), 0));
            self.frames.push(fresh);
        }
    }

    fn descend(&mut self, insn: &Insn, next: usize) {
        self.frames.truncate(self.frame + 1);
        self.enter(next);
        // Callbacks get other arguments than the function that calls them.
        if insn.src == 1 {
            for register in 1..=5 {
                self.frames[next].registers[register] = self.frames[self.frame].registers[register].clone();
            }
        }
        for register in 0..=5 {
            self.frames[self.frame].registers[register] = Value::default();
        }
    }

    fn ascend(&mut self, next: usize) {
        self.frames[next].registers[0] = self.frames[self.frame].registers[0].clone();
        self.frames.truncate(next + 1);
    }

    fn call(&mut self, position: usize, place: &Place) {
        let argument = |state: &Self, register: usize| state.frames[state.frame].registers[register].clone();
        let first = argument(self, 1);
        let first_slot = first.stack.and_then(|place| self.slot(place).cloned());
        for effect in effect::of(self.program, place.instruction, &place.text) {
            match effect {
                Effect::ChangesPacket => self.lose(position, Kind::Packet, |value| value.is_packet),
                Effect::MayChangePacket => self.doubt(position),
                Effect::WritesDynptr if first_slot.as_ref().is_some_and(|slot| slot.is_over_packet) => {
                    self.lose(position, Kind::Packet, |value| value.is_packet);
                }
                Effect::WritesDynptr | Effect::GivesSlice => {}
                Effect::Unlocks => self.lose(position, Kind::Unlocked, |value| value.is_non_owning),
                Effect::Releases | Effect::Shares => {
                    let arguments = (1..=5).map(|register| argument(self, register));
                    let held = arguments.map(|value| value.reference.or_else(|| self.slot(value.stack?)?.reference));
                    let Some(held) = held.flatten().next() else { continue };
                    if matches!(effect, Effect::Shares) {
                        let is_it = |value: &&mut Value| value.reference == Some(held);
                        self.values().filter(is_it).for_each(|value| (value.reference, value.is_non_owning) = (None, true));
                    } else {
                        self.lose(position, Kind::Released, |value| value.reference == Some(held));
                    }
                }
            }
        }
        for register in 0..=5 {
            self.frames[self.frame].registers[register] = Value::default();
        }
        if effect::of(self.program, place.instruction, &place.text).contains(&Effect::GivesSlice) {
            let result = &mut self.frames[self.frame].registers[0];
            result.dynptr = first.stack;
            result.is_packet = first_slot.is_some_and(|slot| slot.is_over_packet);
        }
    }

    fn execute(&mut self, position: usize, insn: &Insn) {
        let (target, source) = (usize::from(insn.dst), usize::from(insn.src));
        if target > 10 || source > 10 {
            return;
        }
        let registers = &self.frames[self.frame].registers;
        let of_target = registers[target].clone();
        let of_source = registers[source].clone();
        let at = |base: &Value| base.stack.map(|(frame, offset)| (frame, offset + i32::from(insn.off)));
        let is_register = insn.opc & ebpf::BPF_X != 0;
        let result = match insn.opc & 7 {
            ebpf::BPF_ALU64 => match insn.opc & 0xf0 {
                ebpf::BPF_MOV if is_register && insn.off == 0 => of_source,
                ebpf::BPF_ADD if is_register => {
                    let base = if of_target.is_number() { of_source } else { of_target };
                    Value { stack: None, ..base }
                }
                ebpf::BPF_SUB if is_register && of_source.is_number() => Value { stack: None, ..of_target },
                ebpf::BPF_ADD | ebpf::BPF_SUB if !is_register => {
                    let moved = if insn.opc & 0xf0 == ebpf::BPF_ADD { i64::from(insn.imm) } else { -i64::from(insn.imm) };
                    let to = |offset: i32| i32::try_from(i64::from(offset) + moved).ok();
                    Value { stack: of_target.stack.and_then(|(frame, offset)| Some((frame, to(offset)?))), ..of_target }
                }
                _ => Value::default(),
            },
            ebpf::BPF_LDX if insn.opc == ebpf::LD_DW_REG => at(&of_source).and_then(|place| self.slot(place).cloned()).unwrap_or_default(),
            ebpf::BPF_ST | ebpf::BPF_STX => {
                if let Some(place) = at(&of_target) {
                    let whole = insn.opc == ebpf::ST_DW_REG;
                    self.store(position, place, size(insn), whole.then_some(of_source));
                }
                // Fetching atomics write a register; what they read is a number.
                if insn.opc & 0xe0 == 0xc0 && insn.imm & 1 != 0 {
                    let written = if insn.imm == 0xf1 { 0 } else { source };
                    self.frames[self.frame].registers[written] = Value::default();
                }
                return;
            }
            ebpf::BPF_JMP | ebpf::BPF_JMP32 => return,
            ebpf::BPF_LD if insn.opc != ebpf::LD_DW_IMM => {
                self.frames[self.frame].registers[..=5].fill(Value::default());
                return;
            }
            _ => Value::default(),
        };
        self.frames[self.frame].registers[target] = result;
    }

    fn store(&mut self, position: usize, (frame, offset): (usize, i32), bytes: i32, value: Option<Value>) {
        let Some(slots) = self.frames.get_mut(frame).map(|frame| &mut frame.slots) else { return };
        let touched: Vec<i32> = slots.range(offset - 15..offset + bytes).map(|(at, _)| *at).collect();
        let mut overwritten = Vec::new();
        for at in touched {
            let is_dynptr = slots[&at].kind.starts_with("dynptr");
            if at + if is_dynptr { 16 } else { 8 } > offset {
                slots.remove(&at);
                overwritten.extend(is_dynptr.then_some((frame, at)));
            }
        }
        if let Some(value) = value {
            slots.insert(offset, value);
        }
        for place in overwritten {
            self.lose(position, Kind::Overwritten, |value| value.dynptr == Some(place));
        }
    }

    fn slot(&self, (frame, offset): (usize, i32)) -> Option<&Value> {
        self.frames.get(frame)?.slots.get(&offset)
    }

    fn values(&mut self) -> impl Iterator<Item = &mut Value> {
        self.frames.iter_mut().flat_map(|frame| frame.registers.iter_mut().chain(frame.slots.values_mut()))
    }

    fn lose(&mut self, position: usize, kind: Kind, is_it: impl Fn(&Value) -> bool) {
        let is_open = |value: &Value| value.lost.as_ref().is_none_or(|loss| !loss.is_sure);
        for value in self.values().filter(|value| is_open(value) && is_it(value)) {
            let loss = Loss { position, kind, is_sure: true, was: std::mem::take(&mut value.kind) };
            *value = Value { lost: Some(loss), ..Value::default() };
        }
    }

    /// Addresses in the packet may be lost, and are kept in case they are not.
    fn doubt(&mut self, position: usize) {
        for value in self.values().filter(|value| value.lost.is_none() && value.is_packet) {
            value.lost = Some(Loss { position, kind: Kind::Packet, is_sure: false, was: value.kind.clone() });
        }
    }

    /// What the log says counts.
    fn show(&mut self, text: &str) {
        let Some(frame) = state::frame(text) else { return };
        self.enter(frame);
        for (name, shown) in state::registers(text) {
            let register = name.strip_prefix('r').and_then(|number| number.parse::<usize>().ok());
            if let Some(value) = register.and_then(|register| self.frames[frame].registers.get_mut(register)) {
                value.show(Shown::of(shown), frame);
            }
        }
        for (offset, shown) in state::slots(text) {
            self.frames[frame].slots.entry(offset).or_default().show(Shown::of(shown), frame);
        }
    }
}

impl Value {
    fn is_number(&self) -> bool {
        self.kind.is_empty() && self.lost.is_none() && self.stack.is_none()
    }

    fn show(&mut self, shown: Shown, frame: usize) {
        let Shown::Address { kind, reference, is_non_owning, stack } = shown else {
            // A number it is in either case; that it was an address is what is looked for.
            if self.lost.is_none() {
                *self = Self::default();
            }
            return;
        };
        if self.lost.is_some() {
            *self = Self::default();
        }
        self.is_packet |= kind.starts_with("pkt");
        self.is_over_packet |= kind.starts_with("dynptr_skb") || kind.starts_with("dynptr_xdp");
        self.is_non_owning = is_non_owning;
        self.reference = reference.or(self.reference);
        self.stack = stack.map(|(own, offset)| (own.unwrap_or(frame), offset)).or(self.stack);
        kind.clone_into(&mut self.kind);
    }
}

/// Bytes that an access touches.
fn size(insn: &Insn) -> i32 {
    match insn.opc & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

#[cfg(test)]
mod test;

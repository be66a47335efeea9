//! Steps: what one instruction does to what is known.

use super::helper::{self, Answer, Argument, Helper, Size};
use super::instruction::{
    ADD, ALU, ALU64, AND, CALL, FRAME, JMP, LD, LD_IMM64, LDX, LSH, MODE_ATOMIC, MODE_MEM, MOV, ST, STX, SUB, X, class, mode, only,
    operation, reference, size, target, writes,
};
use super::known::{Known, REACH, STACK, State};
use super::lower::MapView;
use super::walk::{Depth, Walk};
use rbpf::ebpf::{Insn, JGE_IMM, JGT_IMM, JLE_IMM, JLT_IMM};

impl Walk<'_> {
    /// Makes `state` what is known after the instruction; whether control goes on.
    pub(super) fn step(&mut self, index: usize, state: &mut State) -> bool {
        let insn = &self.program[index];
        let dst = insn.dst as usize;
        if insn.opc != CALL && writes(insn) & only(FRAME) != 0 {
            // It ends the run.
            return false;
        }
        match class(insn) {
            LD if insn.opc != LD_IMM64 => state.registers[..6].fill(Known::NOTHING),
            LD => state.registers[dst] = self.constant(index, insn),
            LDX => state.registers[dst] = self.load(insn, state),
            ST | STX => self.store(insn, state),
            ALU | ALU64 => state.registers[dst] = self.compute(insn, state),
            JMP if insn.opc == CALL && insn.src == 1 => return target(index, insn).is_some_and(|entry| self.enter(entry, state)),
            JMP if insn.opc == CALL => self.call(insn, state),
            _ => {}
        }
        true
    }

    /// What a conditional jump says of the number that it compares, where control goes on from it.
    pub(super) fn compare(insn: &Insn, is_taken: bool, state: &mut State) {
        let most = match (insn.opc, is_taken) {
            _ if insn.imm <= 0 => return,
            (JGT_IMM, false) | (JLE_IMM, true) => insn.imm,
            (JGE_IMM, false) | (JLT_IMM, true) => insn.imm - 1,
            _ => return,
        };
        let known = &mut state.registers[insn.dst as usize];
        if matches!(*known, Known::NOTHING | Known::Within(_)) {
            *known = Known::Within(most);
        }
    }

    fn constant(&self, index: usize, insn: &Insn) -> Known {
        let next = self.program.get(index + 1).map_or(0, |next| next.imm);
        match insn.src {
            0 if next == 0 && insn.imm >= 0 => Known::Number(insn.imm),
            1 => Known::Map(usize::try_from(insn.imm).unwrap_or(usize::MAX)),
            4 => reference(index, insn).map_or(Known::NOTHING, Known::Function),
            2 if next.unsigned_abs() < REACH => Known::Value(usize::try_from(insn.imm).unwrap_or(usize::MAX), next),
            _ => Known::NOTHING,
        }
    }

    fn load(&mut self, insn: &Insn, state: &State) -> Known {
        let is_whole = size(insn) == 8 && mode(insn) == MODE_MEM;
        let known = state.registers[insn.src as usize];
        self.note_access(known, insn);
        match known {
            known if known.may_be_stack() && is_whole => self.filled(known, insn, state),
            Known::Stack(..) => Known::NOTHING,
            Known::Context(start) => {
                let is_data = self.hook.data_offset() == Some(start + i32::from(insn.off));
                if is_data && size(insn) == 4 && mode(insn) == MODE_MEM { Known::Packet(0) } else { Known::NOTHING }
            }
            _ => match size(insn) {
                1 if mode(insn) == MODE_MEM => Known::Within(0xff),
                2 if mode(insn) == MODE_MEM => Known::Within(0xffff),
                _ => Known::NOTHING,
            },
        }
    }

    /// What eight bytes of the stack hold. Through an offset that is not known the verifier may know one, and the address that was spilled there.
    fn filled(&self, address: Known, insn: &Insn, state: &State) -> Known {
        let is_elsewhere = address.span().is_none() && self.is_one_by_one();
        if is_elsewhere { Known::ANYTHING } else { state.loaded(address, insn.off.into()) }
    }

    fn store(&mut self, insn: &Insn, state: &mut State) {
        let is_whole = class(insn) == STX && size(insn) == 8 && mode(insn) == MODE_MEM;
        let stored = if is_whole { state.registers[insn.src as usize] } else { Known::NOTHING };
        let known = state.registers[insn.dst as usize];
        self.note_access(known, insn);
        if class(insn) == STX && mode(insn) == MODE_ATOMIC {
            // What was there comes into a register, an address that was spilled there too.
            let is_filled = known.may_be_stack() && size(insn) == 8;
            let fetched = if is_filled { self.filled(known, insn, state) } else { Known::NOTHING };
            for register in (0..10).filter(|register| writes(insn) & (1 << register) != 0) {
                state.registers[register] = fetched;
            }
        }
        let (off, size) = (i32::from(insn.off), i32::from(size(insn)));
        match known {
            Known::Stack(number, start) if state.frame(number).is_some() => {
                let frame = state.frame_mut(number).expect("it is there");
                frame.clear(start + off, size);
                frame.set_slot(start + off, stored);
                frame.written.add(start + off, size);
            }
            // Not the stack: nothing, in all that the verifier takes. Nothing but what is known comes from other programs' slots: rbpf tests
            // each access.
            _ => state.may_store(known, off, size, stored),
        }
    }

    /// A call of a helper.
    fn call(&mut self, insn: &Insn, state: &mut State) {
        const FOR_EACH: i32 = 164;
        let helper = if insn.src == 0 { helper::find(insn.imm) } else { None };
        let found = match (helper, state.registers[1]) {
            (Some(helper), Known::Map(map)) if helper.answer == Answer::Value => Known::Value(map, 0),
            _ => Known::NOTHING,
        };
        match helper {
            Some(helper) if helper.arguments.contains(&Argument::Function) => {
                let (map, handed) = (state.registers[1], state.registers[3]);
                let mut arguments = [Known::NOTHING; 6];
                if insn.imm == FOR_EACH {
                    (arguments[1], arguments[4]) = (map, handed);
                } else {
                    arguments[2] = handed;
                }
                self.turn(arguments, state);
            }
            Some(helper) => self.fill(helper, state),
            None => state.blur(Known::ANYTHING),
        }
        state.registers[..6].fill(Known::NOTHING);
        state.registers[0] = found;
    }

    /// What a helper writes to the stack.
    fn fill(&self, helper: &Helper, state: &mut State) {
        for (register, argument) in (1..).zip(helper.arguments) {
            let (Argument::Write(size) | Argument::Change(size) | Argument::Room(size)) = argument else { continue };
            let known = state.registers[register];
            let length = self.length(*size, state);
            state.may_store(known, 0, self.length_max(*size, state), Known::NOTHING);
            if let (Known::Stack(number, start), Some(length)) = (known, length)
                && let Some(frame) = state.frame_mut(number)
            {
                if matches!(argument, Argument::Write(_)) {
                    frame.clear(start, length);
                }
                if !matches!(argument, Argument::Room(_)) {
                    frame.written.add(start, length);
                }
            }
        }
    }

    /// How many bytes an argument points to at most.
    fn length_max(&self, size: Size, state: &State) -> i32 {
        let within = match size {
            Size::Argument(number) => match state.registers[usize::from(number)] {
                Known::Within(most) => Some(most),
                _ => None,
            },
            _ => None,
        };
        self.length(size, state).or(within).unwrap_or(STACK)
    }

    /// How many bytes an argument points to, where that is known.
    pub(super) fn length(&self, size: Size, state: &State) -> Option<i32> {
        let of_map = |of: fn(&MapView) -> usize| match state.registers[1] {
            Known::Map(map) => self.maps.get(map).and_then(|map| i32::try_from(of(map)).ok()),
            _ => None,
        };
        let length = match size {
            Size::Bytes(count) => i32::try_from(count).ok(),
            Size::Argument(number) => match state.registers[usize::from(number)] {
                Known::Number(number) => Some(number),
                _ => None,
            },
            Size::Key => of_map(|map| map.key_size),
            Size::Value => of_map(|map| map.value_size),
        };
        length.filter(|length| (0..=i32::from(i16::MAX)).contains(length))
    }

    fn compute(&mut self, insn: &Insn, state: &State) -> Known {
        let old = state.registers[insn.dst as usize];
        let is_register = insn.opc & X != 0;
        let other = if is_register { state.registers[insn.src as usize] } else { Known::Number(insn.imm) };
        match (class(insn), operation(insn), old, other) {
            (ALU64, MOV, ..) => return if insn.off == 0 { other } else { Known::NOTHING },
            (ALU, MOV, _, Known::Number(0..) | Known::Within(_)) if insn.off == 0 => return other,
            (ALU, MOV, ..) if !is_register => return Known::NOTHING,
            (ALU64 | ALU, AND, Known::NOTHING | Known::Number(_) | Known::Within(_), Known::Number(mask @ 0..)) => {
                return Known::Within(mask);
            }
            (ALU64, LSH, Known::Within(most), Known::Number(by @ 0..16)) if most < 1 << 15 => return Known::Within(most << by),
            (ALU64, ADD, _, Known::Number(number)) => return self.moved(old, number.into()),
            (ALU64, SUB, _, Known::Number(number)) => return self.moved(old, -i64::from(number)),
            (ALU64, ADD, Known::Number(number), _) => return self.moved(other, number.into()),
            (ALU64, ADD, Known::Stack(number, start @ ..0), Known::Within(slack @ 0..0x1000))
            | (ALU64, ADD, Known::Within(slack @ 0..0x1000), Known::Stack(number, start @ ..0)) => {
                return Known::StackWithin(number, start, slack);
            }
            (ALU64, ADD, Known::StackWithin(number, start, one @ 0..0x1000), Known::Within(more @ 0..0x1000)) => {
                return Known::StackWithin(number, start, one + more);
            }
            _ => {}
        }
        // Half an address is none.
        if class(insn) != ALU64 {
            return Known::NOTHING;
        }
        // Unknown arithmetic may lead below all that is known of the frame.
        for known in [old, other] {
            self.open(known);
        }
        old.met(other).weakened()
    }

    /// Notes that it is not known how deep into a frame an address leads.
    fn open(&mut self, known: Known) {
        match known.span() {
            Some((number, ..)) => {
                if let Some(depth) = self.depth(number) {
                    depth.is_open = true;
                }
            }
            None if known.may_be_stack() => self.found.depths.iter_mut().for_each(|depth| depth.is_open = true),
            None => {}
        }
    }

    fn moved(&mut self, known: Known, by: i64) -> Known {
        let sum = |start: i32| i32::try_from(i64::from(start) + by).ok().filter(|sum| sum.unsigned_abs() < REACH);
        let moved = match known {
            Known::Context(start) => sum(start).map(Known::Context),
            Known::Packet(start) => sum(start).map(Known::Packet),
            Known::Stack(number, start) => sum(start).map(|start| Known::Stack(number, start)),
            Known::StackWithin(number, start, slack) => sum(start).map(|start| Known::StackWithin(number, start, slack)),
            Known::Value(map, start) => sum(start).map(|start| Known::Value(map, start)),
            _ => None,
        };
        if let Some((number, offset, _)) = moved.and_then(Known::span) {
            self.note(number, offset);
        } else if by < 0 || known.span().is_some() {
            self.open(known);
        }
        moved.unwrap_or(known.weakened())
    }

    fn note_access(&mut self, known: Known, insn: &Insn) {
        if let Some((number, start, _)) = known.span() {
            self.note(number, start + i32::from(insn.off));
        } else if insn.off < 0 {
            self.open(known);
        }
    }

    /// Notes how deep into a frame a pointer leads.
    fn note(&mut self, number: u8, offset: i32) {
        if let Some(depth) = self.depth(number) {
            depth.bytes = depth.bytes.max(-offset);
        }
    }

    /// Of the function that a frame belongs to.
    fn depth(&mut self, number: u8) -> Option<&mut Depth> {
        // Where functions are followed one by one the only frame is the innermost.
        let owner = self.owners.get(usize::from(number))?;
        self.found.depths.get_mut(*owner)
    }
}

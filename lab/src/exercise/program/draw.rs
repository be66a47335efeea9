//! Bytes -> a program that the kernel's verifier accepts, nearly always: every statement drawn keeps the rules by construction.
//!
//! What is drawn: all arithmetic in both widths, byte swaps, moves and loads with sign extension, signed division, atomics of every kind,
//! loads and stores of the stack, a map's value, the packet and the context, at fixed and at checked variable offsets; branches and
//! loops, functions and callbacks, lookups and changes of an array and a hash, packet loads of classic BPF.
//! What is not: helpers whose answer differs from run to run.

use arbitrary::Unstructured;

use super::code::{ARRAY, CONTEXT, COUNTERS, Function, KEY, Roles, SLOTS, SPILL, State, UNSPILLED, VALUE, bit};
use super::{ARRAY_MAP, CELL_MAP, HASH_MAP, KEYS_COUNT};
use crate::vm::Hook;

type Drawn<T> = arbitrary::Result<T>;

/// Instructions of a program, about.
const LENGTH_MAX: usize = 400;
/// Bytes of the packet that main tests for.
pub(super) const PACKET_CHECKED: i16 = 48;
/// The cell's bytes that statements reach; behind them lie the registers at the end, one word each.
pub(super) const CELL_REACH: i16 = 64;

/// The program being drawn.
pub(super) struct Draw<'a, 'b> {
    pub(super) bytes: &'a mut Unstructured<'b>,
    pub(super) hook: Hook,
    pub(super) functions: Vec<Function>,
    /// Instructions so far, in all functions.
    length: usize,
}

impl<'a, 'b> Draw<'a, 'b> {
    pub(super) fn new(bytes: &'a mut Unstructured<'b>, hook: Hook) -> Self {
        Self { bytes, hook, functions: Vec::new(), length: 0 }
    }

    /// The main program and all that it calls.
    pub(super) fn main(mut self) -> Drawn<Vec<Function>> {
        self.functions.push(Function::default());
        let mut main = Function::default();
        self.enter(&mut main)?;
        while !self.bytes.is_empty() && self.length + main.code.len() < LENGTH_MAX {
            self.statement(&mut main, 3)?;
        }
        self.leave(&mut main)?;
        self.functions[0] = main;
        Ok(self.functions)
    }

    /// The prologue: pointers into registers that stay theirs, numbers into the others.
    fn enter(&mut self, main: &mut Function) -> Drawn<()> {
        // Packet loads of classic BPF want the context in r6; the other two roles change places.
        let turn = u8::from(self.bytes.arbitrary::<bool>()?);
        let (value, packet) = (7 + turn, 8 - turn);
        main.mov(6, 1);
        main.push(0x7b, 10, 6, SPILL, 0);
        main.wide(value, 2, CELL_MAP, 0);
        main.push(0x7b, 10, value, SPILL - 8, 0);
        main.roles = Roles { context: Some(6), value: Some(value), ..Roles::default() };
        main.state.taken = bit(6) | bit(value) | bit(10);
        if let Some((data, data_end)) = data(self.hook) {
            main.push(0x61, packet, 6, data, 0);
            main.push(0x61, 1, 6, data_end, 0);
            main.mov(2, packet);
            main.add_imm(2, i32::from(PACKET_CHECKED));
            let short = main.jump(0xbd, 2, 1, 0); // jle
            main.mov_imm(0, 1);
            main.push(0x95, 0, 0, 0, 0);
            main.land(short);
            main.push(0x7b, 10, packet, SPILL - 16, 0);
            main.roles.packet = Some((packet, PACKET_CHECKED));
            main.state.taken |= bit(packet);
        }
        for slot in 0..4 {
            main.push(0x7a, 10, 0, ARRAY + slot * 8, i32::from(slot) - 1);
        }
        for register in 0..10 {
            if main.state.taken & bit(register) == 0 {
                main.push(0x79, register, value, i16::from(register % 8) * 8, 0);
                main.state.numbers |= bit(register);
            }
        }
        Ok(())
    }

    /// The epilogue: every number to the cell, one of them as the result.
    fn leave(&mut self, function: &mut Function) -> Drawn<()> {
        if let (Some(value), 0) = (function.roles.value, function.depth) {
            for register in 0..10 {
                if function.state.numbers & bit(register) != 0 {
                    function.push(0x7b, value, register, CELL_REACH + i16::from(register) * 8, 0);
                }
            }
        }
        let result = self.number(function)?;
        match result {
            Some(0) => {}
            Some(result) => function.mov(0, result),
            None => function.mov_imm(0, 7),
        }
        function.push(0x95, 0, 0, 0, 0);
        self.length += function.code.len();
        Ok(())
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Drawn<T> {
        Ok(from[usize::from(self.bytes.arbitrary::<u8>()?) % from.len()])
    }

    fn among(&mut self, set: u16) -> Drawn<Option<u8>> {
        let registers: Vec<u8> = (0..10).filter(|register| set & bit(*register) != 0).collect();
        if registers.is_empty() { Ok(None) } else { self.pick(&registers).map(Some) }
    }

    /// A register that holds a number.
    pub(super) fn number(&mut self, function: &Function) -> Drawn<Option<u8>> {
        self.among(function.state.numbers)
    }

    /// A register that may be overwritten, and is none of `busy`.
    pub(super) fn free(&mut self, function: &Function, busy: u16) -> Drawn<Option<u8>> {
        self.among(!(function.state.taken | busy))
    }

    /// A number in a register that may be overwritten.
    pub(super) fn variable(&mut self, function: &Function) -> Drawn<Option<u8>> {
        self.among(function.state.numbers & !function.state.taken)
    }

    pub(super) fn immediate(&mut self) -> Drawn<i32> {
        Ok(match self.bytes.arbitrary::<u8>()? {
            kind @ 0..128 => i32::from(kind) - 64,
            128..160 => i32::MIN,
            160..176 => i32::MAX,
            176..192 => 0xffff,
            _ => self.bytes.arbitrary()?,
        })
    }

    /// One statement; `nesting` more may be around others.
    pub(super) fn statement(&mut self, function: &mut Function, nesting: u8) -> Drawn<()> {
        let kind: u8 = self.bytes.arbitrary()?;
        match kind {
            0..64 => self.arithmetic(function),
            64..80 => self.spill(function, nesting),
            80..96 => self.constant(function),
            96..128 => self.memory(function),
            128..140 => self.atomic(function),
            140..152 => self.variable_offset(function),
            152..160 => self.context(function),
            160..168 => self.classic(function),
            168..184 => self.map(function),
            _ if nesting == 0 => self.arithmetic(function),
            184..224 => self.branch(function, nesting - 1),
            224..236 => self.repeat(function, nesting - 1),
            236..248 => self.call(function),
            248.. => self.callback(function),
        }
    }

    /// Up to `most` statements.
    fn block(&mut self, function: &mut Function, most: u8, nesting: u8) -> Drawn<()> {
        for _ in 0..=self.bytes.arbitrary::<u8>()? % most {
            if self.bytes.is_empty() || self.length + function.code.len() >= LENGTH_MAX {
                break;
            }
            self.statement(function, nesting)?;
        }
        Ok(())
    }

    /// The context waits on the stack, right behind what is written to meanwhile, comes back into any register, and one of its fields is touched.
    fn spill(&mut self, function: &mut Function, nesting: u8) -> Drawn<()> {
        let Some(context) = function.roles.context.filter(|_| !function.has_context_in_array) else { return self.context(function) };
        function.push(0x7b, 10, context, ARRAY + CONTEXT, 0);
        function.has_context_in_array = true;
        self.variable_offset(function)?;
        if nesting > 0 {
            self.block(function, 3, nesting - 1)?;
        }
        function.has_context_in_array = false;
        if let Some(filled) = self.free(function, 0)? {
            function.push(0x79, filled, 10, ARRAY + CONTEXT, 0);
            function.state.numbers &= !bit(filled);
            self.field(function, filled)?;
            function.forget(filled);
        }
        function.push(0x7a, 10, 0, ARRAY + CONTEXT, UNSPILLED);
        Ok(())
    }

    /// A condition of any kind over one block, or between two.
    fn branch(&mut self, function: &mut Function, nesting: u8) -> Drawn<()> {
        let Some(dst) = self.number(function)? else { return Ok(()) };
        let operation = self.pick(&[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0])?;
        let class = self.pick(&[0x05, 0x06])?;
        let choice: u8 = self.bytes.arbitrary()?;
        let jump = match self.number(function)? {
            Some(src) if choice & 1 != 0 => function.jump(operation | class | 0x08, dst, src, 0),
            _ => {
                let imm = self.immediate()?;
                function.jump(operation | class, dst, 0, imm)
            }
        };
        let before = function.state;
        self.block(function, 4, nesting)?;
        if choice & 2 == 0 {
            function.land(jump);
            function.state = function.state.meet(before);
            return Ok(());
        }
        let over = function.jump(if choice & 4 == 0 { 0x05 } else { 0x06 }, 0, 0, 0);
        function.land(jump);
        let first = std::mem::replace(&mut function.state, before);
        self.block(function, 4, nesting)?;
        function.land(over);
        function.state = function.state.meet(first);
        Ok(())
    }

    /// A loop of a constant number of turns, its counter in a register or on the stack.
    fn repeat(&mut self, function: &mut Function, nesting: u8) -> Drawn<()> {
        let turns = i32::from(self.bytes.arbitrary::<u8>()? % 6) + 1;
        let before_taken = function.state.taken;
        // A counter in r0 to r5 would not outlive a call.
        let counter = if self.bytes.arbitrary()? { self.among(!function.state.taken & 0b11_1100_0000)? } else { None };
        let slot = COUNTERS - 8 * function.loops;
        if counter.is_none() && function.loops > 1 {
            return Ok(());
        }
        let Some(work) = counter.map_or_else(|| self.free(function, 0), |register| Ok(Some(register)))? else { return Ok(()) };
        function.mov_imm(work, 0);
        function.state.numbers |= bit(work);
        if counter.is_some() {
            function.state.taken |= bit(work);
        } else {
            function.push(0x7b, 10, work, slot, 0);
            function.loops += 1;
        }
        let (head, before) = (function.code.len(), function.state);
        self.block(function, 3, nesting)?;
        function.refill(before);
        if counter.is_none() {
            function.push(0x79, work, 10, slot, 0);
        }
        function.add_imm(work, 1);
        if counter.is_none() {
            function.push(0x7b, 10, work, slot, 0);
            function.loops -= 1;
        }
        function.back(0xa5, work, 0, turns, head); // jlt
        function.state.taken = before_taken;
        Ok(())
    }

    /// A call of a function, drawn on the spot, with numbers and pointers as arguments.
    fn call(&mut self, function: &mut Function) -> Drawn<()> {
        if function.depth >= 2 || self.length + function.code.len() >= LENGTH_MAX {
            return Ok(());
        }
        let mut callee = Function { depth: function.depth + 1, ..Function::default() };
        let choice: u8 = self.bytes.arbitrary()?;
        let numbers: Vec<u8> = (0..3).map(|_| self.number(function)).collect::<Drawn<Vec<_>>>()?.into_iter().flatten().collect();
        // Through spare stack, for the registers chosen may be arguments themselves.
        for (slot, number) in (0..).zip(&numbers) {
            function.push(0x7b, 10, *number, ARRAY + 8 * slot, 0);
        }
        let mut argument = 1;
        if let (Some(value), true) = (function.roles.value, choice & 1 != 0) {
            function.mov(argument, value);
            callee.mov(9, argument);
            callee.roles.value = Some(9);
            callee.state.taken |= bit(9);
            argument += 1;
        }
        if choice & 2 != 0 && function.depth == 0 {
            function.mov(argument, 10);
            function.add_imm(argument, ARRAY.into());
            callee.mov(8, argument);
            callee.roles.buffer = Some(8);
            callee.roles.has_context_in_buffer = function.has_context_in_array;
            callee.state.taken |= bit(8);
            argument += 1;
        }
        for slot in 0..i16::try_from(numbers.len()).expect("three at most") {
            function.push(0x79, argument, 10, ARRAY + 8 * slot, 0);
            callee.state.numbers |= bit(argument);
            argument += 1;
        }
        let named = self.define(callee)?;
        function.names.push((function.code.len(), named));
        function.push(0x85, 0, 1, 0, 0);
        function.called();
        Ok(())
    }

    /// Draws a function's body; gives its number.
    fn define(&mut self, mut callee: Function) -> Drawn<usize> {
        for slot in 0..4 {
            callee.push(0x7a, 10, 0, ARRAY + slot * 8, i32::from(slot) - 1);
        }
        callee.state.taken |= bit(10);
        self.block(&mut callee, 8, 1)?;
        self.leave(&mut callee)?;
        self.functions.push(callee);
        Ok(self.functions.len() - 1)
    }

    /// `bpf_loop` with a function drawn on the spot, which counts in the caller's buffer.
    fn callback(&mut self, function: &mut Function) -> Drawn<()> {
        if function.depth >= 1 || self.length + function.code.len() >= LENGTH_MAX {
            return Ok(());
        }
        let mut callee = Function { depth: function.depth + 1, ..Function::default() };
        callee.mov(8, 2);
        callee.mov(7, 1);
        callee.roles.buffer = Some(8);
        callee.roles.has_context_in_buffer = function.has_context_in_array;
        callee.state = State { numbers: bit(1) | bit(7), taken: bit(8) | bit(10), written: 0 };
        for slot in 0..4 {
            callee.push(0x7a, 10, 0, ARRAY + slot * 8, i32::from(slot) - 1);
        }
        self.block(&mut callee, 6, 1)?;
        if callee.state.numbers & bit(7) == 0 {
            callee.mov_imm(7, 3);
        }
        callee.mov(0, 7);
        callee.push(0x57, 0, 0, 0, 1); // and: a callback answers 0 or 1
        callee.push(0x95, 0, 0, 0, 0);
        self.length += callee.code.len();
        self.functions.push(callee);
        let named = self.functions.len() - 1;
        // Of no turns at all the kernel (6.18) takes the function for dead, removes it, and fails to load the rest.
        let turns = self.pick(&[1, 2, 3, 17, 40, -1, (1 << 23) + 1])?;
        let number = self.number(function)?;
        match number {
            Some(number) if turns == 17 => {
                function.mov(1, number);
                function.push(0x57, 1, 0, 0, 31);
            }
            _ => function.mov_imm(1, turns),
        }
        function.names.push((function.code.len(), named));
        function.wide(2, 4, 0, 0);
        function.mov(3, 10);
        function.add_imm(3, ARRAY.into());
        let flags = self.pick(&[0, 0, 0, 0, 0, 0, 0, 1])?;
        function.mov_imm(4, flags);
        function.push(0x85, 0, 0, 0, 181);
        function.called();
        Ok(())
    }

    /// Looks up, changes or deletes an entry of the array or the hash.
    fn map(&mut self, function: &mut Function) -> Drawn<()> {
        let choice: u8 = self.bytes.arbitrary()?;
        let map = if choice & 1 == 0 { ARRAY_MAP } else { HASH_MAP };
        match self.number(function)? {
            Some(key) if choice & 2 != 0 => {
                let Some(work) = self.free(function, 0)? else { return Ok(()) };
                function.mov(work, key);
                function.push(0x57, work, 0, 0, KEYS_COUNT - 1);
                function.push(0x63, 10, work, KEY, 0);
                function.state.numbers |= bit(work);
            }
            _ => function.push(0x62, 10, 0, KEY, i32::from(choice >> 4) % KEYS_COUNT),
        }
        let operation = self.pick(&[1, 1, 2, 2, 3])?;
        if operation == 2 {
            let [one, two] = [self.number(function)?, self.number(function)?];
            for (slot, number) in [(0, one), (8, two)] {
                match number {
                    Some(number) => function.push(0x7b, 10, number, VALUE + slot, 0),
                    None => function.push(0x7a, 10, 0, VALUE + slot, slot.into()),
                }
            }
            function.mov(3, 10);
            function.add_imm(3, VALUE.into());
            let flags = self.pick(&[0, 0, 1, 2, 3])?;
            function.mov_imm(4, flags);
        }
        function.wide(1, 1, map, 0);
        function.mov(2, 10);
        function.add_imm(2, KEY.into());
        function.push(0x85, 0, 0, 0, operation);
        function.called();
        if operation == 1 {
            function.state.numbers &= !1;
            let absent = function.jump(0x15, 0, 0, 0);
            let (offset, size) = (self.pick(&[0, 4, 8])?, self.pick(&[0x00, 0x18])?);
            if let Some(number) = self.number(function)? {
                function.push(0x63 | size, 0, number, offset, 0);
            }
            if let Some(free) = self.free(function, 1)? {
                function.push(0x61 | size, free, 0, offset, 0);
                let over = function.jump(0x05, 0, 0, 0);
                function.land(absent);
                function.mov_imm(free, -1);
                function.land(over);
                function.state.numbers |= bit(free);
            } else {
                function.land(absent);
            }
            function.forget(0);
        }
        Ok(())
    }
}

/// Where the context holds the packet's two ends.
pub(super) fn data(hook: Hook) -> Option<(i16, i16)> {
    match hook {
        Hook::Xdp => Some((0, 4)),
        Hook::Tc => Some((76, 80)),
        Hook::Socket => None,
    }
}

/// The bytes of `SLOTS` that an access touches, as a mask.
pub(super) fn touched(offset: i16, size: i16) -> u64 {
    let first = offset - SLOTS;
    ((1_u128 << size) - 1)
        .checked_shl(u32::try_from(first).expect("inside"))
        .map_or(0, |mask| u64::try_from(mask & u128::from(u64::MAX)).expect("masked"))
}

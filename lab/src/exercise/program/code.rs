//! A function's instructions under construction, with what is known at the place reached: which registers hold numbers, which are
//! taken, which bytes of the stack were written.
//!
//! What is not here: what to write, which is drawn in `draw`.

use rbpf::ebpf::Insn;

/// The stack of every function, in offsets from its top: pointers spilled, counters of loops, a key, a value, bytes reached by a variable
/// offset, bytes reached by fixed ones. Three functions nest, so that a frame has 160 bytes at most.
pub(super) const SPILL: i16 = -8;
pub(super) const COUNTERS: i16 = -32;
pub(super) const KEY: i16 = -48;
pub(super) const VALUE: i16 = -64;
pub(super) const ARRAY: i16 = -96;
pub(super) const SLOTS: i16 = -160;
/// In `ARRAY` from its start, where the context is spilled at times.
pub(super) const CONTEXT: i16 = 24;
/// What is stored there when the context is done with.
pub(super) const UNSPILLED: i32 = 3;

/// A set of registers.
pub(super) type Set = u16;

pub(super) fn bit(register: u8) -> Set {
    1 << register
}

/// Pointers that live in registers nobody writes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Roles {
    pub(super) context: Option<u8>,
    /// To the cell's value.
    pub(super) value: Option<u8>,
    /// To the packet, of which so many bytes are there.
    pub(super) packet: Option<(u8, i16)>,
    /// To 16 bytes of a caller's stack.
    pub(super) buffer: Option<u8>,
    /// Behind those the context is spilled.
    pub(super) has_context_in_buffer: bool,
}

/// What holds where control is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Registers that hold numbers.
    pub(super) numbers: Set,
    /// Registers that keep what they hold.
    pub(super) taken: Set,
    /// Bytes of `SLOTS` that were written, one bit each.
    pub(super) written: u64,
}

impl State {
    /// What holds where two paths meet.
    pub(super) fn meet(self, other: Self) -> Self {
        Self { numbers: self.numbers & other.numbers, taken: self.taken, written: self.written & other.written }
    }
}

/// One function.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) code: Vec<Insn>,
    /// Instructions that name a function, with its number: calls, and the loading of its address.
    pub(super) names: Vec<(usize, usize)>,
    pub(super) state: State,
    pub(super) roles: Roles,
    /// How many functions are around it.
    pub(super) depth: usize,
    pub(super) loops: i16,
    /// The context is spilled in the last slot of `ARRAY`.
    pub(super) has_context_in_array: bool,
}

impl Function {
    pub(super) fn push(&mut self, opc: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.code.push(Insn { opc, dst, src, off, imm });
    }

    /// A 64-bit immediate of kind `src`.
    pub(super) fn wide(&mut self, dst: u8, src: u8, low: i32, high: i32) {
        self.push(0x18, dst, src, 0, low);
        self.push(0, 0, 0, 0, high);
    }

    pub(super) fn mov(&mut self, dst: u8, src: u8) {
        self.push(0xbf, dst, src, 0, 0);
    }

    pub(super) fn mov_imm(&mut self, dst: u8, imm: i32) {
        self.push(0xb7, dst, 0, 0, imm);
    }

    pub(super) fn add_imm(&mut self, dst: u8, imm: i32) {
        self.push(0x07, dst, 0, 0, imm);
    }

    /// A register that holds a pointer into one that holds a number.
    pub(super) fn forget(&mut self, register: u8) {
        self.mov_imm(register, 0);
        self.state.numbers |= bit(register);
    }

    /// A jump to be led somewhere by [`Function::land`].
    pub(super) fn jump(&mut self, opc: u8, dst: u8, src: u8, imm: i32) -> usize {
        self.push(opc, dst, src, 0, imm);
        self.code.len() - 1
    }

    /// Leads a jump to the place reached.
    pub(super) fn land(&mut self, jump: usize) {
        let distance = i32::try_from(self.code.len() - jump - 1).expect("a short function");
        self.distance(jump, distance);
    }

    /// A jump back to `head`.
    pub(super) fn back(&mut self, opc: u8, dst: u8, src: u8, imm: i32, head: usize) {
        let jump = self.jump(opc, dst, src, imm);
        let distance = i32::try_from(jump + 1 - head).expect("a short function");
        self.distance(jump, -distance);
    }

    /// Bytes of `ARRAY` that hold numbers.
    pub(super) fn array_length(&self) -> i16 {
        if self.has_context_in_array { CONTEXT } else { VALUE - ARRAY }
    }

    fn distance(&mut self, jump: usize, distance: i32) {
        let insn = &mut self.code[jump];
        if insn.opc == 0x06 { insn.imm = distance } else { insn.off = i16::try_from(distance).expect("a short function") }
    }

    /// After a call: the arguments are gone, r0 is a number.
    pub(super) fn called(&mut self) {
        self.state.numbers = self.state.numbers & !0b11_1111 | 1;
    }

    /// Makes every register that held a number in `before` hold one again.
    pub(super) fn refill(&mut self, before: State) {
        for register in 0..10 {
            if before.numbers & !self.state.numbers & bit(register) != 0 {
                self.mov_imm(register, i32::from(register) * 3 - 7);
            }
        }
        self.state.numbers |= before.numbers;
    }
}

/// Joins functions into a program, the first being main; calls and addresses get their distances.
pub(super) fn join(functions: Vec<Function>) -> (Vec<Insn>, Vec<usize>) {
    let mut starts = Vec::with_capacity(functions.len());
    let mut length = 0;
    for function in &functions {
        starts.push(length);
        length += function.code.len();
    }
    let mut program = Vec::with_capacity(length);
    for (function, start) in functions.into_iter().zip(&starts) {
        program.extend(function.code);
        for (at, named) in function.names {
            let from = start + at;
            program[from].imm = i32::try_from(starts[named].cast_signed() - from.cast_signed() - 1).expect("a short program");
        }
    }
    (program, starts)
}

//! The emitter: collects lowered instructions, remembers which original each belongs to, and sets jump distances at the end.

use super::VmError;
use super::instruction::{CALL, FRAME, JA, Registers, X, only};
use super::refusal::Refusal;
use rbpf::ebpf::{self, Insn};
use std::collections::BTreeMap;

/// rbpf computes jumps in 16 bits, counting from the program's start, so that no instruction may lie beyond.
pub(super) const LENGTH_MAX: usize = i16::MAX as usize;

pub(super) struct Emitter {
    pub(super) code: Vec<Insn>,
    /// Original index of each lowered instruction.
    pub(super) origin: Vec<usize>,
    /// Lowered start of each original instruction, with all that is put before it: where jumps lead.
    starts: Vec<Option<usize>>,
    /// The same of functions, with what is done once when they are called: where calls lead.
    entries: BTreeMap<usize, usize>,
    /// Lowered jumps and calls, with the original instruction they lead to.
    pending: Vec<(usize, usize)>,
    at: usize,
}

impl Emitter {
    pub(super) fn new(length: usize) -> Self {
        Self {
            code: Vec::with_capacity(length * 2),
            origin: Vec::with_capacity(length * 2),
            starts: vec![None; length],
            entries: BTreeMap::new(),
            pending: Vec::new(),
            at: 0,
        }
    }

    /// All that follows belongs to the function that begins at the original instruction `index`, and comes before it.
    pub(super) fn enter(&mut self, index: usize) {
        self.at = index;
        self.entries.insert(index, self.code.len());
    }

    /// All that follows belongs to the original instruction `index`.
    pub(super) fn begin(&mut self, index: usize) {
        self.at = index;
        self.starts[index] = Some(self.code.len());
    }

    pub(super) fn push(&mut self, insn: Insn) {
        self.code.push(insn);
        self.origin.push(self.at);
    }

    /// Two-operand form with an immediate.
    pub(super) fn imm(&mut self, opc: u8, dst: u8, imm: i32) {
        self.push(Insn { opc, dst, src: 0, off: 0, imm });
    }

    /// Two-operand form with a register.
    pub(super) fn reg(&mut self, opc: u8, dst: u8, src: u8) {
        self.push(Insn { opc: opc | X, dst, src, off: 0, imm: 0 });
    }

    /// A load or store between a register and memory.
    pub(super) fn memory(&mut self, opc: u8, dst: u8, src: u8, off: i16) {
        self.push(Insn { opc, dst, src, off, imm: 0 });
    }

    pub(super) fn helper(&mut self, number: i32) {
        self.imm(CALL, 0, number);
    }

    /// A jump (or local call) to an original instruction.
    pub(super) fn jump(&mut self, insn: Insn, target: usize) {
        self.pending.push((self.code.len(), target));
        self.push(insn);
    }

    /// A jump over the next `count` lowered instructions.
    pub(super) fn skip(&mut self, insn: &Insn, count: i16) {
        self.push(Insn { off: count, ..insn.clone() });
    }

    /// Both halves of a 64-bit constant.
    pub(super) fn wide(&mut self, dst: u8, value: u64) {
        let [low, high] = [value & u64::from(u32::MAX), value >> 32].map(|half| u32::try_from(half).expect("32 bits").cast_signed());
        self.imm(ebpf::LD_DW_IMM, dst, low);
        self.imm(0, 0, high);
    }

    /// Sets all distances.
    pub(super) fn finish(&mut self, refuse: &Refusal) -> Result<(), VmError> {
        if self.code.len() > LENGTH_MAX {
            return Err(refuse.too_long(self.code.len()));
        }
        for (position, target) in &self.pending {
            let from = self.origin[*position];
            let start = match self.code[*position].opc {
                CALL => self.entries.get(target).copied(),
                _ => self.starts[*target],
            };
            let start = start.ok_or_else(|| refuse.at(from, "its target is never reached"))?;
            let distance = start.cast_signed() - position.cast_signed() - 1;
            let insn = &mut self.code[*position];
            if insn.opc == CALL {
                insn.imm = i32::try_from(distance).map_err(|_| refuse.at(from, "the call leads too far"))?;
            } else {
                insn.off = i16::try_from(distance).map_err(|_| refuse.at(from, "the jump leads too far"))?;
            }
        }
        Ok(())
    }
}

/// A register to work in, borrowed until [`Scratch::give_back`].
pub(super) struct Scratch {
    pub(super) register: u8,
    /// Where the register's own value waits, if it is still wanted.
    saved: Option<i16>,
}

impl Scratch {
    /// A register outside of `live` and `busy`; else one outside of `busy`, its value put into the frame's spare bytes.
    pub(super) fn borrow(emitter: &mut Emitter, live: Registers, busy: Registers, spare: Option<i16>) -> Option<Self> {
        let find = |taken: Registers| (0..FRAME).rev().find(|register| taken & only(*register) == 0);
        if let Some(register) = find(live | busy) {
            return Some(Self { register, saved: None });
        }
        let (register, slot) = (find(busy)?, spare?);
        emitter.memory(ebpf::ST_DW_REG, FRAME, register, slot);
        Some(Self { register, saved: Some(slot) })
    }

    pub(super) fn give_back(self, emitter: &mut Emitter) {
        if let Some(slot) = self.saved {
            emitter.memory(ebpf::LD_DW_REG, self.register, FRAME, slot);
        }
    }
}

/// An unconditional jump, its distance to be set.
pub(super) fn goto() -> Insn {
    Insn { opc: JA, dst: 0, src: 0, off: 0, imm: 0 }
}

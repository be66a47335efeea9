//! The shadow: which bytes of each frame were written, kept and asked when a program runs that may read others.
//!
//! The kernel's verifier lets no program without `CAP_PERFMON` read a byte of the stack that was not written, and before Linux 6.3 no program
//! at all; what a later one reads for a privileged program was left there by whatever ran before. No two runs need agree on that, so such
//! a read ends the run here ([`Fault::Unwritten`](super::Fault)). Where `provenance` proves that there is none nothing of this is emitted.
//!
//! The shadow of a frame lies a fixed distance below it, a byte for a byte: zero once that was written. So a store is noted by a store of
//! zero and no register is needed, and a load tests that as many bytes of the shadow are zero. Through an address that may lie elsewhere both
//! go after a test of that.

use super::VmError;
use super::emit::Scratch;
use super::helper;
use super::instruction::{ALU64, FRAME, LDX, MODE_MEM, MOV, ST, only, size};
use super::lower::Lowering;
use super::provenance::Touch;
use super::stack;
use rbpf::ebpf::{self, Insn};

/// Bits of an opcode that say how many bytes.
const SIZE: u8 = 0x18;

impl Lowering<'_> {
    /// At a function's entry: its frame begins.
    pub(super) fn enter_frame(&mut self, index: usize) {
        const KEPT: i16 = -552;
        let is_live = self.live[index] & only(5) != 0;
        if is_live {
            self.out.memory(ebpf::ST_DW_REG, FRAME, 5, KEPT);
        }
        self.out.reg(ALU64 | MOV, 5, FRAME);
        self.out.helper(helper::FRESH);
        if is_live {
            self.out.memory(ebpf::LD_DW_REG, 5, FRAME, KEPT);
        }
    }

    /// Notes what a store wrote, after it.
    pub(super) fn note_store(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        let (Some(off), true) = (self.shadow_offset(index, insn)?, self.is_shadowed) else { return Ok(()) };
        let written = Insn { opc: ST | MODE_MEM | insn.opc & SIZE, dst: insn.dst, src: 0, off, imm: stack::WRITTEN.into() };
        match self.provenance.touch(index) {
            Touch::Written => {}
            Touch::Frame => self.out.push(written),
            Touch::Maybe => {
                let place = self.place(index, insn, insn.dst)?;
                self.out.skip(&beyond(&place), 1);
                self.out.push(written);
                place.give_back(&mut self.out);
            }
        }
        Ok(())
    }

    /// Tests what a load through `base` is about to read; ends the run if some of it was never written.
    pub(super) fn test_load(&mut self, index: usize, insn: &Insn, base: u8) -> Result<(), VmError> {
        let (Some(off), true) = (self.shadow_offset(index, insn)?, self.is_shadowed) else { return Ok(()) };
        let touch = self.provenance.touch(index);
        if touch == Touch::Written {
            return Ok(());
        }
        let place = match touch {
            Touch::Maybe => self.place(index, insn, base)?,
            _ => self.scratch(index, only(insn.dst) | only(insn.src))?,
        };
        let start = self.out.code.len();
        if touch == Touch::Maybe {
            self.out.push(beyond(&place));
        }
        self.out.push(Insn { opc: LDX | MODE_MEM | insn.opc & SIZE, dst: place.register, src: base, off, imm: 0 });
        let test = self.out.code.len();
        self.out.imm(ebpf::JEQ_IMM, place.register, i32::from(stack::WRITTEN));
        self.out.reg(ALU64 | MOV, 1, base);
        self.out.imm(ebpf::ADD64_IMM, 1, insn.off.into());
        self.out.imm(ebpf::MOV64_IMM, 2, size(insn).into());
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper::UNWRITTEN);
        let end = self.out.code.len();
        for jump in if touch == Touch::Maybe { vec![start, test] } else { vec![test] } {
            self.out.code[jump].off = i16::try_from(end - jump - 1).expect("a short test");
        }
        place.give_back(&mut self.out);
        Ok(())
    }

    /// From its base to the shadow of an access.
    fn shadow_offset(&self, index: usize, insn: &Insn) -> Result<Option<i16>, VmError> {
        if !self.is_shadowed {
            return Ok(None);
        }
        let off = i16::try_from(i32::from(insn.off) + stack::SHADOW);
        off.map(Some).map_err(|_| self.refuse.at(index, "its offset leads beyond all that the VM follows"))
    }

    /// Where an access lies above the bottom of the stack, in a register; a great number if below.
    fn place(&mut self, index: usize, insn: &Insn, base: u8) -> Result<Scratch, VmError> {
        let place = self.scratch(index, only(insn.dst) | only(insn.src))?;
        let bottom = self.stack_end - stack::LENGTH as u64;
        self.out.wide(place.register, bottom.wrapping_neg().wrapping_add_signed(insn.off.into()));
        self.out.reg(ebpf::ADD64_IMM, place.register, base);
        Ok(place)
    }
}

/// A jump where a place is not in the stack.
fn beyond(place: &Scratch) -> Insn {
    let imm = i32::try_from(stack::LENGTH).expect("some thousand bytes");
    Insn { opc: ebpf::JGE_IMM, dst: place.register, src: 0, off: 0, imm }
}

//! Atomic operations: load, compute, store. One run is one thread, so nothing can come between.

use super::VmError;
use super::helper;
use super::instruction::{ADD, ALU, ALU64, AND, CMPXCHG, FETCH, FRAME, MOV, OR, XCHG, XOR, only, size};
use super::lower::Lowering;
use super::provenance::Access;
use rbpf::ebpf::{self, Insn};

impl Lowering<'_> {
    /// Lowers an atomic operation upon memory at `index`.
    pub(super) fn atomic(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        let Insn { dst, src, off, .. } = *insn;
        let is_wide = match size(insn) {
            8 => true,
            4 => false,
            _ => return Err(self.refuse.at(index, "atomics have four or eight bytes")),
        };
        let (load, store) = if is_wide { (ebpf::LD_DW_REG, ebpf::ST_DW_REG) } else { (ebpf::LD_W_REG, ebpf::ST_W_REG) };
        let alu = if is_wide { ALU64 } else { ALU };
        let kind = match insn.imm & !FETCH {
            _ if matches!(insn.imm, XCHG | CMPXCHG) => None,
            kind => match u8::try_from(kind) {
                Ok(kind @ (ADD | OR | AND | XOR)) => Some(kind),
                _ => return Err(self.refuse.at(index, "an atomic operation that the VM does not have")),
            },
        };
        if src == FRAME && insn.imm & FETCH != 0 && insn.imm != CMPXCHG {
            self.end(index, helper::READ_ONLY);
            return Ok(());
        }
        if self.provenance.context_offset(index, insn).is_some() {
            return Err(self.refuse.at(index, "the kernel has no atomics upon the context"));
        }
        self.maybe_field(index, insn);
        self.guard(index, insn, dst)?;
        let access = self.access(index, insn);
        if access == Access::OutOfStack {
            self.trap(index, insn);
            return Ok(());
        }
        self.test_load(index, insn, dst)?;
        let scratch = self.scratch(index, only(dst) | only(src) | only(0))?;
        let old = scratch.register;
        if access == Access::Probe {
            let last = self.last(index, insn)?;
            self.out.memory(ebpf::LD_B_REG, old, dst, last);
        }
        match (insn.imm, kind) {
            (CMPXCHG, _) => {
                self.out.memory(load, old, dst, off);
                let compare = if is_wide { ebpf::JNE_REG } else { ebpf::JNE_REG32 };
                self.out.skip(&Insn { opc: compare, dst: old, src: 0, off: 0, imm: 0 }, 1);
                self.out.memory(store, dst, src, off);
                self.out.reg(ebpf::MOV64_IMM, 0, old);
            }
            (XCHG, _) => {
                self.out.memory(load, old, dst, off);
                self.out.memory(store, dst, src, off);
                self.out.reg(ebpf::MOV64_IMM, src, old);
            }
            (operation, Some(kind)) if operation & FETCH == 0 => {
                self.out.memory(load, old, dst, off);
                self.out.reg(alu | kind, old, src);
                self.out.memory(store, dst, old, off);
            }
            (_, Some(_)) if dst == src => return Err(self.refuse.at(index, "its address is overwritten by the value fetched")),
            (_, Some(kind)) => {
                // `old` becomes the new value here: all four operations commute.
                self.out.reg(ALU64 | MOV, old, src);
                self.out.memory(load, src, dst, off);
                self.out.reg(alu | kind, old, src);
                self.out.memory(store, dst, old, off);
            }
            (_, None) => unreachable!("exchanges are matched above"),
        }
        scratch.give_back(&mut self.out);
        Ok(())
    }
}

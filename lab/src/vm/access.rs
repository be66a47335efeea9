//! Accesses: loads and stores, those of the context's fields and the packet loads of classic BPF among them.

use super::Hook;
use super::VmError;
use super::arithmetic;
use super::emit::goto;
use super::field::{self, Store};
use super::helper;
use super::instruction::{
    ADD, ALU, ALU64, EXIT, LDX, MODE_ABS, MODE_IND, MODE_MEM, MODE_MEMSX, MOV, ST, STX, access_kind, class, mode, only, size,
};
use super::lower::Lowering;
use super::provenance::Access;
use rbpf::ebpf::{self, Insn};

impl Lowering<'_> {
    /// A packet load of classic BPF: like a call that ends r1 to r5, and beyond the packet the function ends with 0.
    pub(super) fn classic(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        let helper = match (self.hook, mode(insn), size(insn)) {
            (Hook::Xdp, MODE_ABS | MODE_IND, _) => return Err(self.refuse.at(index, "XDP has no packet loads of classic BPF")),
            (_, MODE_ABS | MODE_IND, size @ (1 | 2 | 4)) => helper::CLASSIC + i32::from(size),
            _ => return Err(self.refuse.at(index, "an unknown instruction")),
        };
        if mode(insn) == MODE_ABS {
            self.out.imm(ALU | MOV, 1, insn.imm);
        } else {
            self.out.reg(ALU | MOV, 1, insn.src);
            self.out.imm(ALU | ADD, 1, insn.imm);
        }
        self.out.reg(ALU64 | MOV, 2, 6);
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper);
        self.out.skip(&Insn { opc: ebpf::JSGE_IMM, dst: 0, src: 0, off: 0, imm: 0 }, 2);
        self.out.imm(ebpf::MOV64_IMM, 0, 0);
        self.out.push(Insn { opc: EXIT, dst: 0, src: 0, off: 0, imm: 0 });
        Ok(())
    }

    pub(super) fn access(&self, index: usize, insn: &Insn) -> Access {
        self.provenance.access(index, insn, |map| self.maps.get(map).map_or(0, |map| map.value_size))
    }

    /// Offset of the last byte of an access.
    pub(super) fn last(&self, index: usize, insn: &Insn) -> Result<i16, VmError> {
        insn.off.checked_add(i16::from(size(insn)) - 1).ok_or_else(|| self.refuse.at(index, "its last byte is beyond an offset of 32767"))
    }

    /// Ends the run: the access leaves its frame.
    pub(super) fn trap(&mut self, index: usize, insn: &Insn) {
        self.out.imm(ebpf::MOV64_IMM, 1, self.provenance.stack_offset(index, insn).unwrap_or(0));
        self.out.imm(ebpf::MOV64_IMM, 2, size(insn).into());
        self.out.imm(ebpf::MOV64_IMM, 3, i32::try_from(access_kind(insn)).expect("three kinds"));
        self.end(index, helper::TRAP);
    }

    /// Ends the run by a helper that does not come back.
    pub(super) fn end(&mut self, index: usize, helper: i32) {
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper);
    }

    pub(super) fn load(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if let Some(offset) = self.provenance.context_offset(index, insn) {
            let done = field::load(self.hook, offset, size(insn).into(), mode(insn) == MODE_MEMSX);
            done.map_err(|reason| self.refuse.at(index, &reason))?;
            if insn.off >= 2 && field::is_lower_half(self.hook, offset, size(insn).into()) {
                self.load_lower_half(insn);
                return Ok(());
            }
        }
        let over = self.maybe_field(index, insn);
        self.guard(index, insn, insn.src)?;
        match self.access(index, insn) {
            Access::OutOfStack => {
                self.trap(index, insn);
                return Ok(());
            }
            Access::Probe if insn.dst != insn.src => {
                let last = self.last(index, insn)?;
                self.out.memory(ebpf::LD_B_REG, insn.dst, insn.src, last);
            }
            Access::Probe => {
                let last = self.last(index, insn)?;
                let scratch = self.scratch(index, only(insn.src))?;
                self.out.memory(ebpf::LD_B_REG, scratch.register, insn.src, last);
                scratch.give_back(&mut self.out);
            }
            Access::Exact => {}
        }
        self.test_load(index, insn, insn.src)?;
        if mode(insn) == MODE_MEMSX && size(insn) == 8 {
            return Err(self.refuse.at(index, "eight bytes have no sign to extend"));
        }
        self.load_plainly(insn, insn.off);
        self.land(over);
        Ok(())
    }

    pub(super) fn store(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if let Some(offset) = self.provenance.context_offset(index, insn) {
            let how = field::store(self.hook, offset, size(insn).into()).map_err(|reason| self.refuse.at(index, &reason))?;
            self.store_field(insn, how);
            return Ok(());
        }
        let over = self.maybe_field(index, insn);
        self.guard(index, insn, insn.dst)?;
        match self.access(index, insn) {
            Access::OutOfStack => {
                self.trap(index, insn);
                return Ok(());
            }
            // The one-byte store is overwritten at once, and needs no register.
            Access::Probe => {
                let off = self.last(index, insn)?;
                self.out.push(Insn { opc: insn.opc & !0x18 | 0x10, off, ..insn.clone() });
            }
            Access::Exact => {}
        }
        self.out.push(insn.clone());
        self.note_store(index, insn)?;
        self.land(over);
        Ok(())
    }

    /// The load itself, at another offset.
    fn load_plainly(&mut self, insn: &Insn, off: i16) {
        self.out.push(Insn { opc: LDX | MODE_MEM | insn.opc & 0x18, off, ..insn.clone() });
        if mode(insn) == MODE_MEMSX {
            arithmetic::extend(&mut self.out, ALU64, insn.dst, 64 - 8 * i32::from(size(insn)));
        }
    }

    /// What the kernel gives of a field's upper half that it does not have.
    fn load_lower_half(&mut self, insn: &Insn) {
        self.load_plainly(insn, insn.off - 2);
    }

    /// Before an access whose base may be the context: what the kernel does if it is. The answer is a jump over all other ways, where there is one.
    pub(super) fn maybe_field(&mut self, index: usize, insn: &Insn) -> Option<usize> {
        if !self.provenance.may_be_context(index) {
            return None;
        }
        let (offset, bytes) = (i32::from(insn.off), i32::from(size(insn)));
        // Beside the context lies what others have; an address that only starts from there, as one past a frame may, leads elsewhere.
        if !usize::try_from(offset).is_ok_and(|offset| offset < self.hook.context_length()) {
            return None;
        }
        let base = if class(insn) == LDX { insn.src } else { insn.dst };
        let how = match (class(insn), mode(insn)) {
            (LDX, mode) => field::load(self.hook, offset, bytes, mode == MODE_MEMSX).map(|()| Store::Plain),
            (ST | STX, MODE_MEM) => field::store(self.hook, offset, bytes),
            _ => Err(String::new()),
        };
        let is_lower_half = class(insn) == LDX && field::is_lower_half(self.hook, offset, bytes);
        if how == Ok(Store::Plain) && !is_lower_half {
            return None;
        }
        // The context lies below 4 GiB, and rbpf does not extend the sign.
        let elsewhere = self.out.code.len();
        self.out.imm(ebpf::JNE_IMM, base, self.context.cast_signed());
        let over = match how {
            Err(_) => {
                self.end(index, helper::FORBIDDEN);
                None
            }
            Ok(how) => {
                if is_lower_half {
                    self.load_lower_half(insn);
                } else {
                    self.store_field(insn, how);
                }
                self.out.push(goto());
                Some(self.out.code.len() - 1)
            }
        };
        self.land(Some(elsewhere));
        over
    }

    /// Leads a jump to here.
    pub(super) fn land(&mut self, jump: Option<usize>) {
        if let Some(jump) = jump {
            self.out.code[jump].off = i16::try_from(self.out.code.len() - jump - 1).expect("one instruction becomes few");
        }
    }

    /// A store to a field of the context, which some fields take but half of.
    fn store_field(&mut self, insn: &Insn, how: Store) {
        const HALF: u8 = 0x08;
        const FITS: i32 = 0xffff;
        let half = Insn { opc: insn.opc & !0x18 | HALF, ..insn.clone() };
        match (how, class(insn)) {
            (Store::Plain, _) => self.out.push(insn.clone()),
            (Store::HalfIfItFits, STX) => {
                self.out.skip(&Insn { opc: ebpf::JGE_IMM, dst: insn.src, src: 0, off: 0, imm: FITS }, 1);
                self.out.push(half);
            }
            (Store::HalfIfItFits, _) if !(0..FITS).contains(&insn.imm) => self.out.push(goto()),
            (Store::Half | Store::HalfIfItFits, _) => self.out.push(half),
        }
    }
}

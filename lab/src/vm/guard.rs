//! Guards: in programs whose packet moves, tests of each access that may be one to the packet against where the packet is now.
//!
//! rbpf is told the range of the packet when a run starts and cannot be told another one. So such programs get the whole room around the
//! packet, and before each access a call of a helper of the VM's own, which ends the run if the access is in the room and not in the packet.
//! The helper sees r1 to r5 and leaves r0, so the address comes into one of those for the call.

use super::VmError;
use super::helper::{self, Packet};
use super::instruction::{ALU64, CALL, MOV, XOR, access_kind, only, size};
use super::lower::Lowering;
use rbpf::ebpf::Insn;

/// One test: of which register, with which offset, so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guard {
    /// 1 for r1; up to 5.
    pub(super) register: u8,
    pub(super) offset: i16,
    pub(super) size: u8,
    pub(super) access: &'static str,
    pub(super) site: usize,
}

/// Whether it calls a helper that may move the packet's ends.
pub(super) fn moves_packet(insn: &Insn) -> bool {
    insn.opc == CALL && insn.src == 0 && helper::find(insn.imm).is_some_and(|helper| helper.packet == Packet::Moved)
}

impl Lowering<'_> {
    /// Puts the test of an access through `base` before it, where one is needed.
    pub(super) fn guard(&mut self, index: usize, insn: &Insn, base: u8) -> Result<(), VmError> {
        if !self.is_guarded || !self.provenance.may_be_packet(index) || self.guards.len() >= helper::GUARDS {
            return Ok(());
        }
        let kept = if self.live[index] & only(0) == 0 {
            None
        } else {
            let scratch = self.scratch(index, only(0) | only(insn.dst) | only(insn.src))?;
            self.out.reg(ALU64 | MOV, scratch.register, 0);
            Some(scratch)
        };
        let address = match &kept {
            Some(scratch) if base == 0 => scratch.register,
            _ => base,
        };
        let is_seen = (1..=5).contains(&address);
        let number = helper::GUARD + i32::try_from(self.guards.len()).expect("guards are few");
        self.guards.push(Guard {
            register: if is_seen { address } else { 1 },
            offset: insn.off,
            size: size(insn),
            access: helper::ACCESSES[access_kind(insn)],
            site: index,
        });
        if is_seen {
            self.out.helper(number);
        } else {
            self.exchange(1, address);
            self.out.helper(number);
            self.exchange(1, address);
        }
        if let Some(scratch) = kept {
            self.out.reg(ALU64 | MOV, 0, scratch.register);
            scratch.give_back(&mut self.out);
        }
        Ok(())
    }

    /// Exchanges two registers without a third.
    fn exchange(&mut self, one: u8, other: u8) {
        for (dst, src) in [(one, other), (other, one), (one, other)] {
            self.out.reg(ALU64 | XOR, dst, src);
        }
    }
}

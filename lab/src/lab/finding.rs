//! What the kernel is known to do wrongly, found in the vm's run: a note beside what differs. `docs/rbpf-findings.md` has the list.

use rbpf::ebpf::{self, Insn};

use crate::bpf::Program;
use crate::vm::{Step, is_conditional, operands, results};

const CLASS: u8 = 0x07;
const CMPXCHG_32: (u8, i32) = (0xc3, 0xf1);

/// The 32-bit compare-and-exchange whose upper half of r0 comes to the step `until`, by registers or by a branch or a store on the way. Linux's verifier
/// forgets to clear that half where it pruned the path that reads it.
pub(super) fn compare_and_exchange(steps: &[Step], programs: &[&Program], until: usize) -> Option<usize> {
    let (mut spoiled, mut source, mut has_decided) = (0_u16, None, false);
    for (at, step) in steps.iter().enumerate().take(until + 1) {
        let insn = &programs[step.program].instructions[step.instruction];
        let is_read = uppers(insn).any(|register| spoiled & 1 << register != 0);
        has_decided |= is_read && (is_conditional(insn) || insn.opc & CLASS == ebpf::BPF_STX);
        if at == until {
            return source.filter(|_| is_read || has_decided);
        }
        for register in results(insn) {
            spoiled &= !(1 << register);
            spoiled |= u16::from(is_read) << register;
        }
        if (insn.opc, insn.imm) == CMPXCHG_32 {
            (spoiled, source) = (spoiled | 1, Some(at));
        }
    }
    None
}

/// The registers of which an instruction reads more than the lower half.
fn uppers(insn: &Insn) -> impl Iterator<Item = u8> {
    let is_half = matches!(insn.opc & CLASS, ebpf::BPF_ALU | ebpf::BPF_JMP32);
    let stored = (insn.opc & CLASS == ebpf::BPF_STX && insn.opc & 0x18 != 0x18).then_some(insn.src);
    operands(insn).into_iter().filter(move |register| !is_half && stored != Some(*register))
}

//! What a caller may do to a program so that an older kernel takes it.

use crate::bpf::Program;

const ATOMIC: [u8; 2] = [0xc3, 0xdb];
const COMPARE_AND_EXCHANGE: i32 = 0xf1;

/// The opcode of the plain store that takes the place of a compare-and-exchange; none for other instructions.
#[must_use]
pub fn store_instead(opcode: u8, imm: i32) -> Option<u8> {
    // BPF_STX of memory rather than atomic mode.
    (ATOMIC.contains(&opcode) && imm == COMPARE_AND_EXCHANGE).then_some(opcode & !0xe0 | 0x60)
}

/// Makes each compare-and-exchange a plain store of the same size, and answers how many there were.
///
/// Kernels before 5.12 refuse the instruction wherever it stands. r0 keeps the value expected, so the exchange seems to have
/// succeeded: **nothing is excluded any more between CPUs**. Right for one CPU, or where a caller says so. Other atomic
/// operations that fetch stay, and the kernel refuses them.
pub fn without_compare_and_exchange(program: &mut Program) -> usize {
    let mut count = 0;
    let mut slot = 0;
    while let Some(insn) = program.instructions.get_mut(slot) {
        let wide = insn.opc == rbpf::ebpf::LD_DW_IMM;
        if let Some(store) = store_instead(insn.opc, insn.imm) {
            (insn.opc, insn.imm) = (store, 0);
            count += 1;
        }
        slot += if wide { 2 } else { 1 };
    }
    count
}

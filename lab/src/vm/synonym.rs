//! Synonyms: instructions that say the same as others here, replaced before anything looks at the program.
//!
//! One run is one thread, so that an order of memory accesses has no meaning: a load-acquire is a load, a store-release a store. A `may_goto`
//! falls through as long as the kernel's budget lasts, which is eight million turns, more than runs have instructions. Maps come by position
//! in any case. Indices do not change.

use super::instruction::{JA, LD_IMM64, LDX, LOAD_ACQUIRE, MAY_GOTO, MODE_ATOMIC, MODE_MEM, STORE_RELEASE, STX, class, mode};
use rbpf::ebpf::Insn;

/// The program in fewer words.
pub(super) fn replaced(program: &[Insn]) -> Vec<Insn> {
    let mut result = program.to_vec();
    let mut index = 0;
    while let Some(insn) = result.get_mut(index) {
        let size = insn.opc & 0x18;
        match (class(insn), mode(insn), insn.imm) {
            (STX, MODE_ATOMIC, LOAD_ACQUIRE) => *insn = Insn { opc: LDX | MODE_MEM | size, imm: 0, ..insn.clone() },
            (STX, MODE_ATOMIC, STORE_RELEASE) => *insn = Insn { opc: STX | MODE_MEM | size, imm: 0, ..insn.clone() },
            _ if insn.opc == MAY_GOTO && insn.src == 0 => *insn = Insn { opc: JA, dst: 0, src: 0, off: 0, imm: 0 },
            // By index into a list of descriptors: the loader's positions are such a list.
            _ if insn.opc == LD_IMM64 && matches!(insn.src, 5 | 6) => insn.src -= 4,
            _ => {}
        }
        index += if result[index].opc == LD_IMM64 { 2 } else { 1 };
    }
    result
}

//! One instruction: its fields by name, and which registers it reads, for which a helper's arguments are known.

pub(super) use crate::bpf::instruction::*;

use rbpf::ebpf::Insn;

use super::helper;

/// The registers an instruction reads.
pub(super) fn reads(insn: &Insn) -> Registers {
    let (dst, src) = (only(insn.dst), only(insn.src));
    match class(insn) {
        LDX => src,
        ST => dst,
        STX if mode(insn) == MODE_ATOMIC && insn.imm == CMPXCHG => dst | src | only(0),
        STX => dst | src,
        ALU | ALU64 => {
            let from = if insn.opc & X != 0 && operation(insn) != END { src } else { 0 };
            from | if operation(insn) == MOV { 0 } else { dst }
        }
        LD if insn.opc != LD_IMM64 => only(6) | if mode(insn) == MODE_IND { src } else { 0 },
        JMP | JMP32 => match insn.opc {
            JA | GOTOL => 0,
            CALL if insn.src == 0 => arguments(insn.imm),
            CALL => 0b11_1110,
            EXIT => only(0),
            opcode if opcode & X != 0 => dst | src,
            _ => dst,
        },
        _ => 0,
    }
}

/// The argument registers that a helper reads; all five where it is not known.
fn arguments(number: i32) -> Registers {
    helper::find(number).map_or(0b11_1110, |helper| (2 << helper.arguments.len()) - 2)
}

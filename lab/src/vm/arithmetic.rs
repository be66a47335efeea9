//! Arithmetic and compares: each instruction either passes as it is or becomes others with the same result.

use super::emit::{Emitter, goto};
use super::instruction::{ADD, ALU, ALU64, ARSH, DIV, END, JMP, LSH, MOD, MOV, NEG, X, XOR, class, operation};
use rbpf::ebpf::{self, Insn};

/// Lowers an ALU instruction, or says why it does not run.
pub(super) fn compute(out: &mut Emitter, insn: &Insn) -> Result<(), &'static str> {
    let (width, operation, is_register) = (class(insn), operation(insn), insn.opc & X != 0);
    if insn.off != 0 && !matches!(operation, DIV | MOD | MOV) {
        return Err("its offset field must be zero");
    }
    match operation {
        DIV | MOD if insn.off != 0 => return Err("division has no such offset"),
        MOD if width == ALU && (is_register || insn.imm == 0) => {
            out.push(insn.clone());
            // RFC 9669, 4.1: modulo by zero leaves the lower half and clears the upper.
            out.reg(ALU | MOV, insn.dst, insn.dst);
        }
        MOV if insn.off != 0 => {
            let bits = i32::from(insn.off);
            let full = if width == ALU64 { 64 } else { 32 };
            if !is_register || !matches!(bits, 8 | 16 | 32) || bits >= full {
                return Err("no such move with sign extension");
            }
            out.reg(width | MOV, insn.dst, insn.src);
            extend(out, width, insn.dst, full - bits);
        }
        NEG if is_register => return Err("an unknown instruction"),
        NEG if width == ALU64 => {
            out.imm(ALU64 | XOR, insn.dst, -1);
            out.imm(ALU64 | ADD, insn.dst, 1);
        }
        END if !matches!(insn.imm, 16 | 32 | 64) => return Err("bytes are swapped in 16, 32 or 64 bits"),
        END if width == ALU64 && is_register => return Err("an unknown instruction"),
        // An unconditional swap is a swap to big-endian: the VM runs little-endian objects on little-endian hosts.
        END if width == ALU64 => out.imm(ebpf::BE, insn.dst, insn.imm),
        operation if operation > END => return Err("an unknown instruction"),
        _ => out.push(insn.clone()),
    }
    Ok(())
}

/// Whether it is a division with sign (cpu v4), to be lowered by [`divide`].
pub(super) fn is_signed_division(insn: &Insn) -> bool {
    matches!(class(insn), ALU | ALU64) && matches!(operation(insn), DIV | MOD) && insn.off == 1
}

/// Lowers a division with sign, which rbpf takes for one without: of magnitudes, and the sign comes back after it. The quotient's is that of
/// both, the remainder's that of the dividend (RFC 9669, 4.1). By zero gives zero or the dividend; the least integer by -1 gives itself or
/// zero, as its magnitude is taken for what it is. `work` is neither operand.
pub(super) fn divide(out: &mut Emitter, insn: &Insn, work: u8) {
    let (width, dst) = (class(insn), insn.dst);
    let is_modulo = operation(insn) == MOD;
    let not_negative = if width == ALU64 { ebpf::JSGE_IMM } else { ebpf::JSGE_IMM32 };
    let negate = |out: &mut Emitter, register: u8| {
        out.imm(width | XOR, register, -1);
        out.imm(width | ADD, register, 1);
    };
    let when_negative = |out: &mut Emitter, register: u8, count: i16| {
        out.skip(&Insn { opc: not_negative, dst: register, src: 0, off: 0, imm: 0 }, count);
    };
    if insn.opc & X == 0 {
        out.imm(width | MOV, work, insn.imm);
    } else {
        out.reg(width | MOV, work, insn.src);
    }
    let over = |out: &mut Emitter, count: i16| out.skip(&goto(), count);
    let divide = |out: &mut Emitter| out.reg(width | operation(insn), dst, work);
    // Of a negative dividend, then of another one.
    when_negative(out, dst, 13);
    negate(out, dst);
    when_negative(out, work, 6);
    negate(out, work);
    divide(out);
    if is_modulo {
        negate(out, dst);
    } else {
        (0..2).for_each(|_| over(out, 0));
    }
    over(out, 12);
    divide(out);
    negate(out, dst);
    over(out, 8);
    when_negative(out, work, 6);
    negate(out, work);
    divide(out);
    if is_modulo {
        (0..2).for_each(|_| over(out, 0));
    } else {
        negate(out, dst);
    }
    over(out, 1);
    divide(out);
    if width == ALU {
        // What rbpf leaves of a remainder by zero, see `compute`.
        out.reg(ALU | MOV, dst, dst);
    }
}

/// Sign extension in place, by shifting up and down.
pub(super) fn extend(out: &mut Emitter, width: u8, dst: u8, bits: i32) {
    out.imm(width | LSH, dst, bits);
    out.imm(width | ARSH, dst, bits);
}

/// Lowers a conditional jump. rbpf zero-extends a negative immediate in 64-bit unsigned compares, but not in signed ones: with
/// U the immediate sign-extended, values above U are the negative ones above it, and so on.
pub(super) fn compare(out: &mut Emitter, insn: &Insn, target: usize) {
    let with = |opc: u8, imm: i32| Insn { opc, imm, off: 0, ..insn.clone() };
    let is_wrong = class(insn) == JMP && insn.opc & X == 0 && insn.imm < 0;
    let is_negative_first = |out: &mut Emitter| out.skip(&with(ebpf::JSGE_IMM, 0), 1);
    match insn.opc {
        ebpf::JEQ_IMM if is_wrong => {
            out.skip(&with(ebpf::JSGT_IMM, insn.imm), 1);
            out.jump(with(ebpf::JSGE_IMM, insn.imm), target);
        }
        ebpf::JNE_IMM if is_wrong => {
            out.jump(with(ebpf::JSGT_IMM, insn.imm), target);
            out.jump(with(ebpf::JSLT_IMM, insn.imm), target);
        }
        ebpf::JGT_IMM if is_wrong => {
            is_negative_first(out);
            out.jump(with(ebpf::JSGT_IMM, insn.imm), target);
        }
        ebpf::JGE_IMM if is_wrong => {
            is_negative_first(out);
            out.jump(with(ebpf::JSGE_IMM, insn.imm), target);
        }
        ebpf::JLT_IMM if is_wrong => {
            out.jump(with(ebpf::JSGE_IMM, 0), target);
            out.jump(with(ebpf::JSLT_IMM, insn.imm), target);
        }
        ebpf::JLE_IMM if is_wrong => {
            out.jump(with(ebpf::JSGE_IMM, 0), target);
            out.jump(with(ebpf::JSLE_IMM, insn.imm), target);
        }
        _ => out.jump(Insn { off: 0, ..insn.clone() }, target),
    }
}

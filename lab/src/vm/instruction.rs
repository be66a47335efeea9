//! One BPF instruction: its fields by name, which registers it reads and writes, and its text for messages.
//!
//! Numbers are those of RFC 9669. What is not here: meaning, which belongs to `lower`.

use super::helper;
use rbpf::ebpf::Insn;

pub(super) const LD: u8 = 0x00;
pub(super) const LDX: u8 = 0x01;
pub(super) const ST: u8 = 0x02;
pub(super) const STX: u8 = 0x03;
pub(super) const ALU: u8 = 0x04;
pub(super) const JMP: u8 = 0x05;
pub(super) const JMP32: u8 = 0x06;
pub(super) const ALU64: u8 = 0x07;

/// Bit 3: the second operand is a register.
pub(super) const X: u8 = 0x08;

pub(super) const MODE_ABS: u8 = 0x20;
pub(super) const MODE_IND: u8 = 0x40;
pub(super) const MODE_MEM: u8 = 0x60;
pub(super) const MODE_MEMSX: u8 = 0x80;
pub(super) const MODE_ATOMIC: u8 = 0xc0;

pub(super) const LD_IMM64: u8 = 0x18;
pub(super) const ADD: u8 = 0x00;
pub(super) const SUB: u8 = 0x10;
pub(super) const DIV: u8 = 0x30;
pub(super) const OR: u8 = 0x40;
pub(super) const AND: u8 = 0x50;
pub(super) const LSH: u8 = 0x60;
pub(super) const NEG: u8 = 0x80;
pub(super) const MOD: u8 = 0x90;
pub(super) const XOR: u8 = 0xa0;
pub(super) const MOV: u8 = 0xb0;
pub(super) const ARSH: u8 = 0xc0;
pub(super) const END: u8 = 0xd0;

pub(super) const JA: u8 = 0x05;
pub(super) const GOTOL: u8 = 0x06;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;
pub(super) const JCOND: u8 = 0xe0;
/// Falls through, until the kernel has had enough of it.
pub(super) const MAY_GOTO: u8 = JMP | JCOND;

pub(super) const FETCH: i32 = 0x01;
pub(super) const XCHG: i32 = 0xe1;
pub(super) const CMPXCHG: i32 = 0xf1;
pub(super) const LOAD_ACQUIRE: i32 = 0x100;
pub(super) const STORE_RELEASE: i32 = 0x110;

/// The stack pointer.
pub(super) const FRAME: u8 = 10;

/// A set of registers, one bit each.
pub(super) type Registers = u16;

/// The set of one register.
pub(super) fn only(register: u8) -> Registers {
    1 << register
}

/// Instruction class.
pub(super) fn class(insn: &Insn) -> u8 {
    insn.opc & 0x07
}

/// Operation of an ALU or jump instruction.
pub(super) fn operation(insn: &Insn) -> u8 {
    insn.opc & 0xf0
}

/// Addressing mode of a load or store.
pub(super) fn mode(insn: &Insn) -> u8 {
    insn.opc & 0xe0
}

/// Bytes that a load or store touches.
pub(super) fn size(insn: &Insn) -> u8 {
    match insn.opc & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// What kind of access to memory an instruction is: 0 a load, 1 a store, 2 an atomic operation.
pub(super) fn access_kind(insn: &Insn) -> usize {
    match class(insn) {
        LDX => 0,
        STX if mode(insn) == MODE_ATOMIC && !matches!(insn.imm, LOAD_ACQUIRE | STORE_RELEASE) => 2,
        STX if mode(insn) == MODE_ATOMIC && insn.imm == LOAD_ACQUIRE => 0,
        _ => 1,
    }
}

/// Whether control may go elsewhere than to the next instruction: jumps, conditional or not, without calls and exits.
pub(super) fn is_jump(insn: &Insn) -> bool {
    matches!(class(insn), JMP | JMP32) && !matches!(insn.opc, CALL | EXIT) && operation(insn) != 0x80 && operation(insn) != 0x90
}

/// Whether control never reaches the next instruction.
pub(super) fn is_end(insn: &Insn) -> bool {
    matches!(insn.opc, JA | GOTOL | EXIT)
}

/// Where a jump or a call of a local function at `index` leads.
pub(super) fn target(index: usize, insn: &Insn) -> Option<usize> {
    let offset = match insn.opc {
        GOTOL => i64::from(insn.imm),
        CALL if insn.src == 1 => i64::from(insn.imm),
        _ if is_jump(insn) => i64::from(insn.off),
        _ => return None,
    };
    usize::try_from(i64::try_from(index).ok()? + 1 + offset).ok()
}

/// The first instruction of the function whose address an instruction loads.
pub(super) fn reference(index: usize, insn: &Insn) -> Option<usize> {
    if insn.opc != LD_IMM64 || insn.src != 4 {
        return None;
    }
    usize::try_from(i64::try_from(index).ok()? + 1 + i64::from(insn.imm)).ok()
}

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

/// The registers an instruction overwrites.
pub(super) fn writes(insn: &Insn) -> Registers {
    match class(insn) {
        LD if insn.opc != LD_IMM64 => 0b11_1111,
        LD | LDX | ALU | ALU64 => only(insn.dst),
        STX if mode(insn) == MODE_ATOMIC && insn.imm == CMPXCHG => only(0),
        STX if mode(insn) == MODE_ATOMIC && insn.imm & FETCH != 0 => only(insn.src),
        JMP if insn.opc == CALL => 0b11_1111,
        _ => 0,
    }
}

/// The instruction in assembly for a message.
pub(super) fn text(program: &[Insn], index: usize) -> String {
    let Some(insn) = program.get(index) else { return "beyond the end".to_owned() };
    if insn.opc == LD_IMM64 {
        return match insn.src {
            0 => format!("lddw r{}, {:#x}", insn.dst, wide(insn, program.get(index + 1))),
            1 => format!("lddw r{}, map {}", insn.dst, insn.imm),
            2 => format!("lddw r{}, map {} + {}", insn.dst, insn.imm, program.get(index + 1).map_or(0, |next| next.imm)),
            4 => format!("lddw r{}, function pc{:+}", insn.dst, insn.imm),
            kind => format!("lddw r{}, kind {kind}: {:#x}", insn.dst, insn.imm),
        };
    }
    if let Some(text) = newer(insn) {
        return text;
    }
    if class(insn) == STX && mode(insn) == MODE_ATOMIC {
        let name = match insn.imm {
            XCHG => "xchg".to_owned(),
            CMPXCHG => "cmpxchg".to_owned(),
            other => {
                let fetch = if other & FETCH != 0 { "fetch_" } else { "" };
                match u8::try_from(other & !FETCH) {
                    Ok(ADD) => format!("{fetch}add"),
                    Ok(OR) => format!("{fetch}or"),
                    Ok(AND) => format!("{fetch}and"),
                    Ok(XOR) => format!("{fetch}xor"),
                    _ => format!("operation {other:#x}"),
                }
            }
        };
        return format!("atomic{} {name} [r{}{:+}], r{}", u32::from(size(insn)) * 8, insn.dst, insn.off, insn.src);
    }
    if is_listed(insn) {
        let listed = rbpf::disassembler::to_insn_vec(&insn.to_array());
        return listed.into_iter().next().map_or_else(String::new, |line| line.desc);
    }
    format!("opcode {:#04x} dst r{} src r{} off {} imm {:#x}", insn.opc, insn.dst, insn.src, insn.off, insn.imm)
}

/// What rbpf's disassembler does not know, in its manner.
fn newer(insn: &Insn) -> Option<String> {
    let Insn { dst, src, off, imm, .. } = *insn;
    let letter = ["w", "h", "b", "dw"][usize::from(insn.opc >> 3 & 3)];
    let operand = if insn.opc & X != 0 { format!("r{src}") } else { format!("{imm:#x}") };
    let width = if class(insn) == ALU64 { "64" } else { "32" };
    Some(match class(insn) {
        LD if mode(insn) == MODE_ABS => format!("ldabs{letter} [{imm:#x}]"),
        LD if mode(insn) == MODE_IND => format!("ldind{letter} [r{src}{imm:+#x}]"),
        LDX if mode(insn) == MODE_MEMSX => format!("ldxs{letter} r{dst}, [r{src}{off:+}]"),
        STX if mode(insn) == MODE_ATOMIC && imm == LOAD_ACQUIRE => format!("load_acquire{letter} r{dst}, [r{src}{off:+}]"),
        STX if mode(insn) == MODE_ATOMIC && imm == STORE_RELEASE => format!("store_release{letter} [r{dst}{off:+}], r{src}"),
        ALU | ALU64 if matches!(operation(insn), DIV | MOD) && off == 1 => {
            format!("s{}{width} r{dst}, {operand}", if operation(insn) == DIV { "div" } else { "mod" })
        }
        ALU | ALU64 if operation(insn) == MOV && off != 0 && insn.opc & X != 0 => format!("movs{off}to{width} r{dst}, r{src}"),
        ALU64 if operation(insn) == END && insn.opc & X == 0 => format!("bswap{imm} r{dst}"),
        JMP32 if operation(insn) == 0 && insn.opc & X == 0 => format!("gotol {imm:+#x}"),
        // As the verifier's log has it.
        JMP if insn.opc == CALL && src == 1 => format!("call pc{imm:+}"),
        JMP if insn.opc == CALL && src == 2 => format!("call kernel-function {imm}"),
        JMP if insn.opc == MAY_GOTO && src == 0 => format!("may_goto {off:+#x}"),
        _ => return None,
    })
}

/// Both halves of a 64-bit immediate.
pub(super) fn wide(first: &Insn, second: Option<&Insn>) -> u64 {
    let (low, high) = (first.imm.cast_unsigned(), second.map_or(0, |next| next.imm.cast_unsigned()));
    u64::from(low) | u64::from(high) << 32
}

/// What rbpf's disassembler prints rightly (it panics at an opcode it does not know).
fn is_listed(insn: &Insn) -> bool {
    match class(insn) {
        LDX => mode(insn) == MODE_MEM,
        ST | STX => mode(insn) == MODE_MEM && (class(insn) == STX || insn.src == 0),
        ALU | ALU64 => match operation(insn) {
            END => class(insn) == ALU && matches!(insn.imm, 16 | 32 | 64),
            NEG => insn.opc & X == 0,
            DIV | MOD | MOV => insn.off == 0,
            operation => operation < END,
        },
        JMP => match operation(insn) {
            0x80 => insn.opc == CALL && insn.src < 2,
            0x90 => insn.opc == EXIT,
            0x00 => insn.opc == JA,
            operation => operation < JCOND,
        },
        JMP32 => !matches!(operation(insn), 0x00 | 0x80 | 0x90) && operation(insn) < JCOND,
        _ => false,
    }
}

//! One BPF instruction: its fields by name, which registers it writes, and its text for messages.
//!
//! Numbers are those of RFC 9669. What is not here: meaning, which is the VM's, and what a helper reads.

use rbpf::ebpf::{self, INSN_SIZE, Insn};

pub(crate) const LD: u8 = 0x00;
pub(crate) const LDX: u8 = 0x01;
pub(crate) const ST: u8 = 0x02;
pub(crate) const STX: u8 = 0x03;
pub(crate) const ALU: u8 = 0x04;
pub(crate) const JMP: u8 = 0x05;
pub(crate) const JMP32: u8 = 0x06;
pub(crate) const ALU64: u8 = 0x07;

/// Bit 3: the second operand is a register.
pub(crate) const X: u8 = 0x08;

pub(crate) const MODE_ABS: u8 = 0x20;
pub(crate) const MODE_IND: u8 = 0x40;
pub(crate) const MODE_MEM: u8 = 0x60;
pub(crate) const MODE_MEMSX: u8 = 0x80;
pub(crate) const MODE_ATOMIC: u8 = 0xc0;

pub(crate) const LD_IMM64: u8 = 0x18;
pub(crate) const ADD: u8 = 0x00;
pub(crate) const SUB: u8 = 0x10;
pub(crate) const DIV: u8 = 0x30;
pub(crate) const OR: u8 = 0x40;
pub(crate) const AND: u8 = 0x50;
pub(crate) const LSH: u8 = 0x60;
pub(crate) const NEG: u8 = 0x80;
pub(crate) const MOD: u8 = 0x90;
pub(crate) const XOR: u8 = 0xa0;
pub(crate) const MOV: u8 = 0xb0;
pub(crate) const ARSH: u8 = 0xc0;
pub(crate) const END: u8 = 0xd0;

pub(crate) const JA: u8 = 0x05;
pub(crate) const GOTOL: u8 = 0x06;
pub(crate) const CALL: u8 = 0x85;
pub(crate) const EXIT: u8 = 0x95;
pub(crate) const JCOND: u8 = 0xe0;
/// Falls through, until the kernel has had enough of it.
pub(crate) const MAY_GOTO: u8 = JMP | JCOND;

pub(crate) const FETCH: i32 = 0x01;
pub(crate) const XCHG: i32 = 0xe1;
pub(crate) const CMPXCHG: i32 = 0xf1;
pub(crate) const LOAD_ACQUIRE: i32 = 0x100;
pub(crate) const STORE_RELEASE: i32 = 0x110;

/// The stack pointer.
pub(crate) const FRAME: u8 = 10;

/// A set of registers, one bit each.
pub(crate) type Registers = u16;

/// The set of one register.
pub(crate) fn only(register: u8) -> Registers {
    1 << register
}

/// Instruction class.
pub(crate) fn class(insn: &Insn) -> u8 {
    insn.opc & 0x07
}

/// Operation of an ALU or jump instruction.
pub(crate) fn operation(insn: &Insn) -> u8 {
    insn.opc & 0xf0
}

/// Addressing mode of a load or store.
pub(crate) fn mode(insn: &Insn) -> u8 {
    insn.opc & 0xe0
}

/// Bytes that a load or store touches.
pub(crate) fn size(insn: &Insn) -> u8 {
    match insn.opc & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// What kind of access to memory an instruction is: 0 a load, 1 a store, 2 an atomic operation.
pub(crate) fn access_kind(insn: &Insn) -> usize {
    match class(insn) {
        LDX => 0,
        STX if mode(insn) == MODE_ATOMIC && !matches!(insn.imm, LOAD_ACQUIRE | STORE_RELEASE) => 2,
        STX if mode(insn) == MODE_ATOMIC && insn.imm == LOAD_ACQUIRE => 0,
        _ => 1,
    }
}

/// Whether control may go elsewhere than to the next instruction: jumps, conditional or not, without calls and exits.
pub(crate) fn is_jump(insn: &Insn) -> bool {
    matches!(class(insn), JMP | JMP32) && !matches!(insn.opc, CALL | EXIT) && operation(insn) != 0x80 && operation(insn) != 0x90
}

/// Whether control never reaches the next instruction.
pub(crate) fn is_end(insn: &Insn) -> bool {
    matches!(insn.opc, JA | GOTOL | EXIT)
}

/// Where a jump or a call of a local function at `index` leads.
pub(crate) fn target(index: usize, insn: &Insn) -> Option<usize> {
    let offset = match insn.opc {
        GOTOL => i64::from(insn.imm),
        CALL if insn.src == 1 => i64::from(insn.imm),
        _ if is_jump(insn) => i64::from(insn.off),
        _ => return None,
    };
    usize::try_from(i64::try_from(index).ok()? + 1 + offset).ok()
}

/// The first instruction of the function whose address an instruction loads.
pub(crate) fn reference(index: usize, insn: &Insn) -> Option<usize> {
    if insn.opc != LD_IMM64 || insn.src != 4 {
        return None;
    }
    usize::try_from(i64::try_from(index).ok()? + 1 + i64::from(insn.imm)).ok()
}

/// The registers an instruction overwrites.
pub(crate) fn writes(insn: &Insn) -> Registers {
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
pub(crate) fn text(program: &[Insn], index: usize) -> String {
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
pub(crate) fn wide(first: &Insn, second: Option<&Insn>) -> u64 {
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

/// A program in assembly, an instruction a line with its index.
#[must_use]
pub fn listing(program: &[Insn]) -> String {
    let mut lines = String::new();
    let mut index = 0;
    while let Some(insn) = program.get(index) {
        for part in [&format!("{index:4}: "), &text(program, index), "\n"] {
            lines.push_str(part);
        }
        index += if insn.opc == LD_IMM64 { 2 } else { 1 };
    }
    lines
}

/// One instruction of a program in assembly.
#[must_use]
pub fn disassembled(program: &[Insn], index: usize) -> String {
    text(program, index)
}

/// Bytes as instructions.
pub(super) fn instructions(bytes: &[u8]) -> Vec<Insn> {
    bytes.chunks_exact(INSN_SIZE).map(|bytes| instruction(bytes.try_into().expect("eight bytes"))).collect()
}

/// Eight bytes as an instruction.
pub(super) fn instruction(bytes: [u8; 8]) -> Insn {
    ebpf::get_insn(&bytes, 0)
}

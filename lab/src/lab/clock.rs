//! The capture's clock and a seeded generator in a third-party program: calls of the kernel's clocks and of its generator become calls of
//! functions appended to the program, which read (and step) a cell that the host writes before each packet.
//!
//! A call takes one slot before and after, so no jump moves and instruction numbers stay those of the object. The vm has the same clock and
//! the same generator without a rewrite. Not here: the kernel's type information, the map itself.

use rbpf::ebpf::Insn;

use crate::bpf::Function;
use crate::vm::random::FACTOR;

/// Bytes of the cell: the clock, then the generator's state.
pub const CELL_BYTES: usize = 16;
/// Where the generator's state lies in the cell.
pub const STATE_OFFSET: i32 = 8;

/// `bpf_ktime_get_ns`, `_boot_ns`, `_coarse_ns`, `_tai_ns`.
const CLOCKS: [i32; 4] = [5, 125, 160, 208];
/// `bpf_jiffies64`, in the vm's ticks of 4 ms.
const TICKS: i32 = 118;
const TICK_NS: i32 = 4_000_000;
/// `bpf_get_prandom_u32`.
const RANDOM: i32 = 7;

const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;
const EXIT: u8 = 0x95;

/// Rewrites the calls. `map` is what `ld_imm64` (source 2, a map's value) must name for the cell; the appended functions, in order, are the
/// result, and none if there was nothing to rewrite.
pub fn substitute(instructions: &mut Vec<Insn>, map: i32) -> Vec<Function> {
    let mut appended = Vec::new();
    let functions = [
        ("treeline_clock", CLOCKS.as_slice(), clock(map)),
        ("treeline_ticks", &[TICKS], ticks(map)),
        ("treeline_random", &[RANDOM], random(map)),
    ];
    for (name, helpers, body) in functions {
        let calls: Vec<usize> = calls(instructions).filter(|&index| helpers.contains(&instructions[index].imm)).collect();
        if calls.is_empty() {
            continue;
        }
        let start = instructions.len();
        for index in calls {
            let distance = i32::try_from(start - index - 1).expect("a program has less than 2^31 instructions");
            instructions[index] = Insn { opc: CALL, dst: 0, src: 1, off: 0, imm: distance };
        }
        instructions.extend(body);
        appended.push(Function { start, name: name.to_owned() });
    }
    appended
}

/// Positions of the calls of helpers by number; the second halves of `ld_imm64` are no instructions.
fn calls(instructions: &[Insn]) -> impl Iterator<Item = usize> {
    let mut index = 0;
    std::iter::from_fn(move || {
        while let Some(insn) = instructions.get(index) {
            let here = index;
            index += if insn.opc == LD_IMM64 { 2 } else { 1 };
            if insn.opc == CALL && insn.src == 0 {
                return Some(here);
            }
        }
        None
    })
}

fn insn(opc: u8, dst: u8, src: u8, imm: i32) -> Insn {
    Insn { opc, dst, src, off: 0, imm }
}

/// The address of a byte of the cell into a register.
fn address(dst: u8, map: i32, offset: i32) -> [Insn; 2] {
    [insn(LD_IMM64, dst, 2, map), insn(0, 0, 0, offset)]
}

/// r0 = the clock.
fn clock(map: i32) -> Vec<Insn> {
    let mut body = address(1, map, 0).to_vec();
    body.extend([insn(0x79, 0, 1, 0), insn(EXIT, 0, 0, 0)]);
    body
}

/// r0 = the clock in ticks.
fn ticks(map: i32) -> Vec<Insn> {
    let mut body = clock(map);
    body.insert(body.len() - 1, insn(0x37, 0, 0, TICK_NS));
    body
}

/// r0 = the upper half of xorshift64*'s next number (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
/// 2016, figure 7), as the vm's generator gives it.
fn random(map: i32) -> Vec<Insn> {
    const MOV: u8 = 0xbf;
    const XOR: u8 = 0xaf;
    let mut body = address(1, map, STATE_OFFSET).to_vec();
    body.push(insn(0x79, 2, 1, 0)); // r2 = state
    for (shift, bits) in [(0x77, 12), (0x67, 25), (0x77, 27)] {
        body.extend([insn(MOV, 3, 2, 0), insn(shift, 3, 0, bits), insn(XOR, 2, 3, 0)]);
    }
    body.push(insn(0x7b, 1, 2, 0)); // state = r2
    let [low, high] = [FACTOR & 0xffff_ffff, FACTOR >> 32].map(|half| u32::try_from(half).expect("half").cast_signed());
    body.extend([insn(LD_IMM64, 3, 0, low), insn(0, 0, 0, high)]);
    body.extend([insn(0x2f, 2, 3, 0), insn(0x77, 2, 0, 32), insn(MOV, 0, 2, 0), insn(EXIT, 0, 0, 0)]);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Hook, MapKind, Object, Shape, Vm, random};

    fn program(source: &str) -> Vec<Insn> {
        rbpf::disassembler::to_insn_vec(&rbpf::assembler::assemble(source).expect("sound"))
            .iter()
            .map(|line| Insn {
                opc: line.opc,
                dst: line.dst,
                src: line.src,
                off: line.off,
                imm: i32::try_from(line.imm).expect("no wide one"),
            })
            .collect()
    }

    #[test]
    fn a_call_keeps_its_slot_and_jumps_do_not_move() {
        let source = "jeq r1, 0, +2\ncall 5\nja +1\ncall 7\ncall 208\nexit";
        let before = program(source);
        let mut after = before.clone();
        let appended = substitute(&mut after, 3);
        assert_eq!(
            appended.iter().map(|function| (function.name.as_str(), function.start)).collect::<Vec<_>>(),
            [("treeline_clock", 6), ("treeline_random", 10)]
        );
        for index in [0, 2, 5] {
            assert_eq!(after[index], before[index]);
        }
        for (index, start) in [(1, 6), (3, 10), (4, 6)] {
            let insn = &after[index];
            assert_eq!((insn.opc, insn.src, i32::try_from(index).expect("few") + 1 + insn.imm), (CALL, 1, start), "instruction {index}");
        }
        assert_eq!(after.last().expect("not empty").opc, EXIT);
    }

    #[test]
    fn a_program_without_clock_stays_as_it_is() {
        let mut after = program("mov r0, 2\ncall 1\nexit");
        // A constant whose second half looks like a call is none.
        after.splice(1..1, [insn(LD_IMM64, 1, 0, 5), Insn { opc: CALL, dst: 0, src: 0, off: 0, imm: 5 }]);
        let before = after.clone();
        assert!(substitute(&mut after, 0).is_empty());
        assert_eq!(after, before);
    }

    #[test]
    fn the_appended_functions_give_clock_and_generator() {
        let mut code = program("mov r6, 0\ncall 7\nmov r6, r0\ncall 7\nlsh r6, 32\nor r6, r0\ncall 5\nxor r0, r6\nexit");
        substitute(&mut code, 0);
        let bytes: Vec<u8> = code.iter().flat_map(Insn::to_array).collect();
        let cell = Shape { name: "cell".to_owned(), kind: MapKind::Array, key_size: 4, value_size: CELL_BYTES, max_entries: 1, flags: 0 };
        let object = Object::from_bytecode("test", Hook::Xdp, &bytes, &[cell]).expect("sound");
        let mut vm = Vm::load(&object, "test").expect("loads");
        let entry = vm.map_mut("cell").and_then(|map| map.entry_mut(0)).expect("an array");
        entry[..8].copy_from_slice(&0x4d_u64.to_le_bytes());
        entry[8..].copy_from_slice(&9_u64.to_le_bytes());
        let returned = vm.run(&[0; 64], 0).expect("runs");
        let (state, first) = random::step(9);
        let expected = (u64::from(first) << 32 | u64::from(random::step(state).1)) ^ 0x4d;
        assert_eq!(returned, expected);
    }
}

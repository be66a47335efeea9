//! Backwards through a walk: the instruction from which the value in r0 came that the program returned.
//!
//! Copies are followed, between registers, through the stack, from a function's r0 to its caller's and from a caller's argument to the
//! function; the first instruction that makes the value otherwise (a constant, arithmetic, a load, a helper's call) is the answer.

use rbpf::ebpf::{self, Insn};

use crate::bpf::Program;
use crate::vm::Step;

const FRAME: u8 = 10;
const CLASS: u8 = 0x07;
const SIZE: u8 = 0x18;
/// Without a sign to extend.
const MOV: [u8; 2] = [ebpf::MOV64_REG, ebpf::MOV32_REG];

/// What is looked for: a register, or bytes of the stack from this offset on, in the frame of the function that starts here.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Register(u8),
    Stack { offset: i16, size: u8 },
}

/// The step that made the value that r0 has at the last step; `programs` by position.
pub(super) fn returned(steps: &[Step], programs: &[&Program]) -> Option<usize> {
    let last = steps.len().checked_sub(1)?;
    let function = |at: usize| programs[steps[at].program].function(steps[at].instruction).map_or(0, |function| function.start);
    let insn = |at: usize| &programs[steps[at].program].instructions[steps[at].instruction];
    let (program, mut wanted, mut frame) = (steps[last].program, Wanted::Register(0), function(last));
    // The step after the one looked at, in the frame looked at: a call that comes before it was left by what stands before that.
    let mut after = last;
    let mut at = last;
    while let Some(before) = at.checked_sub(1) {
        at = before;
        if steps[at].program != program {
            return None;
        }
        if function(at) != frame {
            // Into the caller, with an argument.
            if matches!(wanted, Wanted::Register(1..=5)) && after == at + 1 && steps[after].instruction == frame {
                (frame, after) = (function(at), at);
            }
            continue;
        }
        let (here, returned_to) = (insn(at), after);
        after = at;
        match wanted {
            Wanted::Register(0) if is_local_call(here) => {
                // Into the callee, by its exit.
                at = returned_to;
                (frame, after) = (function(returned_to - 1), returned_to - 1);
            }
            Wanted::Register(register) if writes(here, register) => match copied(here) {
                Some(from) => wanted = from,
                None => return Some(at),
            },
            Wanted::Stack { offset, size } if stores(here, offset, size) => {
                if here.opc & CLASS != ebpf::BPF_STX {
                    return Some(at);
                }
                wanted = Wanted::Register(here.src);
            }
            _ => {}
        }
    }
    None
}

fn is_local_call(insn: &Insn) -> bool {
    insn.opc == ebpf::CALL && insn.src == 1
}

fn writes(insn: &Insn, register: u8) -> bool {
    match insn.opc & CLASS {
        ebpf::BPF_LDX | ebpf::BPF_ALU | ebpf::BPF_ALU64 => insn.dst == register,
        ebpf::BPF_LD => insn.dst == register || insn.opc != ebpf::LD_DW_IMM && register < 6,
        // Atomic operations may fetch.
        ebpf::BPF_STX => insn.opc & 0xe0 == 0xc0 && (insn.src == register || register == 0),
        _ => insn.opc == ebpf::CALL && register < 6,
    }
}

/// Where a copy's value is from.
fn copied(insn: &Insn) -> Option<Wanted> {
    if MOV.contains(&insn.opc) && insn.off == 0 {
        return Some(Wanted::Register(insn.src));
    }
    let is_plain_load = insn.opc & CLASS == ebpf::BPF_LDX && insn.opc & 0xe0 == 0x60;
    (is_plain_load && insn.src == FRAME).then_some(Wanted::Stack { offset: insn.off, size: insn.opc & SIZE })
}

fn stores(insn: &Insn, offset: i16, size: u8) -> bool {
    matches!(insn.opc & CLASS, ebpf::BPF_ST | ebpf::BPF_STX)
        && insn.opc & 0xe0 == 0x60
        && (insn.dst, insn.off, insn.opc & SIZE) == (FRAME, offset, size)
}

//! Liveness: which registers hold a value that the program may still read. The others are free for `lower` to work in.
//!
//! Calls end r0 to r5, as the calling convention says; a helper reads as many as it has arguments, a local function counts as
//! reading all five; exit reads r0.

use super::instruction::{LD_IMM64, Registers, is_end, is_jump, reads, target, writes};
use rbpf::ebpf::Insn;
use std::ops::Range;

/// The registers live before each instruction of the functions given; 0 outside of them.
pub(super) fn live_before(program: &[Insn], functions: &[Range<usize>]) -> Vec<Registers> {
    let mut live: Vec<Registers> = vec![0; program.len() + 1];
    let indices = || functions.iter().flat_map(Range::clone);
    // From where control comes to each instruction.
    let mut sources = vec![Vec::new(); program.len() + 1];
    for index in indices() {
        for next in successors(program, index) {
            sources[next].push(index);
        }
    }
    // Later ones first. What changes has those looked at again that come before it: as often as there are registers at most.
    let mut pending: Vec<usize> = indices().collect();
    while let Some(index) = pending.pop() {
        let after = successors(program, index).fold(0, |after, next| after | live[next]);
        let before = (after & !writes(&program[index])) | reads(&program[index]);
        if before != live[index] {
            live[index] = before;
            pending.extend(&sources[index]);
        }
    }
    live
}

/// Where control may go on from an instruction.
fn successors(program: &[Insn], index: usize) -> impl Iterator<Item = usize> {
    let insn = &program[index];
    let next = (!is_end(insn)).then(|| index + if insn.opc == LD_IMM64 { 2 } else { 1 });
    let target = if is_jump(insn) { target(index, insn) } else { None };
    let length = program.len();
    next.into_iter().chain(target).filter(move |next| *next <= length)
}

#[cfg(test)]
mod tests {
    use super::super::instruction::only;
    use super::*;

    fn check(source: &str, expected: &[&[u8]]) {
        let bytes = rbpf::assembler::assemble(source).expect("assembles");
        let program: Vec<Insn> = (0..bytes.len() / 8).map(|index| rbpf::ebpf::get_insn(&bytes, index)).collect();
        let live = live_before(&program, std::slice::from_ref(&(0..program.len())));
        for (index, registers) in expected.iter().enumerate() {
            let set = registers.iter().fold(0, |set, register| set | only(*register));
            assert_eq!(live[index], set, "before instruction {index} of\n{source}");
        }
    }

    #[test]
    fn a_register_is_live_up_to_its_last_read() {
        check("mov r2, 1\nmov r0, r2\nexit", &[&[], &[2], &[0]]);
    }

    #[test]
    fn a_loop_keeps_its_counter_live() {
        check("mov r0, 0\nmov r6, 9\nadd r0, r6\nsub r6, 1\njne r6, 0, -3\nexit", &[&[], &[0], &[0, 6], &[0, 6], &[0, 6], &[0]]);
    }

    #[test]
    fn a_call_ends_its_arguments() {
        check("mov r1, 1\ncall 99\nmov r1, 2\nexit", &[&[2, 3, 4, 5], &[1, 2, 3, 4, 5], &[0], &[0]]);
    }
}

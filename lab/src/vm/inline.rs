//! Inlining: calls of small functions become jumps, because rbpf runs a program without calls a third faster (see `Lowering::descend`).
//!
//! A function that is called once and touches neither the stack nor the registers it would have to keep differs from a stretch of its caller
//! only in how it is entered and left. The code stays where it is, so an instruction's index means the same before and after.
//! What is not here: functions with a frame of their own, which stay functions.

use super::function::{calls, is_tail_call};
use super::instruction::{CALL, EXIT, GOTOL, LD_IMM64, Registers, reads, writes};
use rbpf::ebpf::Insn;
use std::ops::Range;

/// The registers that belong to the caller across a call, and the stack pointer.
const KEPT: Registers = 0b111_1100_0000;

/// The program with jumps in place of calls, if that can be done for all of its calls of functions; otherwise as it is.
pub(super) fn inlined(program: &[Insn], functions: &[Range<usize>]) -> Vec<Insn> {
    let mut result = program.to_vec();
    let Some((main, called)) = functions.split_first() else { return result };
    let sites: Vec<(usize, usize)> = calls(program, functions, main).collect();
    // Each is called by somebody, so as many calls of main as functions are one each. Code that nobody reaches would stand between them.
    let reached: usize = functions.iter().map(Range::len).sum();
    let is_called = |(site, _): &(usize, usize)| program[*site].opc == CALL;
    if !sites.iter().all(is_called)
        || sites.len() != called.len()
        || reached != program.len()
        || !called.iter().all(|function| is_leaf(program, function))
    {
        return result;
    }
    for (site, callee) in sites {
        let function = &functions[callee];
        for index in starts(program, function).filter(|index| program[*index].opc == EXIT) {
            result[index] = jump(index, site + 1);
        }
        result[site] = jump(site, function.start);
    }
    result
}

/// Whether a function keeps its hands off the stack, the caller's registers and other functions.
fn is_leaf(program: &[Insn], function: &Range<usize>) -> bool {
    starts(program, function).map(|index| &program[index]).all(|insn| {
        let calls = insn.opc == CALL && insn.src == 1;
        // What takes the function's place returns to its caller.
        !calls && !is_tail_call(insn) && (reads(insn) | writes(insn)) & KEPT == 0
    })
}

/// The indices at which a function's instructions start.
fn starts(program: &[Insn], function: &Range<usize>) -> impl Iterator<Item = usize> {
    let mut index = function.start;
    let end = function.end;
    std::iter::from_fn(move || {
        let start = index;
        index += if program.get(start)?.opc == LD_IMM64 { 2 } else { 1 };
        (start < end).then_some(start)
    })
}

fn jump(from: usize, to: usize) -> Insn {
    let offset = i64::try_from(to).unwrap_or(i64::MAX) - i64::try_from(from).unwrap_or(0) - 1;
    Insn { opc: GOTOL, dst: 0, src: 0, off: 0, imm: i32::try_from(offset).expect("programs are far below 2^31 instructions") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the functions of an assembled program, the first of which is main, are inlined.
    fn check(source: &str, functions: &[Range<usize>], expected: bool) {
        let bytes = rbpf::assembler::assemble(source).expect("assembles");
        let decoded = (0..bytes.len() / 8).map(|index| rbpf::ebpf::get_insn(&bytes, index));
        // The assembler knows helpers only; here every call is one of a function.
        let program: Vec<Insn> = decoded.map(|insn| Insn { src: insn.src | u8::from(insn.opc == CALL), ..insn }).collect();
        let inlined = inlined(&program, functions);
        assert_eq!(inlined.iter().all(|insn| insn.opc != CALL), expected, "{source}");
        assert_eq!(inlined == program, !expected, "{source}");
    }

    #[test]
    fn a_function_called_once_that_keeps_to_the_argument_registers_is_inlined() {
        check("call 1\nexit\nmov r0, 1\nexit", &[0..2, 2..4], true);
        check("call 2\ncall 3\nexit\nmov r0, 1\nexit\nmov r0, 2\nexit", &[0..3, 3..5, 5..7], true);
    }

    #[test]
    fn a_function_that_would_have_to_keep_something_is_not() {
        check("call 1\nexit\nmov r6, 1\nexit", &[0..2, 2..4], false);
        check("call 1\nexit\nstxdw [r10-8], r1\nexit", &[0..2, 2..4], false);
    }

    #[test]
    fn a_function_called_twice_or_from_a_function_is_not() {
        check("call 2\ncall 1\nexit\nmov r0, 1\nexit", &[0..3, 3..5], false);
        check("call 1\nexit\ncall 1\nexit\nmov r0, 1\nexit", &[0..2, 2..4, 4..6], false);
    }
}

//! Calls: of helpers and of functions, and what they charge against the limit of instructions.

use super::VmError;
use super::callback::is_callback;
use super::helper::{self, Meter};
use super::instruction::{EXIT, is_jump, only, target};
use super::lower::Lowering;
use rbpf::ebpf::{self, Insn};
use std::ops::Range;

/// What each instruction charges before it runs: a loop's head the loop's length, a called function's entry the function's.
pub(super) fn charges(program: &[Insn], functions: &[Range<usize>]) -> Vec<usize> {
    let mut charges = vec![0; program.len()];
    for (number, function) in functions.iter().enumerate() {
        if number > 0 {
            charges[function.start] = function.len();
        }
        for index in function.clone() {
            if is_jump(&program[index])
                && let Some(head) = target(index, &program[index])
                && head <= index
            {
                charges[head] = charges[head].max(index - head + 1);
            }
        }
    }
    charges
}

impl Lowering<'_> {
    pub(super) fn call(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        match insn.src {
            0 => {
                let called = helper::allowed(insn.imm, self.hook).map_err(|reason| self.refuse.at(index, &reason))?;
                if called.number == helper::TAIL_CALL && !self.main.contains(&index) {
                    self.tail_call_aside(index);
                    return Ok(());
                }
                if is_callback(called.number) {
                    return self.callback(index, called.number);
                }
                if called.arguments.len() == 5 {
                    self.out.helper(helper::FIFTH);
                }
                // r5 ends with the call.
                self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
                self.out.helper(insn.imm);
                Ok(())
            }
            1 => {
                let target = target(index, insn).ok_or_else(|| self.refuse.at(index, "the call leaves the program"))?;
                self.out.jump(insn.clone(), target);
                Ok(())
            }
            _ => Err(self.refuse.at(index, "kernel functions are not there")),
        }
    }

    /// A tail call in a function: the other program takes the place of the function, so what it answers goes to the function's caller.
    fn tail_call_aside(&mut self, index: usize) {
        self.goes_aside = true;
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper::ASIDE);
        self.out.skip(&Insn { opc: ebpf::JEQ_IMM, dst: 0, src: 0, off: 0, imm: 0 }, 2);
        self.out.helper(helper::ANSWER);
        self.out.push(Insn { opc: EXIT, dst: 0, src: 0, off: 0, imm: 0 });
    }

    /// Charges `instructions` against the limit; only r0 is lost by it, so that is kept if it is live.
    pub(super) fn meter(&mut self, index: usize, instructions: usize) -> Result<(), VmError> {
        let place = self.meters.len().min(helper::METERS - 1);
        match self.meters.get_mut(place) {
            Some(shared) => *shared = Meter { instructions: shared.instructions.max(instructions), site: None },
            None => self.meters.push(Meter { instructions, site: Some(index) }),
        }
        let number = helper::METER + i32::try_from(place).expect("below 64");
        if self.live[index] & only(0) == 0 {
            self.out.helper(number);
            return Ok(());
        }
        let scratch = self.scratch(index, only(0))?;
        self.out.reg(ebpf::MOV64_IMM, scratch.register, 0);
        self.out.helper(number);
        self.out.reg(ebpf::MOV64_IMM, 0, scratch.register);
        scratch.give_back(&mut self.out);
        Ok(())
    }
}

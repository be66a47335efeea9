//! Traces: how often each instruction ran, and which way each conditional jump went.
//!
//! A traced program ([`Options::trace`](super::Options::trace)) counts at the start of every block and where a conditional jump falls through;
//! the rest follows from those. It runs on the VM's own stack, where counting keeps two registers. A run that ends in a fault counts the whole of
//! its last block.

use super::helper;
use super::instruction::{FRAME, LD_IMM64, is_end, is_jump, target};
use super::lower::Lowering;
use super::run::Vm;
use rbpf::ebpf::{self, Insn};
use std::ops::Range;

/// Where a program counts: by original instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// At the start of a block.
    Block(usize),
    /// Where this jump falls through.
    Fall(usize),
}

/// Which way a conditional jump went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// Its index in the relocated program, in 8-byte slots.
    pub instruction: usize,
    /// How often it jumped.
    pub taken: u64,
    /// How often it did not.
    pub fallen: u64,
}

/// What a program did in all runs since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// How often each instruction ran, by its index in the relocated program; second halves of wide instructions as their first.
    pub executed: Vec<u64>,
    /// All conditional jumps, in order.
    pub branches: Vec<Branch>,
}

/// The instructions that start a block: functions, what jumps lead to, what follows a jump.
pub(super) fn leaders(program: &[Insn], functions: &[Range<usize>]) -> Vec<bool> {
    let mut leaders = vec![false; program.len() + 1];
    for function in functions {
        leaders[function.start] = true;
    }
    let mut index = 0;
    while let Some(insn) = program.get(index) {
        if is_jump(insn) {
            leaders[index + 1] = true;
            if let Some(leader) = target(index, insn).and_then(|target| leaders.get_mut(target)) {
                *leader = true;
            }
        }
        index += if insn.opc == LD_IMM64 { 2 } else { 1 };
    }
    leaders
}

impl Lowering<'_> {
    /// Counts that control came by here.
    pub(super) fn count(&mut self, point: Point) {
        const KEPT: [(u8, i16); 2] = [(0, -568), (5, -560)];
        let Some(points) = &mut self.points else { return };
        let number = i32::try_from(points.len()).expect("programs are far below 2^31 instructions");
        points.push(point);
        for (register, slot) in KEPT {
            self.out.memory(ebpf::ST_DW_REG, FRAME, register, slot);
        }
        self.out.imm(ebpf::MOV64_IMM, 5, number);
        self.out.helper(helper::COUNT);
        for (register, slot) in KEPT {
            self.out.memory(ebpf::LD_DW_REG, register, FRAME, slot);
        }
    }
}

impl Vm {
    /// What the program at a position of those loaded did so far, if it was loaded to be traced.
    #[must_use]
    pub fn trace(&self, position: usize) -> Option<Trace> {
        let (program, counts) = (self.programs.get(position)?, self.session.counts.get(position)?);
        let points = program.points.as_ref()?;
        let mut executed: Vec<Option<u64>> = vec![None; program.instructions.len()];
        for (point, count) in points.iter().zip(counts) {
            if let Point::Block(start) = point {
                executed[*start] = Some(*count);
            }
        }
        let mut running = 0;
        let executed: Vec<u64> = executed
            .into_iter()
            .map(|count| {
                running = count.unwrap_or(running);
                running
            })
            .collect();
        let falls = points.iter().zip(counts).filter_map(|(point, count)| match point {
            Point::Fall(jump) => Some((*jump, *count)),
            Point::Block(_) => None,
        });
        let mut branches: Vec<Branch> = falls
            .map(|(instruction, fallen)| Branch { instruction, taken: executed[instruction].saturating_sub(fallen), fallen })
            .collect();
        branches.sort_by_key(|branch| branch.instruction);
        Some(Trace { executed, branches })
    }
}

/// Whether an instruction may go two ways.
pub(super) fn is_conditional(insn: &Insn) -> bool {
    is_jump(insn) && !is_end(insn)
}

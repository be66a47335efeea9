//! Callbacks: a call of a helper that calls a function of the program's becomes a loop that calls it.
//!
//! ```text
//! begin(r1, r3, r4); while next() { r1.. = argument(0).. ; r0 = function(); turned(r0) }; r0 = done()
//! ```
//!
//! Registers r6 to r9 are the function's to keep, as in the kernel; r0 to r5 end with the call.

use super::VmError;
use super::emit::goto;
use super::helper::callback;
use super::instruction::{ALU64, CALL, MOV};
use super::lower::Lowering;
use rbpf::ebpf::{self, Insn};

/// The kernel's number of `bpf_for_each_map_elem`.
const FOR_EACH: i32 = 164;
/// The kernel's number of `bpf_loop`.
const LOOP: i32 = 181;

/// Whether the helper calls a function.
pub(super) fn is_callback(number: i32) -> bool {
    matches!(number, FOR_EACH | LOOP)
}

impl Lowering<'_> {
    /// Lowers a call of one of the two helpers at `index`, whose r2 is the address of a function.
    pub(super) fn callback(&mut self, index: usize, number: i32) -> Result<(), VmError> {
        let function = self.provenance.callback(index);
        let function = function.ok_or_else(|| self.refuse.at(index, "the function it calls is not the same on all paths"))?;
        let (begin, arguments) = if number == LOOP { (callback::LOOP, 2) } else { (callback::EACH, 4) };
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(begin);
        let head = self.out.code.len();
        self.out.helper(callback::NEXT);
        let test = self.out.code.len();
        self.out.imm(ebpf::JEQ_IMM, 0, 0);
        for (register, argument) in (1..=arguments).zip(callback::ARGUMENT..) {
            self.out.helper(argument);
            self.out.reg(ALU64 | MOV, register, 0);
        }
        self.out.jump(Insn { opc: CALL, dst: 0, src: 1, off: 0, imm: 0 }, function);
        self.out.reg(ALU64 | MOV, 1, 0);
        self.out.helper(callback::TURNED);
        let back = self.out.code.len();
        let distance = |from: usize, to: usize| i16::try_from(to.cast_signed() - from.cast_signed() - 1).expect("a short loop");
        self.out.push(Insn { off: distance(back, head), ..goto() });
        self.out.code[test].off = distance(test, back + 1);
        self.out.helper(callback::DONE);
        Ok(())
    }
}

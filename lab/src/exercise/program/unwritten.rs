//! Programs that lack one of their stores to the stack: what they read there is found out, or nothing depends on it.

use rbpf::ebpf::Insn;

use super::super::Finding;
use super::code::{ARRAY, CONTEXT, UNSPILLED};
use super::{Case, NOTHING, Outcome};
use crate::vm::{Fault, Options, VmError};

/// What bytes that were never written hold in the second run; in the first they are zero.
const LEFT: u8 = 0xa5;

/// Of a program's stores the first are left out, once each: later ones often write what was written before.
const STORES_MAX: usize = 10;

/// Takes away the first of the program's stores to its stack, one at a time, and runs what is left twice, over stacks that hold other bytes. The
/// answer is how many of the programs ended because they read what was never written.
pub fn unwritten(case: &Case, options: &Options) -> Result<usize, Finding> {
    let mut found = 0;
    let stores = (0..case.instructions.len()).filter(|index| is_stack_store(&case.instructions[*index]));
    for index in stores.take(STORES_MAX) {
        let mut less = case.clone();
        less.instructions[index] = NOTHING;
        let [zero, left] = [0, LEFT].map(|stack_fill| less.in_vm(&Options { stack_fill, ..options.clone() }));
        if matches!(&zero, Err(VmError::Fault { fault: Fault::Unwritten { .. }, .. })) {
            found += 1;
        }
        let [zero, left] = [shown(zero), shown(left)];
        if zero != left {
            let what = format!("without its store at {index} it depends on what the stack held: {zero:?} or {left:?}");
            return Err(Finding::Program { what, listing: less.listing() });
        }
    }
    Ok(found)
}

/// A store that can be left out. Without the one that hides a spilled context, the context's address is read as a number, which differs by the run.
fn is_stack_store(insn: &Insn) -> bool {
    let hides_context = insn.off == ARRAY + CONTEXT && insn.imm == UNSPILLED;
    matches!(insn.opc & 0x07, 0x02 | 0x03) && insn.dst == 10 && !hides_context
}

fn shown(result: Result<Vec<Outcome>, VmError>) -> Result<Vec<Outcome>, String> {
    result.map_err(|error| error.to_string())
}

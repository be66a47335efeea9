//! The tree: the walk over the MODEL map, or the instructions that `treeline link` puts in place of the call of [`treeline_tree`].
//!
//! Which of the two is a constant of the object, so the verifier removes the other: neither pays for both.

use core::arch::asm;

use treeline_ebpf::{Features, Skip, tree};

use crate::map;

/// Asks the tree.
#[inline(always)]
pub fn decide(features: &Features) -> Result<u16, Skip> {
    if map::is_compiled() {
        u16::try_from(treeline_tree(features)).map_err(|_| Skip::Undecided)
    } else {
        let tree = map::MODEL.get(0).ok_or(Skip::Undecided)?;
        let mut root = 0;
        // SAFETY: out comes what went in.
        unsafe { asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) root, in(reg) tree.nodes[0].link, options(pure, nomem, nostack)) };
        tree::descend_from(root, tree, features)
    }
}

/// Stands for a compiled tree: the class that the features reach, or a larger number for none, as from this body. Without an exported
/// name, so static, and of no interest to the verifier: a global function may not take a pointer before Linux 5.13.
#[inline(never)]
extern "C" fn treeline_tree(features: &Features) -> u64 {
    let class: u64;
    // SAFETY: sets a register; as assembly, because the compiler must not conclude from this body what another one reads or returns.
    unsafe { asm!("r0 = 0x10000", in("r1") features, out("r0") class, options(readonly, nostack)) };
    class
}

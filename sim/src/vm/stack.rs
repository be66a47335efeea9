//! The stack: rbpf's 512 bytes, or one of the VM's own for programs that do not fit there.
//!
//! rbpf has 512 bytes for all frames together. A program of which it is not known how deep each function goes, or in which lowering needs
//! bytes beside the program's, gets a stack with a whole frame for every function, at a fixed address; memory access is a little slower
//! there. All of this is invisible to the program.

use super::function::Frame;
use super::provenance::STACK;
use rbpf::ebpf;

/// Bytes of each frame that belong to lowering.
const SPARE: i32 = 64;
/// A frame of the VM's own stack.
pub(super) const FRAME: Frame = Frame { used: STACK, spare: SPARE };
/// Bytes of the VM's own stack.
pub(super) const LENGTH: usize = (STACK + SPARE) as usize * ebpf::MAX_CALL_DEPTH;

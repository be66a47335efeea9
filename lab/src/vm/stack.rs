//! The stack: rbpf's 512 bytes, or one of the VM's own for programs that do not fit there.
//!
//! rbpf has 512 bytes for all frames together. A program of which it is not known how deep each function goes, in which lowering needs
//! bytes beside the program's, or which may read bytes that were never written, gets a stack with a whole frame for every function, at a
//! fixed address; memory access is a little slower there. All of this is invisible to the program.

use super::function::Frame;
use super::known::STACK;
use super::memory::Piece;
use rbpf::ebpf;

/// Bytes of each frame that belong to lowering.
const SPARE: i32 = 64;
/// A frame of the VM's own stack.
pub(super) const FRAME: Frame = Frame { used: STACK, spare: SPARE, shadow: 0 };
/// The same with its shadow.
pub(super) const SHADOWED: Frame = Frame { shadow: STACK, ..FRAME };
/// From a byte of a shadowed frame to the one that says whether it was written.
pub(super) const SHADOW: i32 = -(STACK + SPARE);
/// Bytes of the VM's own stack at most.
pub(super) const LENGTH: usize = length(SHADOWED);
/// What the shadow holds for a byte that was never written, and for one that was.
const UNWRITTEN: u8 = 0xff;
pub(super) const WRITTEN: u8 = 0;

/// Bytes of a stack of such frames.
pub(super) const fn length(frame: Frame) -> usize {
    frame.length().unsigned_abs() as usize * ebpf::MAX_CALL_DEPTH
}

/// The stack of a run, as helpers see it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stack {
    /// The main program's frame pointer.
    pub(super) end: u64,
    pub(super) length: u64,
    /// The VM's own, with a shadow.
    pub(super) shadowed: Option<Piece>,
}

/// A byte of the stack that was read and never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// From the frame pointer of its frame, negative.
    pub(super) offset: i32,
    /// How many calls deep that frame is; 0 is the main program's.
    pub(super) frame: u32,
}

impl Stack {
    /// Whether so many bytes lie in it; of a shadowed one, in what a function has of it.
    pub(super) fn holds(&self, address: u64, length: u64) -> bool {
        let above = self.end.wrapping_sub(address);
        let is_inside = above <= self.length && length <= above;
        is_inside
            && (self.shadowed.is_none()
                || length == 0
                || self.place(address).is_some_and(|(_, offset)| length <= u64::from(offset.unsigned_abs())))
    }

    /// How many calls deep the frame is that an address lies in, as far as that can be told, and that frame's pointer.
    pub(super) fn frame(&self, address: u64) -> (u32, u64) {
        let own = if self.shadowed.is_some() { SHADOWED } else { FRAME };
        let above = self.end.saturating_sub(address);
        if self.length <= ebpf::STACK_SIZE as u64 || above == 0 {
            return (0, self.end);
        }
        let stride = u64::from(own.length().unsigned_abs());
        let frame = (above - 1) / stride;
        (u32::try_from(frame).unwrap_or(u32::MAX), self.end - frame * stride)
    }

    /// The frame of an address, and its offset from that one's pointer.
    fn place(&self, address: u64) -> Option<(u32, i32)> {
        let stride = SHADOWED.length();
        let above = i32::try_from(self.end.checked_sub(address)?).ok()?;
        let (frame, offset) = ((above - 1).div_euclid(stride), -((above - 1).rem_euclid(stride) + 1));
        (above > 0 && offset >= -STACK).then_some((frame.unsigned_abs(), offset))
    }

    /// The shadow of bytes that lie in a function's part.
    fn shadow(&self, address: u64, length: usize) -> Option<Piece> {
        let stack = self.shadowed?;
        if length == 0 || !self.holds(address, length as u64) {
            return None;
        }
        let start = usize::try_from(address - stack.address()).ok()?.checked_add_signed(SHADOW as isize)?;
        Some(stack.part(start, length))
    }

    /// The first of some bytes that was never written; none where they are not the stack's.
    pub(super) fn unwritten(&self, address: u64, length: usize) -> Option<Unwritten> {
        let shadow = self.shadow(address, length)?;
        let first = shadow.bytes().iter().position(|byte| *byte != WRITTEN)?;
        let (frame, offset) = self.place(address + first as u64)?;
        Some(Unwritten { offset, frame })
    }

    /// Notes that a helper wrote some bytes, if they are the stack's.
    pub(super) fn write(&self, address: u64, length: usize) {
        if let Some(mut shadow) = self.shadow(address, length) {
            shadow.bytes_mut().fill(WRITTEN);
        }
    }

    /// Begins the frame below a frame pointer: nothing of it is written.
    pub(super) fn enter(&self, pointer: u64) {
        let Some(stack) = self.shadowed else { return };
        let start = usize::try_from(pointer.wrapping_sub(stack.address()))
            .ok()
            .and_then(|start| start.checked_sub(SHADOWED.length().unsigned_abs() as usize));
        if let Some(start) = start.filter(|start| start + STACK.unsigned_abs() as usize <= stack.length()) {
            stack.part(start, STACK.unsigned_abs() as usize).bytes_mut().fill(UNWRITTEN);
        }
    }
}

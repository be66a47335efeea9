//! What is known at one point of a function: what registers and stack slots hold, and which bytes of the frame were written.
//!
//! Knowledge is only ever dropped where paths meet, so what is not known is treated as anything. How it changes from one instruction to the
//! next is in `walk`.

use std::rc::Rc;

/// Bytes of a frame's stack.
pub(super) const STACK: i32 = 512;
const SLOTS: usize = 64;

/// Offsets are followed up to here: far above any object, and sums stay inside 32 bits however long a loop adds.
pub(super) const REACH: u32 = 1 << 29;

/// What is known of a register or a stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, but that a program that the verifier takes has no address of the stack in it.
    Nothing,
    /// Nothing; maybe an address in some frame.
    MaybeStack,
    /// This number.
    Number(i32),
    /// A number from zero to this one.
    Within(i32),
    /// Context plus offset.
    Context(i32),
    /// Start of the packet plus offset.
    Packet(i32),
    /// Top of a frame's stack plus offset; the main program's frame is number 0.
    Stack(u8, i32),
    /// Top of a frame's stack plus an offset, and as many bytes more as the last number or less.
    StackWithin(u8, i32, i32),
    /// A map.
    Map(usize),
    /// A function, by its first instruction.
    Function(usize),
    /// A value of a map plus offset, or null plus offset.
    Value(usize, i32),
}

impl Known {
    /// Whether it may be an address in the stack.
    pub(super) fn is_stack(self) -> bool {
        matches!(self, Self::Stack(..) | Self::StackWithin(..) | Self::MaybeStack)
    }

    /// Where in which frame it points to: at that offset or as many bytes more.
    pub(super) fn span(self) -> Option<(u8, i32, i32)> {
        match self {
            Self::Stack(frame, start) => Some((frame, start, 0)),
            Self::StackWithin(frame, start, slack) => Some((frame, start, slack)),
            _ => None,
        }
    }

    /// What is left of it after something happened to it.
    pub(super) fn weakened(self) -> Self {
        if self.is_stack() { Self::MaybeStack } else { Self::Nothing }
    }

    /// What is known of a value that is either.
    pub(super) fn met(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (one, other) if one.is_stack() || other.is_stack() => Self::MaybeStack,
            _ => Self::Nothing,
        }
    }
}

/// Which bytes of a frame were written on every way, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written([u64; SLOTS / 8]);

impl Written {
    /// Notes that so many bytes were written at an offset from the frame's top; what lies outside of the frame does not count.
    pub(super) fn add(&mut self, offset: i32, size: i32) {
        for byte in bytes(offset, size) {
            self.0[byte / 64] |= 1 << (byte % 64);
        }
    }

    /// Whether so many bytes at an offset from the frame's top lie in the frame and were written.
    pub(super) fn has(&self, offset: i32, size: i32) -> bool {
        bytes(offset, size).len() == usize::try_from(size).unwrap_or(0)
            && bytes(offset, size).all(|byte| self.0[byte / 64] >> (byte % 64) & 1 == 1)
    }

    fn meet(&mut self, other: &Self) -> bool {
        let before = *self;
        self.0.iter_mut().zip(&other.0).for_each(|(one, other)| *one &= other);
        *self != before
    }
}

/// The bytes of a frame, from its bottom, that an access touches.
fn bytes(offset: i32, size: i32) -> std::ops::Range<usize> {
    let from_bottom = |offset: i32| usize::try_from(offset.saturating_add(STACK).clamp(0, STACK)).unwrap_or(0);
    from_bottom(offset)..from_bottom(offset.saturating_add(size.max(0)))
}

/// One frame of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameState {
    slots: [Known; SLOTS],
    pub(super) written: Written,
}

impl FrameState {
    fn new() -> Self {
        Self { slots: [Known::Nothing; SLOTS], written: Written::default() }
    }

    fn meet(&mut self, other: &Self) -> bool {
        let mut changed = self.written.meet(&other.written);
        for (old, new) in self.slots.iter_mut().zip(&other.slots) {
            let met = old.met(*new);
            changed |= met != *old;
            *old = met;
        }
        changed
    }

    /// What the eight bytes at an offset hold.
    pub(super) fn slot(&self, offset: i32) -> Known {
        slot(offset).map_or(Known::Nothing, |slot| self.slots[slot])
    }

    /// Eight bytes at an offset hold this now.
    pub(super) fn set_slot(&mut self, offset: i32, known: Known) {
        if let Some(slot) = slot(offset) {
            self.slots[slot] = known;
        }
    }

    /// So many bytes at an offset hold numbers now.
    pub(super) fn clear(&mut self, offset: i32, size: i32) {
        for slot in offset.div_euclid(8)..=(offset + size - 1).div_euclid(8) {
            self.set_slot(slot.saturating_mul(8), Known::Nothing);
        }
    }
}

/// Registers and all frames of the stack at one point of a function.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) registers: [Known; 11],
    /// The main program's first, the function's own last.
    frames: Vec<Rc<FrameState>>,
}

impl State {
    /// At the entry of a program or of a function of which it is not known who calls it.
    pub(super) fn new(arguments: [Known; 6]) -> Self {
        let mut state = Self { registers: [Known::Nothing; 11], frames: vec![Rc::new(FrameState::new())] };
        state.registers[..6].copy_from_slice(&arguments);
        state.registers[10] = Known::Stack(0, 0);
        state
    }

    /// At the entry of a function that is called with these arguments.
    pub(super) fn entered(&self, arguments: [Known; 6]) -> Self {
        let mut state = Self { registers: [Known::Nothing; 11], frames: self.frames.clone() };
        state.frames.push(Rc::new(FrameState::new()));
        state.registers[..6].copy_from_slice(&arguments);
        state.registers[10] = Known::Stack(state.depth(), 0);
        state
    }

    /// Whether so many bytes at an address, or near it, are surely written.
    pub(super) fn is_written(&self, address: Known, offset: i32, size: i32) -> bool {
        let Some((number, start, slack)) = address.span() else { return false };
        self.frame(number).is_some_and(|frame| frame.written.has(start + offset, slack + size))
    }

    /// After the function came back, of which `end` is known: the frames that are left, and its answer.
    pub(super) fn left(&mut self, end: &Self) {
        let count = self.frames.len();
        self.frames.clone_from_slice(&end.frames[..count]);
        self.registers[..6].fill(Known::Nothing);
        self.registers[0] = end.registers[0];
    }

    /// The number of the function's own frame.
    pub(super) fn depth(&self) -> u8 {
        u8::try_from(self.frames.len() - 1).expect("frames nest eight deep")
    }

    /// Takes what holds on another way too; whether that is less than before.
    pub(super) fn meet(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (old, new) in self.registers.iter_mut().zip(&other.registers) {
            let met = old.met(*new);
            changed |= met != *old;
            *old = met;
        }
        for (old, new) in self.frames.iter_mut().zip(&other.frames) {
            if !Rc::ptr_eq(old, new) && old != new {
                changed |= Rc::make_mut(old).meet(new);
            }
        }
        changed
    }

    /// A frame, if it is there.
    pub(super) fn frame(&self, number: u8) -> Option<&FrameState> {
        self.frames.get(usize::from(number)).map(|frame| &**frame)
    }

    pub(super) fn frame_mut(&mut self, number: u8) -> Option<&mut FrameState> {
        self.frames.get_mut(usize::from(number)).map(Rc::make_mut)
    }

    /// Somebody wrote somewhere into the stack, maybe an address of it.
    pub(super) fn blur(&mut self, with_stack: bool) {
        for frame in &mut self.frames {
            for known in &mut Rc::make_mut(frame).slots {
                *known = if with_stack { Known::MaybeStack } else { known.weakened() };
            }
        }
    }

    /// Whether an address of the stack may lie in the stack.
    pub(super) fn has_stack_in_slots(&self) -> bool {
        self.frames.iter().any(|frame| frame.slots.iter().any(|known| known.is_stack()))
    }
}

/// The slot of eight bytes that starts at this offset from the frame's top.
fn slot(offset: i32) -> Option<usize> {
    (offset % 8 == 0).then(|| usize::try_from(offset / 8 + 64).ok().filter(|slot| *slot < SLOTS)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_kept_one_by_one() {
        let mut written = Written::default();
        written.add(-16, 4);
        written.add(-12, 3);
        assert!(written.has(-16, 7) && written.has(-13, 3) && !written.has(-16, 8) && !written.has(-17, 1) && !written.has(-9, 1));
        written.add(-4, 8);
        assert!(written.has(-4, 4) && !written.has(-4, 5), "what lies above the frame is not its own");
        written.add(i32::MIN, 8);
        written.add(i32::MAX, 8);
        assert!(!written.has(-512, 1) && !written.has(i32::MIN, i32::MAX) && !written.has(i32::MAX, 8));
    }

    #[test]
    fn what_one_way_wrote_and_the_other_did_not_is_not_written() {
        let [mut one, mut other] = [FrameState::new(), FrameState::new()];
        one.written.add(-8, 8);
        other.written.add(-8, 4);
        assert!(one.meet(&other) && one.written.has(-8, 4) && !one.written.has(-4, 1) && !one.meet(&other));
    }
}

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
    /// Nothing, but which addresses it may be in a program that the verifier takes. What it may not be it is on no path.
    Maybe {
        /// Of some frame of the stack.
        stack: bool,
        /// Of the context.
        context: bool,
    },
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
    /// Nothing, but that it is no address of the stack or the context.
    pub(super) const NOTHING: Self = Self::Maybe { stack: false, context: false };
    /// Nothing at all.
    pub(super) const ANYTHING: Self = Self::Maybe { stack: true, context: true };

    /// Whether it may be an address in the stack.
    pub(super) fn may_be_stack(self) -> bool {
        matches!(self, Self::Stack(..) | Self::StackWithin(..) | Self::Maybe { stack: true, .. })
    }

    /// Whether it may be an address in the context.
    pub(super) fn may_be_context(self) -> bool {
        matches!(self, Self::Context(_) | Self::Maybe { context: true, .. })
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
        self.met(Self::NOTHING)
    }

    /// What is known of a value that is either.
    pub(super) fn met(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        Self::Maybe { stack: self.may_be_stack() || other.may_be_stack(), context: self.may_be_context() || other.may_be_context() }
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
        Self { slots: [Known::NOTHING; SLOTS], written: Written::default() }
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
        slot(offset).map_or(Known::NOTHING, |slot| self.slots[slot])
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
            self.set_slot(slot.saturating_mul(8), Known::NOTHING);
        }
    }

    /// What any eight bytes hold of which the first lies at an offset or as many bytes more.
    fn within(&self, offset: i32, slack: i32) -> Known {
        self.slots[slots(offset, slack + 1)].iter().fold(Known::NOTHING, |known, slot| known.met(*slot))
    }

    /// Some of so many bytes at an offset, or none of them, hold this now.
    fn may_store(&mut self, offset: i32, size: i32, stored: Known) {
        for known in &mut self.slots[slots(offset, size)] {
            *known = known.met(stored);
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
        let mut state = Self { registers: [Known::NOTHING; 11], frames: vec![Rc::new(FrameState::new())] };
        state.registers[..6].copy_from_slice(&arguments);
        state.registers[10] = Known::Stack(0, 0);
        state
    }

    /// At the entry of a function that is called with these arguments.
    pub(super) fn entered(&self, arguments: [Known; 6]) -> Self {
        let mut state = Self { registers: [Known::NOTHING; 11], frames: self.frames.clone() };
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
        self.registers[..6].fill(Known::NOTHING);
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

    /// What eight bytes of the stack at an address, or near it, hold; of the frames that are there.
    pub(super) fn loaded(&self, address: Known, offset: i32) -> Known {
        match address {
            Known::Stack(number, start) if self.frame(number).is_some() => {
                self.frame(number).map_or(Known::ANYTHING, |frame| frame.slot(start + offset))
            }
            Known::StackWithin(number, start, slack) => {
                self.frame(number).map_or(Known::ANYTHING, |frame| frame.within(start + offset, slack))
            }
            _ => self.frames.iter().fold(Known::NOTHING, |known, frame| known.met(frame.within(-STACK, STACK))),
        }
    }

    /// Somebody may have written this to some of so many bytes at an address, or near it. Only what lies there is known less well.
    pub(super) fn may_store(&mut self, address: Known, offset: i32, size: i32, stored: Known) {
        match address.span() {
            Some((number, start, slack)) => {
                if let Some(frame) = self.frame_mut(number) {
                    frame.may_store(start + offset, slack.saturating_add(size), stored);
                }
            }
            None if address.may_be_stack() => self.blur(stored),
            None => {}
        }
    }

    /// Somebody may have written this anywhere into the stack.
    pub(super) fn blur(&mut self, stored: Known) {
        for frame in &mut self.frames {
            Rc::make_mut(frame).may_store(-STACK, STACK, stored);
        }
    }

    /// Whether an address of the stack may lie in the stack.
    pub(super) fn has_stack_in_slots(&self) -> bool {
        self.frames.iter().any(|frame| frame.slots.iter().any(|known| known.may_be_stack()))
    }
}

/// The slots that so many bytes at an offset from the frame's top lie in.
fn slots(offset: i32, size: i32) -> std::ops::Range<usize> {
    let bytes = bytes(offset, size);
    bytes.start / 8..bytes.end.div_ceil(8)
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

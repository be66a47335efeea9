//! Walks: one run followed from instruction to instruction, with the registers, and who last wrote the bytes that are asked for.
//!
//! A program that is loaded to be walked ([`Options::walk`](super::Options::walk)) calls the VM before each instruction that begins a block,
//! stores, calls, branches or ends; what lies between two of those follows from the program. It runs on the VM's own stack, whose frames
//! have room for the registers. A byte is written by the store whose address it has, whatever it held before, and by the call after which
//! it is another.

use super::helper::{self, Session};
use super::instruction::{CALL, EXIT, FRAME, LD_IMM64, LOAD_ACQUIRE, MODE_ATOMIC, ST, STX, class, mode, size};
use super::known::STACK;
use super::lower::Lowering;
use super::run::Vm;
use super::trace::is_conditional;
use super::{Input, VmError};
use rbpf::ebpf::{self, Insn};
use std::ops::Range;

/// Registers that a call of the VM does not see, and where they wait for it in the frame: 4 makes room for the frame's pointer, 5 for the
/// point's number.
const KEPT: [(u8, i16); 7] = [(0, -568), (4, -560), (5, -552), (6, -544), (7, -536), (8, -528), (9, -520)];
/// Those that the call overwrites.
const OVERWRITTEN: usize = 3;

/// `bpf_map_update_elem`, `bpf_map_delete_elem`.
const CHANGES: [i32; 2] = [2, 3];

/// Something that a run may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// A byte of the packet as it is after the run, by its offset in [`Vm::packet`].
    Packet(usize),
    /// The packet's place and length.
    Length,
    /// Bytes of the context.
    Context(Range<usize>),
    /// Bytes of an entry's value, and whether there is one.
    Value {
        /// Position of the map, as for [`Vm::map_at`].
        map: usize,
        /// The key; empty for a queue or stack.
        key: Vec<u8>,
        /// Which of its bytes.
        bytes: Range<usize>,
    },
    /// The record of this number that a ring buffer or perf event array is sent.
    Record {
        /// The map's name.
        map: String,
        /// From 0.
        number: usize,
    },
}

/// One executed instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Position of the program: a tail call goes on in another.
    pub program: usize,
    /// The instruction's index in the relocated program, in 8-byte slots.
    pub instruction: usize,
    /// r0 to r10 before it, of an instruction that begins a block, stores, calls, branches or ends.
    pub registers: Option<[u64; 11]>,
}

/// What a followed run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// What it executed, in order.
    pub steps: Vec<Step>,
    /// For each watch the step that last wrote there; `None`: no instruction of this run did.
    pub writers: Vec<Option<usize>>,
    context: Range<u64>,
    room: Range<u64>,
    packet: u64,
    stack: Range<u64>,
    /// Where the values of each map are, by its name.
    maps: Vec<(String, Vec<Range<u64>>)>,
}

/// What follows a run.
#[derive(Debug, Default)]
pub(super) struct Follower {
    programs: Vec<Vec<Insn>>,
    /// The instruction of each point, by program.
    points: Vec<Vec<usize>>,
    watches: Vec<Watch>,
    /// What each watch last saw, and the point that wrote it.
    seen: Vec<Option<Vec<u8>>>,
    writers: Vec<Option<usize>>,
    /// The packet's room as it was, and who wrote each byte.
    room: Vec<u8>,
    room_writers: Vec<Option<usize>>,
    steps: Vec<Step>,
}

/// Whether a walk stops before an instruction, besides at the starts of blocks.
pub(super) fn is_point(insn: &Insn) -> bool {
    matches!(class(insn), ST | STX) || matches!(insn.opc, CALL | EXIT) || is_conditional(insn)
}

impl Lowering<'_> {
    /// Shows the registers before an instruction.
    pub(super) fn show(&mut self, index: usize) {
        let Some(points) = &mut self.steps else { return };
        let number = i32::try_from(points.len()).expect("programs are far below 2^31 instructions");
        points.push(index);
        for (register, slot) in KEPT {
            self.out.memory(ebpf::ST_DW_REG, FRAME, register, slot);
        }
        self.out.reg(ebpf::MOV64_IMM, 4, FRAME);
        self.out.imm(ebpf::MOV64_IMM, 5, number);
        self.out.helper(helper::STEP);
        for (register, slot) in &KEPT[..OVERWRITTEN] {
            self.out.memory(ebpf::LD_DW_REG, *register, FRAME, *slot);
        }
    }
}

/// The helper that a shown instruction calls.
pub(super) fn step(session: &mut Session, arguments: [u64; 5]) {
    let Some(mut follower) = session.follower.take() else { return };
    let [first, second, third, frame, point] = arguments;
    let mut registers = [0, first, second, third, 0, 0, 0, 0, 0, 0, frame];
    for (register, slot) in KEPT {
        // In the part of the frame that is lowering's own.
        let place = frame.wrapping_add_signed(slot.into()) - session.own_stack.address();
        let kept = session.own_stack.part(usize::try_from(place).expect("in the stack"), 8);
        registers[usize::from(register)] = u64::from_le_bytes(kept.bytes().try_into().expect("eight bytes"));
    }
    follower.observe(session);
    follower.point(session, usize::try_from(point).expect("few points"), registers);
    session.follower = Some(follower);
}

impl Follower {
    /// What is other than at the last point was written by its instruction.
    fn observe(&mut self, session: &Session) {
        let (start, now) = (session.room.offset_of(&session.reach), session.reach.bytes());
        let writer = self.steps.len().checked_sub(1);
        if self.room[start..start + now.len()] != *now {
            for ((before, byte), written) in self.room[start..].iter_mut().zip(now).zip(&mut self.room_writers[start..]) {
                if before != byte {
                    (*before, *written) = (*byte, writer);
                }
            }
        }
        for (watch, (seen, written)) in self.watches.iter().zip(self.seen.iter_mut().zip(&mut self.writers)) {
            let value = watch.bytes(session);
            if value != *seen {
                (*seen, *written) = (value, writer);
            }
        }
    }

    fn point(&mut self, session: &Session, point: usize, registers: [u64; 11]) {
        let program = session.program;
        let instruction = self.points[program][point];
        self.fill(program, instruction);
        let insn = &self.programs[program][instruction];
        let is_store = matches!(class(insn), ST | STX) && !(mode(insn) == MODE_ATOMIC && insn.imm == LOAD_ACQUIRE);
        let here = Some(self.steps.len());
        for (watch, written) in self.watches.iter().zip(&mut self.writers) {
            if watch.is_named(session, insn, &registers) {
                *written = here;
            }
        }
        if is_store {
            let address = registers[usize::from(insn.dst)].wrapping_add_signed(insn.off.into());
            let stored = address..address.saturating_add(size(insn).into());
            for place in stored.clone() {
                if session.room.holds(place, 1) {
                    self.room_writers[usize::try_from(place - session.room.address()).expect("in the room")] = here;
                }
            }
            for (watch, written) in self.watches.iter().zip(&mut self.writers) {
                if watch.range(session).is_some_and(|range| range.start < stored.end && stored.start < range.end) {
                    *written = here;
                }
            }
        }
        self.steps.push(Step { program, instruction, registers: Some(registers) });
    }

    /// The instructions between the last point and this one.
    fn fill(&mut self, program: usize, until: usize) {
        let Some(last) = self.steps.last().filter(|last| last.program == program).copied() else { return };
        let code = &self.programs[program];
        let next = |index: usize| index + if code[index].opc == LD_IMM64 { 2 } else { 1 };
        let mut index = next(last.instruction);
        while index < code.len() && index != until && self.points[program].binary_search(&index).is_err() {
            self.steps.push(Step { program, instruction: index, registers: None });
            index = next(index);
        }
    }

    fn finish(mut self, session: &Session) -> Walk {
        let start = session.room.offset_of(&session.reach);
        for (watch, written) in self.watches.iter().zip(&mut self.writers) {
            if let Watch::Packet(offset) = watch {
                *written = self.room_writers.get(start + offset).copied().flatten();
            }
        }
        Walk {
            steps: self.steps,
            writers: self.writers,
            context: session.context.range(),
            room: session.room.range(),
            packet: session.packet.address(),
            stack: session.stack.end.saturating_sub(session.stack.length)..session.stack.end,
            maps: session.maps.iter().map(|map| (map.shape().name.clone(), map.ranges())).collect(),
        }
    }
}

impl Walk {
    /// A register's value in words: where in the packet (as it lies after the run), the context or the frame `frame` it points, of which map it
    /// is or has a value, or the number.
    #[must_use]
    pub fn word(&self, value: u64, frame: u64) -> String {
        let to = |name: &str, base: u64| match value.wrapping_sub(base).cast_signed() {
            0 => name.to_owned(),
            distance => format!("{name}{distance:+}"),
        };
        if self.room.contains(&value) {
            to("packet", self.packet)
        } else if self.context.contains(&value) {
            to("context", self.context.start)
        } else if (frame.saturating_sub(STACK.cast_unsigned().into())..=frame).contains(&value) {
            to("r10", frame)
        } else if self.stack.contains(&value) {
            "a caller's frame".to_owned()
        } else if let Some((name, _)) = (0..).zip(&self.maps).find(|(number, _)| helper::handle(*number) == value).map(|(_, map)| map) {
            format!("map {name}")
        } else if let Some((name, _)) = self.maps.iter().find(|(_, ranges)| ranges.iter().any(|range| range.contains(&value))) {
            format!("a value of {name}")
        } else {
            format!("{value:#x}")
        }
    }
}

impl Watch {
    /// What is there now.
    fn bytes(&self, session: &Session) -> Option<Vec<u8>> {
        match self {
            Self::Packet(_) => None,
            Self::Length => Some([session.packet.address(), session.packet.length() as u64].map(u64::to_le_bytes).concat()),
            Self::Context(range) => session.context.bytes().get(range.clone()).map(<[u8]>::to_vec),
            Self::Value { map, key, bytes } => {
                let value = session.maps.get(*map)?.shown(key)?;
                Some(value.get(bytes.clone()).unwrap_or(value).to_vec())
            }
            Self::Record { map, number } => {
                session.records.iter().filter(|record| record.map == *map).nth(*number).map(|record| record.bytes.clone())
            }
        }
    }

    /// Whether a call updates or deletes it by its key: the value may be the same as before.
    fn is_named(&self, session: &Session, insn: &Insn, registers: &[u64; 11]) -> bool {
        let Self::Value { map, key, .. } = self else { return false };
        let is_change = insn.opc == CALL && insn.src == 0 && CHANGES.contains(&insn.imm);
        is_change
            && registers[1] == helper::handle(*map)
            && session.holds(registers[2], key.len())
            && session.bytes(2, registers[2], key.len(), 0) == *key
    }

    /// The addresses at which the program stores to it.
    fn range(&self, session: &Session) -> Option<Range<u64>> {
        let within = |start: u64, range: &Range<usize>| start + range.start as u64..start + range.end as u64;
        match self {
            Self::Context(range) => Some(within(session.context.address(), range)),
            Self::Value { map, key, bytes } => {
                let value = session.maps.get(*map)?.shown(key)?;
                Some(within(value.as_ptr().expose_provenance() as u64, bytes))
            }
            Self::Packet(_) | Self::Length | Self::Record { .. } => None,
        }
    }
}

impl Vm {
    /// Runs the program at a position of those given to [`Vm::load_all`] and follows it; the result is that of [`Vm::run_input`]. Without
    /// [`Options::walk`](super::Options::walk) there are no steps.
    pub fn walk(&mut self, position: usize, input: &Input, watches: Vec<Watch>) -> (Result<u64, VmError>, Walk) {
        let writers = vec![None; watches.len()];
        let mut follower = Follower {
            programs: self.programs.iter().map(|program| program.instructions.clone()).collect(),
            points: self.programs.iter().map(|program| program.steps.clone().unwrap_or_default()).collect(),
            seen: writers.iter().map(|_| None).collect(),
            writers,
            watches,
            ..Follower::default()
        };
        follower.room_writers = vec![None; self.session.room.length()];
        // What is there when the run begins is seen at its first point, which nobody wrote.
        follower.room = vec![0; self.session.room.length()];
        self.session.follower = Some(Box::new(follower));
        let result = self.run_input(position, input);
        let follower = self.session.follower.take().unwrap_or_default();
        (result, follower.finish(&self.session))
    }

    /// Goes on where another machine of the same object is: with its maps' entries and its generator. The other gets this one's.
    pub fn take_over(&mut self, other: &mut Self) -> Result<(), VmError> {
        for (one, two) in self.session.maps.iter_mut().zip(&mut other.session.maps) {
            one.exchange(two)?;
        }
        std::mem::swap(&mut self.session.random, &mut other.session.random);
        Ok(())
    }
}

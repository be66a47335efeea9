//! A loaded program: its lowered code in an engine, and what it takes to run it, from its entry or from a function of another one.

use super::function::Frame;
use super::guard::{Guard, moves_packet};
use super::helper::{self, Cause, Meter, Session};
use super::instruction::{CALL, FRAME, JMP, JMP32, LD_IMM64, LDX, ST, STX, access_kind, class, size, text};
use super::lower::{MapView, Place, lower};
use super::map::Map;
use super::memory::Piece;
use super::refusal::Refusal;
use super::spot::Spot;
use super::stack::{self, Stack};
use super::trace::Point;
use super::{Fault, Hook, Options, VmError};
use rbpf::ebpf::Insn;
use std::any::Any;
use std::collections::HashSet;
use std::ops::Range;

pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) hook: Hook,
    pub(super) context: Piece,
    /// What rbpf tests first and to the byte: the value that most accesses go to.
    hot: Piece,
    pub(super) machine: rbpf::EbpfVmMbuff<'static>,
    pub(super) origin: Vec<usize>,
    /// The offset field of each lowered instruction.
    offsets: Vec<i16>,
    /// It calls helpers that move or resize the packet.
    pub(super) moves_packet: bool,
    /// Its stack, where that is not rbpf's.
    own_stack: Option<(Piece, Frame)>,
    /// Moved into the session once all programs are loaded.
    pub(super) meters: Vec<Meter>,
    pub(super) guards: Vec<Guard>,
    /// Where it counts, if it is traced.
    pub(super) points: Option<Vec<Point>>,
    /// Where it shows its registers, if it is walked.
    pub(super) steps: Option<Vec<usize>>,
    pub(super) instructions: Vec<Insn>,
    // After `machine`, which reads it.
    _bytecode: Bytecode,
}

/// Lowered code at a fixed address, freed when dropped.
struct Bytecode(*mut [u8]);

impl Drop for Bytecode {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw`, and the machine that read it was dropped before.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Runs the program at a position, and those it goes on to.
pub(super) fn go(programs: &[Loaded], session: &mut Session, mut position: usize) -> Result<u64, VmError> {
    session.programs = programs;
    loop {
        let program = &programs[position];
        session.program = position;
        session.stack = Stack { length: rbpf::ebpf::STACK_SIZE as u64, ..Stack::default() };
        if let Some((mut stack, frame)) = program.own_stack {
            stack.bytes_mut().fill(session.stack_fill);
            session.stack.length = stack.length() as u64;
            session.stack.shadowed = (frame.shadow > 0).then_some(stack);
        }
        // A packet that grows may come to lie anywhere in its room; the program before may have moved it.
        let bytes = if program.moves_packet { session.room } else { session.reach };
        let result = helper::during(session, || program.machine.execute_program(bytes.bytes(), program.hot.bytes()));
        let stop = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => return Err(program.fault_of(&error.to_string(), session)),
            Err(stop) => stop,
        };
        match stop.cause {
            Cause::Fault(fault) => return Err(program.fault(stop.site, fault)),
            Cause::TailCall(next) => position = next,
            Cause::Other(error) => return Err(*error),
        }
    }
}

/// Runs the program at a position to its end while a function of another one waits for its answer.
pub(super) fn go_aside(session: &mut Session, position: usize) -> Result<u64, VmError> {
    // SAFETY: `go` set the pointer from a slice that outlives all of the run, and nobody changes the programs in it.
    let programs = unsafe { &*session.programs };
    let keys: Vec<Vec<u8>> = session.keys.iter().map(|key| key.bytes().to_vec()).collect();
    let stack_bytes = session.own_stack.bytes().to_vec();
    let (program, stack, loops) = (session.program, session.stack, std::mem::take(&mut session.loops));
    let answer = go(programs, session, position)?;
    for (key, bytes) in session.keys.iter_mut().zip(keys) {
        key.bytes_mut().copy_from_slice(&bytes);
    }
    session.own_stack.bytes_mut().copy_from_slice(&stack_bytes);
    (session.program, session.stack, session.loops) = (program, stack, loops);
    Ok(answer)
}

/// What rbpf's verifier says, but for two objections that mean nothing here: that the program is given another stack than rbpf's, and that r10 is
/// compared, which it takes for a write. Lowering refuses what it would, with a better message: this is the net below.
fn verify(bytecode: &[u8]) -> Result<(), std::io::Error> {
    let mut bytecode = bytecode.to_vec();
    for insn in bytecode.chunks_exact_mut(rbpf::ebpf::INSN_SIZE) {
        let is_compare = matches!(insn[0] & 0x07, JMP | JMP32) && insn[0] != CALL;
        if (is_compare || insn[0] == LD_IMM64) && insn[1] & 0x0f == FRAME {
            insn[1] &= 0xf0;
        }
    }
    rbpf::EbpfVmMbuff::new(Some(&bytecode)).map(|_| ())
}

/// What a program may point into, beside packet and context.
pub(super) struct Memory<'a> {
    pub(super) maps: &'a [Map],
    pub(super) keys: &'a [Piece],
    pub(super) stack: Piece,
}

impl Loaded {
    pub(super) fn new(
        name: &str,
        instructions: Vec<Insn>,
        hook: Hook,
        context: Piece,
        memory: &Memory,
        options: &Options,
    ) -> Result<Self, VmError> {
        let Memory { maps, keys, stack } = *memory;
        let views: Vec<MapView> = maps
            .iter()
            .map(|map| {
                let has_address = map.shape().max_entries == 1 && map.entry(0).is_some();
                let address = has_address.then(|| map.ranges()[0].start);
                MapView { key_size: map.shape().key_size, value_size: map.shape().value_size, address }
            })
            .collect();
        if instructions.is_empty() {
            return Err(VmError::Program { program: name.to_owned(), reason: "it has no instructions".to_owned() });
        }
        let refuse = Refusal { program: name, instructions: &instructions };
        let mut lowered = lower(
            &refuse,
            &Place {
                hook,
                context: u32::try_from(context.address()).expect("contexts lie below 4 GiB"),
                stack: stack.range().end,
                maps: &views,
                has_own_stack: options.stack_fill != 0,
                is_traced: options.trace,
                is_walked: options.walk,
            },
        )?;
        if let Some((right, wrong)) = options.mutation {
            lowered.mutate(right, wrong);
        }
        let engine = |error: std::io::Error| VmError::Program { program: name.to_owned(), reason: error.to_string() };
        let offsets = lowered.bytecode.chunks_exact(rbpf::ebpf::INSN_SIZE).map(|insn| i16::from_le_bytes([insn[2], insn[3]])).collect();
        let bytecode = Bytecode(Box::into_raw(lowered.bytecode.into_boxed_slice()));
        // SAFETY: the allocation is freed only by `Bytecode::drop`, which runs after the machine's, and nobody writes to it.
        let code: &'static [u8] = unsafe { &*bytecode.0 };
        let mut machine = rbpf::EbpfVmMbuff::new(None).map_err(engine)?;
        machine.set_stack_usage_calculator(frame_bytes, Box::new(lowered.frames)).map_err(engine)?;
        machine.set_verifier(verify).map_err(engine)?;
        machine.set_program(code).map_err(engine)?;
        // Only what is called: rbpf looks each call up.
        let calls = code.chunks_exact(rbpf::ebpf::INSN_SIZE).filter(|insn| insn[0] == CALL && insn[1] >> 4 == 0);
        let called: HashSet<i32> = calls.map(|insn| i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]])).collect();
        for (number, function) in helper::functions(lowered.guards.len()).filter(|(number, _)| called.contains(number)) {
            machine.register_helper(number.cast_unsigned(), function).map_err(engine)?;
        }
        for range in maps.iter().flat_map(Map::ranges) {
            machine.register_allowed_memory(range);
        }
        machine.register_allowed_memory(context.range());
        for key in keys {
            machine.register_allowed_memory(key.range());
        }
        // Tables before arrays, and the bigger value first: a flow rather than a counter.
        let hottest = maps.iter().max_by_key(|map| (!map.shape().kind.is_array(), map.shape().value_size));
        let own_stack = lowered.own_stack.map(|frame| (stack.part(stack.length() - stack::length(frame), stack::length(frame)), frame));
        let hot = own_stack.map(|(stack, _)| stack).or_else(|| hottest.and_then(Map::first)).unwrap_or(context);
        Ok(Self {
            name: name.to_owned(),
            hook,
            context,
            hot,
            machine,
            moves_packet: lowered.goes_aside || instructions.iter().any(moves_packet),
            guards: lowered.guards,
            points: lowered.points,
            steps: lowered.steps,
            own_stack,
            origin: lowered.origin,
            offsets,
            meters: lowered.meters,
            instructions,
            _bytecode: bytecode,
        })
    }

    fn fault(&self, site: Option<usize>, fault: Fault) -> VmError {
        let instruction = site.unwrap_or(0);
        VmError::Fault { program: self.name.clone(), instruction, text: text(&self.instructions, instruction), fault }
    }

    /// Reads rbpf's message: `... out of bounds memory load (insn #12), addr 0x10, size 8`; it counts from one there.
    fn fault_of(&self, message: &str, session: &Session) -> VmError {
        let number = |before: &str, radix: u32| {
            let rest = &message[message.find(before)? + before.len()..];
            let digits = rest.split(|letter: char| !letter.is_digit(radix)).next()?;
            u64::from_str_radix(digits, radix).ok()
        };
        let position = number("insn #", 10).and_then(|counted| usize::try_from(counted).ok()?.checked_sub(1)).unwrap_or(0);
        let instruction = self.origin.get(position).copied().unwrap_or(0);
        let insn = self.instructions.get(instruction).filter(|insn| matches!(class(insn), LDX | ST | STX));
        let fault = match (number("addr 0x", 16), insn, self.offsets.get(position)) {
            // What failed may be the test of the last byte.
            (Some(address), Some(insn), Some(tested)) => {
                let base = address.wrapping_add_signed(-i64::from(*tested));
                let size = usize::from(size(insn));
                let spot = Spot::of(session, base, insn.off.into(), size);
                Fault::OutOfBounds { access: helper::ACCESSES[access_kind(insn)], spot, size }
            }
            _ => Fault::Interpreter,
        };
        self.fault(Some(instruction), fault)
    }
}

/// rbpf asks how far apart frames lie, for any position in a function, and for positions that are none (it takes helper calls
/// for local ones). It hands over a reference to the box that holds the data, as `dyn Any`, not to the data.
fn frame_bytes(_: &[u8], position: usize, data: &mut dyn Any) -> u16 {
    let data: &dyn Any = match data.downcast_ref::<Box<dyn Any>>() {
        Some(inner) => inner.as_ref(),
        None => data,
    };
    let frames = data.downcast_ref::<Vec<(Range<usize>, u16)>>().expect("the data are the frames");
    frames.iter().find(|(range, _)| range.contains(&position)).map_or(0, |(_, bytes)| *bytes)
}

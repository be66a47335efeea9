//! The machine: one loaded program with its maps, and what a run does.

use super::guard::{Guard, moves_packet};
use super::helper::callback;
use super::helper::{self, Cause, Meter, Session};
use super::instruction::{CALL, text};
use super::lower::{MapView, Place, Refusal, lower};
use super::map::Map;
use super::memory::{Arena, Piece};
use super::object::Maps;
use super::trace::Point;
use super::{ANY, Fault, Hook, Input, Object, Options, VmError, context, stack};
use crate::bpf::{Initial, ObjectError};
use rbpf::ebpf::Insn;
use std::any::Any;
use std::collections::HashSet;
use std::ops::Range;

/// One program of an object, loaded with maps of its own.
///
/// A `Vm` stays on its thread (rbpf's machine does); an [`Object`] goes anywhere, so load one `Vm` a thread. Two programs that
/// share maps need one `Vm` with both, see [`Vm::load_all`].
pub struct Vm {
    // Fields drop in this order: the machines point into nothing, the session's pieces into the arenas.
    pub(super) programs: Vec<Loaded>,
    pub(super) session: Session,
    /// The context that the last run was given.
    pub(super) given: Option<Vec<u8>>,
    pub(super) options: Options,
    /// Of the packet and the contexts, and of the maps' values.
    pub(super) arenas: Vec<Arena>,
}

pub(super) struct Loaded {
    pub(super) name: String,
    hook: Hook,
    context: Piece,
    /// What rbpf tests first and to the byte: the value that most accesses go to.
    hot: Piece,
    pub(super) machine: rbpf::EbpfVmMbuff<'static>,
    pub(super) origin: Vec<usize>,
    /// It calls helpers that move or resize the packet.
    moves_packet: bool,
    /// Its stack, where that is not rbpf's.
    own_stack: Option<Piece>,
    /// Moved into the session once all programs are loaded.
    meters: Vec<Meter>,
    guards: Vec<Guard>,
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

impl Vm {
    /// Loads one program by name, with fresh maps.
    pub fn load(object: &Object, program: &str) -> Result<Self, VmError> {
        Self::load_all(object, &[program])
    }

    /// Loads several programs of an object that share one set of fresh maps; [`Vm::run_program`] takes a position in `programs`.
    pub fn load_all(object: &Object, programs: &[&str]) -> Result<Self, VmError> {
        Self::load_with(object, programs, object.options())
    }

    /// Loads as other options say than those the object was read with; of these, what the reader uses does not count.
    pub fn load_with(object: &Object, programs: &[&str], options: &Options) -> Result<Self, VmError> {
        let known = Maps::of(object, programs)?;
        let mut values = Arena::anywhere(known.shapes.iter().map(|(shape, _)| Map::room(shape, options)).sum())?;
        let mut maps = Vec::with_capacity(known.shapes.len());
        for (shape, data) in &known.shapes {
            let mut map = Map::new(shape, &mut values, options)?;
            if let Some(entry) = map.entry_mut(0)
                && entry.len() == data.len()
            {
                entry.copy_from_slice(data);
            }
            maps.push(map);
        }
        let room_length = HEAD_ROOM + options.packet_length_max + TAIL_ROOM;
        let mut low = Arena::low(Arena::room(room_length) + HOOKS.len() * Arena::room(CONTEXT_MAX) + Arena::room(stack::LENGTH))?;
        let packet_room = low.piece(room_length);
        let stack = low.piece(stack::LENGTH);
        // One a hook, so that a tail call finds its caller's.
        let contexts = HOOKS.map(|hook| low.piece(hook.context_length()));
        let mut keys_arena = Arena::anywhere(callback::KEYS_MAX * Arena::room(callback::KEY_MAX))?;
        let shows_keys =
            programs.iter().filter_map(|name| object.program(name).ok()).any(|program| callback::shows_keys(&program.instructions));
        let keys: Vec<Piece> = (0..if shows_keys { callback::KEYS_MAX } else { 0 }).map(|_| keys_arena.piece(callback::KEY_MAX)).collect();
        let mut loaded = Vec::with_capacity(programs.len());
        for name in programs {
            let program = object.program(name)?;
            let hook =
                program.hook.ok_or_else(|| VmError::ProgramType { program: program.name.clone(), section: program.section.clone() })?;
            let context = contexts[hook as usize];
            let memory = Memory { maps: &maps, keys: &keys, stack };
            loaded.push(Loaded::new(name, known.instructions(program), hook, context, &memory, options)?);
        }
        let Some(first) = loaded.first() else {
            return Err(VmError::Object(ObjectError::NoProgram { program: String::new(), known: "none was asked for".to_owned() }));
        };
        let session = Session {
            maps,
            hook: first.hook,
            context: first.context,
            packet: packet_room.part(HEAD_ROOM, 0),
            reach: packet_room.part(HEAD_ROOM, 0),
            room: packet_room,
            now_ns: 0,
            random: options.seed,
            records: Vec::new(),
            reserved: Vec::new(),
            lines: Vec::new(),
            redirect: None,
            clones: Vec::new(),
            loops: Vec::new(),
            keys,
            buffer: helper::Buffer::default(),
            tunnel: None,
            mtus: options.mtus.clone(),
            routes: options.routes.clone(),
            fifth: 0,
            instructions_max: options.instructions_max,
            instructions_left: 0,
            program: 0,
            hooks: loaded.iter().map(|program| program.hook).collect(),
            tail_calls: 0,
            meters: loaded.iter_mut().map(|program| std::mem::take(&mut program.meters)).collect(),
            guards: loaded.iter_mut().map(|program| std::mem::take(&mut program.guards)).collect(),
            counts: loaded.iter().map(|program| vec![0; program.points.as_ref().map_or(0, Vec::len)]).collect(),
            follower: None,
            stack_end: 0,
            stack_length: 0,
            key: Vec::new(),
            value: Vec::new(),
        };
        let mut vm = Self { programs: loaded, session, given: None, options: options.clone(), arenas: vec![low, values, keys_arena] };
        vm.put_first_entries(object)?;
        Ok(vm)
    }

    /// What the object puts into maps of maps and program arrays; programs that are not loaded are left out.
    fn put_first_entries(&mut self, object: &Object) -> Result<(), VmError> {
        for map in object.maps() {
            for (index, initial) in &map.entries {
                let position = match initial {
                    Initial::Map(name) => self.maps().position(|known| known.shape().name == *name),
                    Initial::Program(name) => self.program_position(name),
                };
                let position = position.and_then(|position| u32::try_from(position).ok());
                if let (Some(position), Some(map)) = (position, self.map_mut(&map.name)) {
                    map.update(&index.to_le_bytes(), &position.to_le_bytes(), ANY)?;
                }
            }
        }
        Ok(())
    }

    /// Runs the (first) program over a packet at a time; the result is r0, of which XDP, TC and socket filters use the lower 32 bits.
    pub fn run(&mut self, packet: &[u8], now_ns: u64) -> Result<u64, VmError> {
        self.run_program(0, packet, now_ns)
    }

    /// Runs the program at a position of those given to [`Vm::load_all`].
    pub fn run_program(&mut self, position: usize, packet: &[u8], now_ns: u64) -> Result<u64, VmError> {
        self.run_input(position, &Input { packet, now_ns, context: None })
    }

    /// Runs the program at a position of those given to [`Vm::load_all`], with a context of the caller's.
    pub fn run_input(&mut self, position: usize, input: &Input) -> Result<u64, VmError> {
        let (length, length_max) = (input.packet.len(), self.options.packet_length_max);
        if length > length_max {
            return Err(VmError::PacketLength { length, length_max });
        }
        self.given = input.context.map(<[u8]>::to_vec);
        let program = &self.programs[position];
        let metadata = context::metadata_length(program.hook, input.context);
        if metadata > length.min(METADATA_MAX) || !metadata.is_multiple_of(4) {
            return Err(VmError::Metadata { length: metadata });
        }
        let session = &mut self.session;
        // What a packet grows into is zero, as in a test run; other programs see none of it.
        if self.programs.iter().any(|program| program.moves_packet) {
            session.room.bytes_mut()[..HEAD_ROOM].fill(0);
        }
        session.place(HEAD_ROOM, length - metadata, metadata);
        session.reach.bytes_mut().copy_from_slice(input.packet);
        session.hook = program.hook;
        session.context = program.context;
        session.now_ns = input.now_ns;
        session.instructions_left = self.options.instructions_max;
        session.tail_calls = 0;
        session.loops.clear();
        session.buffer = helper::Buffer::default();
        session.tunnel = None;
        session.records.clear();
        session.lines.clear();
        session.redirect = None;
        session.clones.clear();
        context::fill(program.hook, &mut session.context, &session.packet, metadata, input.context);
        for map in &mut session.maps {
            map.begin();
        }
        let result = self.go(position);
        for map in &mut self.session.maps {
            map.close();
        }
        self.session.settle();
        result
    }

    /// The program at a position, and those it goes on to.
    fn go(&mut self, mut position: usize) -> Result<u64, VmError> {
        let session = &mut self.session;
        loop {
            let program = &self.programs[position];
            session.program = position;
            session.stack_length = rbpf::ebpf::STACK_SIZE as u64;
            if let Some(mut stack) = program.own_stack {
                stack.bytes_mut().fill(0);
                session.stack_length = stack.length() as u64;
            }
            // A packet that grows may come to lie anywhere in its room; the program before may have moved it.
            let bytes = if program.moves_packet { session.room } else { session.reach };
            let result = helper::during(session, || program.machine.execute_program(bytes.bytes(), program.hot.bytes()));
            let stop = match result {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => return Err(program.fault_of(&error.to_string())),
                Err(stop) => stop,
            };
            match stop.cause {
                Cause::Fault(fault) => return Err(program.fault(stop.site, fault)),
                Cause::TailCall(next) => position = next,
            }
        }
    }
}

/// Bytes before the packet that it may grow into: `XDP_PACKET_HEADROOM`.
const HEAD_ROOM: usize = 256;
/// Bytes after the longest packet that it may grow into.
const TAIL_ROOM: usize = 1 << 14;
/// Bytes of metadata that XDP allows before a packet.
const METADATA_MAX: usize = 252;
/// All hooks, by their number.
const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::Tc, Hook::Socket];
/// The biggest context in bytes.
const CONTEXT_MAX: usize = 192;

/// What a program may point into, beside packet and context.
struct Memory<'a> {
    maps: &'a [Map],
    keys: &'a [Piece],
    stack: Piece,
}

impl Loaded {
    fn new(name: &str, instructions: Vec<Insn>, hook: Hook, context: Piece, memory: &Memory, options: &Options) -> Result<Self, VmError> {
        let Memory { maps, keys, stack } = *memory;
        let views: Vec<MapView> = maps
            .iter()
            .map(|map| {
                let has_address = map.shape().max_entries == 1 && map.entry(0).is_some();
                let address = has_address.then(|| map.ranges()[0].start);
                MapView { value_size: map.shape().value_size, address }
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
                context: context.address(),
                stack: stack.range().end,
                maps: &views,
                is_traced: options.trace,
                is_walked: options.walk,
            },
        )?;
        if let Some((right, wrong)) = options.mutation {
            lowered.mutate(right, wrong);
        }
        let engine = |error: std::io::Error| VmError::Program { program: name.to_owned(), reason: error.to_string() };
        let bytecode = Bytecode(Box::into_raw(lowered.bytecode.into_boxed_slice()));
        // SAFETY: the allocation is freed only by `Bytecode::drop`, which runs after the machine's, and nobody writes to it.
        let code: &'static [u8] = unsafe { &*bytecode.0 };
        let mut machine = rbpf::EbpfVmMbuff::new(None).map_err(engine)?;
        machine.set_stack_usage_calculator(frame_bytes, Box::new(lowered.frames)).map_err(engine)?;
        if lowered.has_own_stack {
            // rbpf's verifier refuses that the program is given another stack than rbpf's; what else it refuses, lowering does.
            machine.set_verifier(|_| Ok(())).map_err(engine)?;
        }
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
        let own_stack = lowered.has_own_stack.then_some(stack);
        let hot = own_stack.or_else(|| hottest.and_then(Map::first)).unwrap_or(context);
        Ok(Self {
            name: name.to_owned(),
            hook,
            context,
            hot,
            machine,
            moves_packet: instructions.iter().any(moves_packet),
            guards: lowered.guards,
            points: lowered.points,
            steps: lowered.steps,
            own_stack,
            origin: lowered.origin,
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
    fn fault_of(&self, message: &str) -> VmError {
        let number = |before: &str, radix: u32| {
            let rest = &message[message.find(before)? + before.len()..];
            let digits = rest.split(|letter: char| !letter.is_digit(radix)).next()?;
            u64::from_str_radix(digits, radix).ok()
        };
        let access = if message.contains("memory store") { "store" } else { "load" };
        let fault = match (number("addr 0x", 16), number("size ", 10).and_then(|size| usize::try_from(size).ok())) {
            (Some(address), Some(size)) => Fault::OutOfBounds { access, address, size },
            _ => Fault::Interpreter,
        };
        let position = number("insn #", 10).and_then(|counted| usize::try_from(counted).ok()?.checked_sub(1));
        let instruction = position.and_then(|position| self.origin.get(position)).copied().unwrap_or(0);
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

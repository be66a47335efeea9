//! The machine: one loaded program with its maps, and what a run does.

use super::helper::callback;
use super::helper::{self, Session};
use super::loaded::{self, Loaded, Memory};
use super::map::Map;
use super::memory::{Arena, Piece};
use super::object::{Defined, Maps};
use super::stack::{self, Stack};
use super::{ANY, Hook, Input, Object, Options, VmError, context};
use crate::bpf::{Initial, ObjectError};

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

impl Vm {
    /// Loads one program by name, with fresh maps.
    pub fn load(object: &Object, program: &str) -> Result<Self, VmError> {
        Self::load_all(object, &[program])
    }

    /// Loads several programs of an object that share one set of fresh maps; [`Vm::run_program`] takes a position in `programs`.
    pub fn load_all(object: &Object, programs: &[&str]) -> Result<Self, VmError> {
        Self::load_with(object, programs, &Options::default())
    }

    /// Loads as options say.
    pub fn load_with(object: &Object, programs: &[&str], options: &Options) -> Result<Self, VmError> {
        let known = Maps::of(object, programs)?;
        let mut values = Arena::anywhere(known.defined.iter().map(|map| Map::room(&map.shape, options)).sum())?;
        let mut maps = Vec::with_capacity(known.defined.len());
        for Defined { shape, data, lock } in &known.defined {
            let mut map = Map::new(shape, &mut values, options)?.with_lock(*lock);
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
            let lowered = Loaded::new(name, known.instructions(program), hook, context, &memory, options);
            loaded.push(lowered.map_err(|error| error.explained(program))?);
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
            kept_length: 0,
            loops: Vec::new(),
            keys,
            buffer: helper::Buffer::default(),
            tunnel: None,
            mtus: options.mtus.clone(),
            forwarding: options.forwarding.clone(),
            routes: options.routes.clone(),
            site: 0,
            fifth: 0,
            instructions_max: options.instructions_max,
            instructions_left: 0,
            program: 0,
            hooks: loaded.iter().map(|program| program.hook).collect(),
            tail_calls: 0,
            programs: std::ptr::slice_from_raw_parts(std::ptr::null(), 0),
            own_stack: stack,
            stack_fill: options.stack_fill,
            answer: 0,
            meters: loaded.iter_mut().map(|program| std::mem::take(&mut program.meters)).collect(),
            guards: loaded.iter_mut().map(|program| std::mem::take(&mut program.guards)).collect(),
            counts: loaded.iter().map(|program| vec![0; program.points.as_ref().map_or(0, Vec::len)]).collect(),
            stack: Stack::default(),
            follower: None,
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
        session.kept_length = 0;
        context::fill(program.hook, &mut session.context, &session.packet, metadata, input.context);
        for map in &mut session.maps {
            map.begin();
        }
        let result = loaded::go(&self.programs, session, position);
        for map in &mut self.session.maps {
            map.close();
        }
        self.session.settle();
        result
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

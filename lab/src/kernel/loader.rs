//! The loader: maps, types, programs.

use super::map::Entries;
use super::syscall::{self, attribute, bpf_fd, name};
use super::{Features, KernelError, rewrite, types};
use crate::bpf::{Initial, Insn, Map, MapKind, Object, Program};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

const MMAPABLE: u32 = 1 << 10;
const PERF_EVENT_ARRAY: u32 = 4;
/// `BPF_MAP_TYPE_RINGBUF`, `BPF_MAP_TYPE_USER_RINGBUF`
const RINGS: [u32; 2] = [27, 31];
/// Kinds that take no types for keys and values.
const UNTYPED: [u32; 12] = [3, 4, 7, 8, 12, 13, 14, 16, 17, 25, 15, 18];

/// Creates an object's maps.
#[derive(Debug)]
pub struct Loader<'a> {
    object: &'a Object,
    features: Features,
    allow_lost_exclusion: bool,
    shared: &'a [&'a LoadedMap],
}

/// An object's maps in the kernel, and what its programs load with.
#[derive(Debug)]
pub struct Loaded {
    /// In the object's order, so that positions in instructions are positions here.
    pub maps: Vec<LoadedMap>,
    types: Option<OwnedFd>,
    license: Vec<u8>,
    version: u32,
    features: Features,
    allow_lost_exclusion: bool,
}

/// A map in the kernel.
#[derive(Debug)]
pub struct LoadedMap {
    /// Its definition, with the sizes and flags it was created with.
    pub definition: Map,
    /// Its file descriptor.
    pub fd: OwnedFd,
}

/// A program in the kernel.
#[derive(Debug)]
pub struct LoadedProgram {
    /// Its name.
    pub name: String,
    /// Its file descriptor.
    pub fd: OwnedFd,
    /// The verifier's log, if one was asked for.
    pub log: String,
    /// How long the system call took.
    pub load_time: Duration,
    /// What was changed in it for this kernel, one sentence each.
    pub notices: Vec<String>,
}

/// How much the verifier tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    None,
    /// Its statistics at the end.
    Statistics,
    /// Each instruction it looks at with the state of the registers, and the statistics.
    Full,
}

/// The verifier said no.
#[derive(Debug)]
pub struct Rejection {
    /// The kernel's error number.
    pub error: io::Error,
    /// The log, as far as the buffer held it.
    pub log: String,
    /// How long the system call took.
    pub load_time: Duration,
    /// What was changed in the program for this kernel, one sentence each.
    pub notices: Vec<String>,
}

/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 4;

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.log.lines().filter(|line| !line.starts_with("processed")).collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ");
        write!(f, "{}; the verifier's last lines: {last}", self.error)
    }
}

impl<'a> Loader<'a> {
    /// For the kernel that runs.
    #[must_use]
    pub fn new(object: &'a Object) -> Self {
        Self { object, features: Features::probe(), allow_lost_exclusion: false, shared: &[] }
    }

    /// Allows [`rewrite::without_compare_and_exchange`] where the kernel has no such instruction; each program says so in its notices.
    #[must_use]
    pub fn allow_lost_exclusion(mut self, allow: bool) -> Self {
        self.allow_lost_exclusion = allow;
        self
    }

    /// Takes these maps, by their names, instead of creating new ones: with what they hold.
    #[must_use]
    pub fn sharing(mut self, maps: &'a [&'a LoadedMap]) -> Self {
        self.shared = maps;
        self
    }

    /// Creates all maps, with their first values.
    pub fn create(self) -> Result<Loaded, KernelError> {
        let positions: Vec<usize> = (0..self.object.maps().len()).collect();
        self.create_only(&positions)
    }

    /// Creates the maps that a program uses; others are there in name, as arrays of one entry.
    pub fn create_for(self, program: &Program) -> Result<Loaded, KernelError> {
        let positions = self.used(&[program]);
        self.create_only(&positions)
    }

    /// Positions of the maps that programs use.
    #[must_use]
    pub fn used(&self, programs: &[&Program]) -> Vec<usize> {
        let mut positions: Vec<usize> = programs.iter().flat_map(|program| program.map_positions()).collect();
        // Maps of maps hold others from the start.
        let maps = self.object.maps();
        let inner = positions.iter().flat_map(|position| maps.get(*position).map_or(&[][..], |map| &map.entries));
        let named = inner.filter_map(|(_, initial)| maps.iter().position(|map| matches!(initial, Initial::Map(name) if *name == map.name)));
        let named: Vec<usize> = named.collect();
        positions.extend(named);
        positions
    }

    /// Creates the maps at these positions; others are there in name, as arrays of one entry.
    pub fn create_only(self, positions: &[usize]) -> Result<Loaded, KernelError> {
        raise_memory_limit();
        let sanitized = self.object.types().filter(|_| self.features.functions).map(|own| types::sanitized(own, &self.features));
        // Types that the kernel refuses are done without: programs without global functions load all the same.
        let types = sanitized.and_then(|types| types::load(types.bytes()).ok());
        let mut maps: Vec<LoadedMap> = Vec::new();
        for (position, map) in self.object.maps().iter().enumerate() {
            if let Some(shared) = self.shared.iter().find(|shared| shared.definition.name == map.name) {
                maps.push(shared.again(map)?);
                continue;
            }
            let wanted = positions.contains(&position);
            let stand_in = Map { name: map.name.clone(), kind: 2, key_size: 4, value_size: 4, max_entries: 1, ..Map::default() };
            maps.push(create(if wanted { map } else { &stand_in }, types.as_ref().map(AsFd::as_fd), &self.features)?);
        }
        let is_new = |map: &&Map| self.shared.iter().all(|shared| shared.definition.name != map.name);
        for (position, map) in self.object.maps().iter().enumerate().filter(|(_, map)| is_new(map)) {
            for (index, initial) in &map.entries {
                if let Initial::Map(inner) = initial
                    && positions.contains(&position)
                    && let Some(inner) = maps.iter().find(|map| map.definition.name == *inner)
                {
                    let value = inner.fd.as_raw_fd().to_le_bytes();
                    syscall::update(maps[position].fd.as_fd(), &index.to_le_bytes(), &value, 0)
                        .map_err(|error| KernelError::map(&map.name, "put its first maps", error))?;
                }
            }
        }
        let (license, version) = (self.object.license().to_vec(), self.object.version());
        Ok(Loaded { maps, types, license, version, features: self.features, allow_lost_exclusion: self.allow_lost_exclusion })
    }
}

impl Loaded {
    /// A map by its name.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&LoadedMap> {
        self.maps.iter().find(|map| map.definition.name == name)
    }

    /// Loads a program over these maps. The outer error is the system's, the inner one the verifier's.
    pub fn load(&self, program: &Program, log: Log) -> Result<Result<LoadedProgram, Rejection>, KernelError> {
        self.load_within(program, log, LOG_BYTES_FIRST, LOG_BYTES_MAX)
    }

    /// The same with room for so much log at first, and at most: each time that it does not fit, the verifier does all its work again. What did not
    /// fit in the end is a rejection with ENOSPC.
    pub fn load_within(
        &self,
        program: &Program,
        log: Log,
        bytes_first: usize,
        bytes_max: usize,
    ) -> Result<Result<LoadedProgram, Rejection>, KernelError> {
        let mut program = program.clone();
        let mut notices = Vec::new();
        if self.allow_lost_exclusion && !self.features.fetching_atomics {
            let count = rewrite::without_compare_and_exchange(&mut program);
            if count > 0 {
                notices.push(format!(
                    "{count} compare-and-exchange became plain stores, which this kernel has instead: nothing is excluded between CPUs"
                ));
            }
        }
        for slot in program.map_slots() {
            let position = program.instructions[slot].imm;
            let map = usize::try_from(position).ok().and_then(|position| self.maps.get(position));
            let missing = || KernelError::NoMap { program: program.name.clone(), instruction: slot, map: position };
            program.instructions[slot].imm = map.ok_or_else(missing)?.fd.as_raw_fd();
        }
        let mut buffer = vec![0_u8; if log == Log::None { 0 } else { bytes_first }];
        loop {
            let start = Instant::now();
            let result = self.attempt(&program, log, &mut buffer);
            let load_time = start.elapsed();
            let text = || String::from_utf8_lossy(buffer.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            match result {
                Ok(fd) => return Ok(Ok(LoadedProgram { name: program.name, fd, log: text(), load_time, notices })),
                // The log did not fit.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && buffer.len() < bytes_max => {
                    buffer = vec![0; (buffer.len() * 8).min(bytes_max)];
                }
                Err(source) if source.raw_os_error() == Some(libc::EPERM) && text().is_empty() => {
                    return Err(KernelError::Right { what: format!("program `{}`", program.name), source });
                }
                Err(error) => return Ok(Err(Rejection { error, log: text(), load_time, notices })),
            }
        }
    }

    /// Puts loaded programs into the program arrays that name them first.
    pub fn fill_program_arrays(&self, programs: &[&LoadedProgram]) -> Result<(), KernelError> {
        for map in &self.maps {
            for (index, initial) in &map.definition.entries {
                if let Initial::Program(name) = initial
                    && let Some(program) = programs.iter().find(|program| program.name == *name)
                {
                    let value = program.fd.as_raw_fd().to_le_bytes();
                    syscall::update(map.fd.as_fd(), &index.to_le_bytes(), &value, 0)
                        .map_err(|error| KernelError::map(&map.definition.name, "put its first programs", error))?;
                }
            }
        }
        Ok(())
    }

    fn attempt(&self, program: &Program, log: Log, buffer: &mut [u8]) -> io::Result<OwnedFd> {
        let bytes: Vec<u8> = program.instructions.iter().flat_map(Insn::to_array).collect();
        let mut attr: bpf_attr = attribute();
        // SAFETY: the union's part of this command.
        let part = unsafe { &mut attr.__bindgen_anon_3 };
        part.prog_type = program.kind.program;
        part.expected_attach_type = program.kind.attach;
        part.prog_flags = program.kind.flags;
        part.insns = bytes.as_ptr() as u64;
        part.insn_cnt = u32::try_from(program.instructions.len()).map_err(io::Error::other)?;
        part.license = self.license.as_ptr() as u64;
        part.kern_version = self.version;
        part.prog_name = name(&program.name);
        if log != Log::None {
            // Level 4 gives the statistics alone, 2 every instruction on every path.
            part.log_level = if log == Log::Full { 2 | 4 } else { 4 };
            part.log_size = u32::try_from(buffer.len()).map_err(io::Error::other)?;
            part.log_buf = buffer.as_mut_ptr() as u64;
        }
        if let Some(types) = self.types.as_ref().filter(|_| !program.func_info.is_empty()) {
            part.prog_btf_fd = types.as_raw_fd().cast_unsigned();
            (part.func_info, part.func_info_rec_size) = (program.func_info.as_ptr() as u64, 8);
            part.func_info_cnt = u32::try_from(program.func_info.len() / 8).map_err(io::Error::other)?;
            (part.line_info, part.line_info_rec_size) = (program.line_info.as_ptr() as u64, 16);
            part.line_info_cnt = u32::try_from(program.line_info.len() / 16).map_err(io::Error::other)?;
        }
        // SAFETY: instructions, license, log and records live, with the lengths said.
        unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) }
    }
}

impl LoadedMap {
    /// Another descriptor of the same map, for an object that has it as `map`.
    fn again(&self, map: &Map) -> Result<Self, KernelError> {
        let sizes = |map: &Map| (map.kind, map.key_size, map.value_size);
        if sizes(&self.definition) != sizes(map) {
            let reason = format!("kind and sizes {:?} are not those of the map to share, {:?}", sizes(map), sizes(&self.definition));
            return Err(KernelError::Definition { map: map.name.clone(), reason });
        }
        let fd = self.fd.try_clone().map_err(|error| KernelError::map(&map.name, "share it", error))?;
        Ok(Self { definition: self.definition.clone(), fd })
    }

    /// The map as its entries are read and written, of a per-CPU map those of CPU 0.
    pub fn entries(&self) -> io::Result<Entries> {
        let Map { kind, key_size, value_size, .. } = self.definition;
        let is_per_cpu = MapKind::from_number(kind).is_some_and(MapKind::is_per_cpu);
        Ok(Entries::new(self.fd.try_clone()?, key_size as usize, value_size as usize, is_per_cpu.then(|| (0, cpus_count() as usize))))
    }
}

const LOG_BYTES_FIRST: usize = 1 << 18;
/// The most that 5.10 takes is a quarter of 2^32; this much text nobody reads.
const LOG_BYTES_MAX: usize = 1 << 28;

fn create(map: &Map, btf: Option<BorrowedFd<'_>>, features: &Features) -> Result<LoadedMap, KernelError> {
    let mut definition = map.clone();
    if definition.kind == PERF_EVENT_ARRAY {
        (definition.key_size, definition.value_size) = (4, 4);
        if definition.max_entries == 0 {
            definition.max_entries = cpus_count();
        }
    }
    if RINGS.contains(&definition.kind) {
        definition.max_entries = definition.max_entries.max(4096).checked_next_power_of_two().unwrap_or(1 << 31);
    }
    if definition.is_data() && features.mapped {
        definition.flags |= MMAPABLE;
    }
    let inner = match &definition.inner {
        Some(inner) => Some(create(&Map { name: format!("{}.inner", definition.name), ..(**inner).clone() }, btf, features)?),
        None if matches!(definition.kind, 12 | 13) => {
            let reason = "the object does not say what the maps in it are like (`__array(values, ...)`)".to_owned();
            return Err(KernelError::Definition { map: definition.name, reason });
        }
        None => None,
    };
    let inner_fd = inner.as_ref().map_or(0, |inner| inner.fd.as_raw_fd().cast_unsigned());
    let typed = !UNTYPED.contains(&definition.kind) && definition.types != (0, 0);
    // As libbpf: types of values are a help, and a kernel that does not like them makes the map without.
    let fd = match btf.filter(|_| typed).map(|btf| attempt(&definition, inner_fd, Some(btf))) {
        Some(Ok(fd)) => Ok(fd),
        _ => attempt(&definition, inner_fd, None),
    };
    let fd = fd.map_err(|error| KernelError::map(&definition.name, "create it", error))?;
    if !definition.data.is_empty() {
        let wrong = |what: &'static str| {
            let name = definition.name.clone();
            move |error| KernelError::map(&name, what, error)
        };
        syscall::update(fd.as_fd(), &0_u32.to_le_bytes(), &definition.data, 0).map_err(wrong("write its first value"))?;
        if definition.is_read_only() {
            syscall::freeze(fd.as_fd()).map_err(wrong("freeze it"))?;
        }
    }
    Ok(LoadedMap { definition, fd })
}

fn attempt(map: &Map, inner_fd: u32, btf: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: the union's part of this command.
    let part = unsafe { &mut attr.__bindgen_anon_1 };
    part.map_type = map.kind;
    part.key_size = map.key_size;
    part.value_size = map.value_size;
    part.max_entries = map.max_entries;
    part.map_flags = map.flags;
    part.map_extra = map.extra;
    part.inner_map_fd = inner_fd;
    part.map_name = name(&map.name);
    if let Some(btf) = btf {
        part.btf_fd = btf.as_raw_fd().cast_unsigned();
        (part.btf_key_type_id, part.btf_value_type_id) = map.types;
    }
    // SAFETY: no addresses.
    unsafe { bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}

/// Until 5.11 maps and programs counted against `RLIMIT_MEMLOCK`. Without the right to raise it, the error of a map says so.
fn raise_memory_limit() {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

/// How many CPUs may ever be there: per-CPU maps have a value for each, the kernel's arrays of perf events an entry.
#[must_use]
pub fn cpus_count() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|number| number.parse::<u32>().ok());
    last.map_or(1, |last| last + 1)
}

//! The kernel as an engine of the lab: the vm's object with its clocks and its generator replaced, test runs on processor 0.

use std::io;
use std::os::fd::AsFd;

use super::outcome::{self, split};
use super::{Engine, Entry, LabError, Outcome, Record, clock};
use crate::Frame;
use crate::bpf::{Map, Program};
use crate::kernel::map::Entries;
use crate::kernel::record::{Perf, Ring};
use crate::kernel::run::{Runner, takes};
use crate::kernel::{KernelError, Loaded, LoadedProgram, Loader, Log, affinity};
use crate::vm::{Hook, MapKind, Object, Shape, random};

/// The engine's name.
pub const NAME: &str = "kernel";

/// The map of the clock and the generator.
const CLOCK: &str = "treeline_clock";
/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 4;

/// Who reads a map's records.
enum Reader {
    Ring(Ring),
    Perf(Perf),
}

/// A program in the kernel.
pub struct Machine {
    hook: Hook,
    /// The first is the one that runs; the others are called by it.
    programs: Vec<LoadedProgram>,
    maps: Vec<Entries>,
    shapes: Vec<Shape>,
    readers: Vec<(String, Reader)>,
    cell: Entries,
    runner: Runner,
    _pinned: affinity::Pinned,
}

impl Machine {
    /// Creates the object's maps and loads a program, and those that it can call by the program arrays' first entries.
    /// [`LabError::Unavailable`] without the rights, [`LabError::Refused`] with the kernel's words.
    pub fn new(object: &Object, program: &str) -> Result<Self, LabError> {
        let shapes = crate::vm::shapes(object);
        let names: Vec<String> = object.reachable(program).into_iter().map(str::to_owned).collect();
        let mut object = object.clone();
        let clock = Shape { name: CLOCK.to_owned(), kind: MapKind::Array, key_size: 4, value_size: clock::CELL_BYTES, max_entries: 1 };
        let position = i32::try_from(object.push_map(Map::of(&clock))).expect("maps are few");
        for name in &names {
            let found = object.programs_mut().iter_mut().find(|known| known.name == *name);
            let appended = found.map(|found| clock::substitute(&mut found.instructions, position));
            object.push_functions(name, appended.unwrap_or_default());
        }
        let found = object.program(program).map_err(|error| refused(&error))?;
        let hook = found.hook.ok_or_else(|| refused(&format!("{program}: its section {} is of no hook that can be run", found.section)))?;
        let pinned = affinity::Pinned::to_first().map_err(|error| failed("pinning to processor 0", &error))?;
        let mut loaded = Loader::new(&object).create().map_err(|error| unloaded(&error))?;
        let mut programs = Vec::new();
        for name in &names {
            programs.push(load(&loaded, object.program(name).map_err(|error| refused(&error))?)?);
        }
        loaded.fill_program_arrays(&programs.iter().collect::<Vec<_>>()).map_err(|error| unloaded(&error))?;
        let cpus_count = aya::util::nr_cpus().map_err(|(file, error)| failed(file, &error))?;
        let mut take = |shape: &Shape| {
            let place = loaded.maps.iter().position(|map| map.definition.name == shape.name);
            let map = loaded.maps.swap_remove(place.ok_or_else(|| refused(&format!("map {} is gone", shape.name)))?);
            let processor = shape.kind.is_per_cpu().then_some((0, cpus_count));
            Ok::<_, LabError>((Entries::new(map.fd, shape.key_size, shape.value_size, processor), map.definition.max_entries))
        };
        let (mut cell, _) = take(&clock)?;
        let mut start = [0; clock::CELL_BYTES];
        start[8..].copy_from_slice(&random::SEED.to_ne_bytes());
        cell.put(&[0; 4], &start, 0).map_err(|error| failed("the clock", &error))?;
        let (mut maps, mut readers) = (Vec::new(), Vec::new());
        for shape in &shapes {
            let (mut map, max_entries) = take(shape)?;
            let reader = reader(shape.kind, max_entries, &mut map).map_err(|error| failed(&format!("map {}", shape.name), &error))?;
            readers.extend(reader.map(|reader| (shape.name.clone(), reader)));
            maps.push(map);
        }
        Ok(Self { hook, programs, maps, shapes, readers, cell, runner: Runner::new(hook), _pinned: pinned })
    }

    fn set_clock(&mut self, time_ns: u64) -> io::Result<()> {
        let mut value = self.cell.value(&[0; 4])?.unwrap_or_else(|| vec![0; clock::CELL_BYTES]);
        value[..8].copy_from_slice(&time_ns.to_ne_bytes());
        self.cell.put(&[0; 4], &value, 0)
    }
}

/// Loads a program; of the verifier's log an error has the last lines.
fn load(loaded: &Loaded, program: &Program) -> Result<LoadedProgram, LabError> {
    loaded.load(program, Log::Statistics).map_err(|error| unloaded(&error))?.map_err(|rejection| {
        let lines: Vec<&str> = rejection.log.lines().filter(|line| !line.starts_with("processed")).collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ");
        refused(&format!("{}: {}; the verifier's last lines: {last}", program.name, rejection.error))
    })
}

fn unloaded(error: &KernelError) -> LabError {
    match error {
        KernelError::Right { .. } => LabError::Unavailable { engine: NAME.to_owned(), reason: error.to_string() },
        _ => refused(error),
    }
}

fn reader(kind: MapKind, max_entries: u32, map: &mut Entries) -> io::Result<Option<Reader>> {
    Ok(match kind {
        MapKind::RingBuf => Some(Reader::Ring(Ring::new(map.descriptor(), max_entries as usize)?)),
        MapKind::PerfEventArray => {
            let perf = Perf::new(0)?;
            map.put(&[0; 4], &perf.descriptor().to_ne_bytes(), 0)?;
            Some(Reader::Perf(perf))
        }
        _ => None,
    })
}

impl Engine for Machine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn refuses(&self, frame: &Frame) -> Option<&'static str> {
        takes(self.hook, &frame.bytes)
    }

    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError> {
        self.set_clock(frame.time_ns).map_err(|error| failed("the clock", &error))?;
        let ran = self.runner.run(self.programs[0].fd.as_fd(), &frame.bytes).map_err(|error| failed("a test run", &error))?;
        let (packet, meta) = split(self.hook, ran.data, ran.context);
        let mut outcome = Outcome { returned: ran.returned, packet, meta, ..Outcome::default() };
        if let Some(context) = ran.context {
            outcome.context = outcome::fields(self.hook, context);
        }
        for (map, reader) in &mut self.readers {
            let (records, padded) = match reader {
                Reader::Ring(ring) => (ring.drain(), false),
                Reader::Perf(perf) => (perf.drain(), true),
            };
            outcome.records.extend(records.into_iter().map(|bytes| Record { map: map.clone(), bytes, padded }));
        }
        Ok(outcome)
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        self.maps[map].value(key).map_err(|error| failed(&format!("map {}", self.shapes[map].name), &error))
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        let shape = &self.shapes[map];
        let entries = &mut self.maps[map];
        let all = if matches!(shape.kind, MapKind::Queue | MapKind::Stack) { emptied(entries) } else { entries.all() };
        all.map_err(|error| failed(&format!("map {}", shape.name), &error))
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        self.maps[map].put(key, value, 0).map_err(|error| failed(&format!("map {}", self.shapes[map].name), &error))
    }
}

/// All elements of a queue or stack, which can only be taken out.
fn emptied(entries: &mut Entries) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    while let Some(value) = entries.pop()? {
        all.push((Vec::new(), value));
    }
    all.sort_unstable();
    Ok(all)
}

fn refused(reason: &dyn std::fmt::Display) -> LabError {
    LabError::Refused { engine: NAME.to_owned(), reason: reason.to_string() }
}

fn failed(what: &str, error: &io::Error) -> LabError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LabError::Unavailable {
            engine: NAME.to_owned(),
            reason: format!("{what}: {error}; loading programs needs root, or CAP_BPF, CAP_NET_ADMIN and, for perf events, CAP_PERFMON"),
        },
        _ => refused(&format!("{what}: {error}")),
    }
}

//! The kernel as an engine of the lab: the vm's object with its clocks and its generator replaced, test runs on CPU 0.

use std::io;
use std::os::fd::AsFd;

use super::outcome::{self, split};
use super::{Engine, Entry, LabError, Outcome, Record, clock};
use crate::Frame;
use crate::bpf::{Job, Map, Program};
use crate::kernel::map::Entries;
use crate::kernel::record::{Perf, Ring};
use crate::kernel::run::{Runner, takes};
use crate::kernel::{KernelError, Loaded, LoadedProgram, Loader, Log, affinity, cpus_count};
use crate::verifier;
use crate::vm::{Hook, MapKind, Object, Shape, random};

pub use crate::kernel::NAME;

/// The map of the clock and the generator.
const CLOCK: &str = "treeline_clock";
/// `BPF_XDP_DEVMAP`, `BPF_XDP_CPUMAP`
const BEHIND_REDIRECTS: [u32; 2] = [35, 41];

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
    /// `None`: the kernel cannot create it, and no program uses it.
    maps: Vec<Option<Entries>>,
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
        let clock =
            Shape { name: CLOCK.to_owned(), kind: MapKind::Array, key_size: 4, value_size: clock::CELL_BYTES, max_entries: 1, flags: 0 };
        let position = i32::try_from(object.push_map(Map::of(&clock))).expect("maps are few");
        for name in &names {
            let found = object.programs_mut().iter_mut().find(|known| known.name == *name);
            let appended = found.map(|found| clock::substitute(&mut found.instructions, position));
            object.push_functions(name, appended.unwrap_or_default());
        }
        let found = object.program(program).map_err(|error| refused(&error))?;
        let hook = found.hook.ok_or_else(|| refused(&format!("{program}: its section {} is of no hook that can be run", found.section)))?;
        if BEHIND_REDIRECTS.contains(&found.kind.attach) && hook == Hook::Xdp {
            return Err(refused(&format!(
                "{program}: section {}: a program that runs behind a redirect (devmap, cpumap) has no test run; --engine vm runs it",
                found.section
            )));
        }
        let pinned = affinity::Pinned::to_first().map_err(|error| failed("pinning to processor 0", &error))?;
        let (mut loaded, created) = created(&object, &names, &shapes)?;
        let mut programs = Vec::new();
        for name in &names {
            programs.push(load(&loaded, object.program(name).map_err(|error| refused(&error))?)?);
        }
        loaded.fill_program_arrays(&programs.iter().collect::<Vec<_>>()).map_err(|error| unloaded(&error))?;
        let cpus_count = cpus_count() as usize;
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
            if !created.contains(&shape.name) {
                maps.push(None);
                continue;
            }
            let (mut map, max_entries) = take(shape)?;
            let reader = reader(shape.kind, max_entries, &mut map).map_err(|error| failed(&format!("map {}", shape.name), &error))?;
            readers.extend(reader.map(|reader| (shape.name.clone(), reader)));
            maps.push(Some(map));
        }
        Ok(Self { hook, programs, maps, shapes, readers, cell, runner: Runner::new(hook), _pinned: pinned })
    }

    /// Reads an object and loads a program of it.
    pub fn of(job: &Job) -> Result<(Object, Self), LabError> {
        let object = job.read().map_err(|error| refused(&error))?;
        let machine = Self::new(&object, &job.program)?;
        Ok((object, machine))
    }

    fn set_clock(&mut self, time_ns: u64) -> io::Result<()> {
        let mut value = self.cell.value(&[0; 4])?.unwrap_or_else(|| vec![0; clock::CELL_BYTES]);
        value[..8].copy_from_slice(&time_ns.to_ne_bytes());
        self.cell.put(&[0; 4], &value, 0)
    }
}

/// The object's maps, and the names of those that there are: what cannot be created and is neither used nor compared is left out.
fn created(object: &Object, programs: &[String], shapes: &[Shape]) -> Result<(Loaded, Vec<String>), LabError> {
    let names = |positions: &[usize]| positions.iter().map(|position| object.maps()[*position].name.clone()).collect();
    let all: Vec<usize> = (0..object.maps().len()).collect();
    let first = match Loader::new(object).create() {
        Ok(loaded) => return Ok((loaded, names(&all))),
        Err(error) => error,
    };
    let programs: Vec<&Program> = programs.iter().filter_map(|name| object.program(name).ok()).collect();
    let used = Loader::new(object).used(&programs);
    let is_compared = |name: &str| {
        let map = shapes.iter().map(super::map::Map::of).find(|map| map.name == name);
        map.is_some_and(|map| !matches!(map.way(), super::map::Way::Nothing(_)))
    };
    let kept: Vec<usize> =
        all.into_iter().filter(|position| used.contains(position) || is_compared(&object.maps()[*position].name)).collect();
    let loaded = Loader::new(object).create_only(&kept).map_err(|_| unloaded(&first))?;
    Ok((loaded, names(&kept)))
}

/// Loads a program; of the verifier's log an error has the last lines.
fn load(loaded: &Loaded, program: &Program) -> Result<LoadedProgram, LabError> {
    loaded.load(program, Log::Statistics).map_err(|error| unloaded(&error))?.map_err(|rejection| {
        let reason = format!("{}: {rejection}", program.name);
        refused(&verifier::unrelocated(program, &rejection.log).map_or(reason, |missing| format!("{}: {missing}", program.name)))
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
        let Some(entries) = &mut self.maps[map] else { return Ok(None) };
        entries.value(key).map_err(|error| failed(&format!("map {}", self.shapes[map].name), &error))
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        let shape = &self.shapes[map];
        let Some(entries) = &mut self.maps[map] else { return Ok(Vec::new()) };
        let all = if matches!(shape.kind, MapKind::Queue | MapKind::Stack) { emptied(entries) } else { entries.all() };
        all.map_err(|error| failed(&format!("map {}", shape.name), &error))
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        let name = &self.shapes[map].name;
        let entries = self.maps[map].as_mut().ok_or_else(|| refused(&format!("map {name}: the kernel cannot create it")))?;
        entries.put(key, value, 0).map_err(|error| failed(&format!("map {name}"), &error))
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

//! The kernel as an engine of the lab: the vm's object with its clocks and its generator replaced, test runs on processor 0.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::outcome::{self, split};
use super::{Engine, Entry, LabError, Outcome, Record, clock};
use crate::Frame;
use crate::kernel::map::Entries;
use crate::kernel::record::{Perf, Ring};
use crate::kernel::run::{Runner, takes};
use crate::kernel::{affinity, load};
use crate::vm::{Hook, MapKind, Maps, Object, Shape, random};

/// The engine's name.
pub const NAME: &str = "kernel";

/// Who reads a map's records.
enum Reader {
    Ring(Ring),
    Perf(Perf),
}

/// A program in the kernel.
pub struct Machine {
    hook: Hook,
    program: OwnedFd,
    maps: Vec<Entries>,
    shapes: Vec<Shape>,
    readers: Vec<(String, Reader)>,
    cell: Entries,
    runner: Runner,
    _pinned: affinity::Pinned,
}

impl Machine {
    /// Creates the maps and loads a program. [`LabError::Unavailable`] without the rights, [`LabError::Refused`] with the kernel's words.
    pub fn new(object: &Object, program: &str) -> Result<Self, LabError> {
        let known = Maps::of(object, &[program]).map_err(|error| refused(&error))?;
        let found = object.program(program).map_err(|error| refused(&error))?;
        let hook = found.hook.ok_or_else(|| refused(&format!("{program}: its section {} is of no hook that can be run", found.section)))?;
        let mut instructions = known.instructions(found);
        let pinned = affinity::Pinned::to_first().map_err(|error| failed("pinning to processor 0", &error))?;
        let cpus_count = aya::util::nr_cpus().map_err(|(file, error)| failed(file, &error))?;
        let (mut maps, mut shapes, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for (shape, data) in &known.shapes {
            let mut map = create(shape, cpus_count)?;
            let what = format!("map {}", shape.name);
            if data.len() == shape.value_size && shape.kind == MapKind::Array {
                map.put(&[0; 4], data, 0).map_err(|error| failed(&what, &error))?;
            }
            if load::is_constant(shape) {
                load::freeze(map.descriptor()).map_err(|error| failed(&what, &error))?;
            }
            readers.extend(reader(shape, &mut map).map_err(|error| failed(&what, &error))?.map(|reader| (shape.name.clone(), reader)));
            maps.push(map);
            shapes.push(shape.clone());
        }
        let shape = Shape { name: "clock".to_owned(), kind: MapKind::Array, key_size: 4, value_size: clock::CELL_BYTES, max_entries: 1 };
        let mut cell = create(&shape, cpus_count)?;
        let mut start = [0; clock::CELL_BYTES];
        start[8..].copy_from_slice(&random::SEED.to_ne_bytes());
        cell.put(&[0; 4], &start, 0).map_err(|error| failed("the clock", &error))?;
        clock::substitute(&mut instructions, i32::try_from(maps.len()).expect("maps are few"));
        let descriptors: Vec<BorrowedFd<'_>> = maps.iter().chain([&cell]).map(Entries::descriptor).collect();
        let program = load::program(hook, &instructions, &descriptors).map_err(|error| failed(program, &error))?;
        Ok(Self { hook, program, maps, shapes, readers, cell, runner: Runner::new(hook), _pinned: pinned })
    }

    fn set_clock(&mut self, time_ns: u64) -> io::Result<()> {
        let mut value = self.cell.value(&[0; 4])?.unwrap_or_else(|| vec![0; clock::CELL_BYTES]);
        value[..8].copy_from_slice(&time_ns.to_ne_bytes());
        self.cell.put(&[0; 4], &value, 0)
    }
}

fn create(shape: &Shape, cpus_count: usize) -> Result<Entries, LabError> {
    if shape.kind.holds_maps() {
        return Err(refused(&format!("map {}: maps of maps cannot be loaded; use --engine vm", shape.name)));
    }
    let descriptor = load::map(shape).map_err(|error| failed(&format!("map {}", shape.name), &error))?;
    let processor = shape.kind.is_per_cpu().then_some((0, cpus_count));
    Ok(Entries::new(descriptor, shape.key_size, shape.value_size, processor))
}

fn reader(shape: &Shape, map: &mut Entries) -> io::Result<Option<Reader>> {
    Ok(match shape.kind {
        MapKind::RingBuf => Some(Reader::Ring(Ring::new(map.descriptor(), shape.max_entries as usize)?)),
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
        use std::os::fd::AsFd;
        self.set_clock(frame.time_ns).map_err(|error| failed("the clock", &error))?;
        let ran = self.runner.run(self.program.as_fd(), &frame.bytes).map_err(|error| failed("a test run", &error))?;
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

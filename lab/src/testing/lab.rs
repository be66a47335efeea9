//! A loaded program: packets through it, its maps, captures.

use std::marker::PhantomData;
use std::path::Path;

use bytemuck::{AnyBitPattern, NoUninit};

use super::object::position;
use super::{Error, Kernel, Map, Program, Result, Run, Verification};
use crate::Frame;
use crate::capture::Capture;
use crate::kernel::run::takes;
use crate::lab::{Engine, LabError, Machine, Origin, Origins, Replay, Summary, kernel, report, verdict};

/// A program in every engine, with maps of its own.
///
/// ```
/// use treeline_lab::{Lab, Object, Result, xdp};
///
/// fn filter() -> Result<Lab> {
///     Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?.load()
/// }
///
/// # fn main() -> Result {
/// let mut lab = filter()?;
/// lab.run([0; 60])?.expect(xdp::PASS);
/// lab.at_ns(1_000).run([0xff; 60])?.expect(xdp::PASS).unchanged();
/// lab.every_prefix([0; 60], |run| run.expect(xdp::PASS))?;
/// # Ok(())
/// # }
/// ```
pub struct Lab {
    program: Program,
    replay: Replay,
    time_ns: u64,
    /// The packets so far, to find out what made a difference.
    frames: Vec<Frame>,
    /// Whether maps were written between packets, so that the way to a packet cannot be gone once more.
    is_written: bool,
}

impl Lab {
    pub(super) fn of(program: Program) -> Result<Self> {
        let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Machine::new(&program.object, &program.job.program)?)];
        if !program.is_vm_alone {
            match kernel::Machine::new(&program.object, &program.job.program) {
                Ok(kernel) => engines.push(Box::new(kernel)),
                Err(error @ LabError::Unavailable { .. }) => left_out(&error.to_string())?,
                Err(error) => return Err(error.into()),
            }
        }
        for kernel in &program.kernels {
            engines.extend(kernel.engine(program.hook, &program.job)?);
        }
        let mut replay = Replay::new(program.hook, &program.maps, engines, None);
        for (map, entries) in &program.fills {
            entries.iter().try_for_each(|(key, value)| replay.fill(*map, key, value))?;
        }
        Ok(Self { program, replay, time_ns: 0, frames: Vec::new(), is_written: false })
    }

    /// The engines' names: `vm`, `kernel`, `kernel@6.1`.
    #[must_use]
    pub fn engines(&self) -> Vec<&str> {
        self.replay.engines().collect()
    }

    /// Sets the clock for the packets from here on: what `bpf_ktime_get_ns` and its kind answer. It begins at 0.
    pub fn at_ns(&mut self, time_ns: u64) -> &mut Self {
        self.time_ns = time_ns;
        self
    }

    /// Runs a packet, from its Ethernet header on, in every engine, and compares all that it did.
    ///
    /// Panics where engines differ, with what differs, the instruction and source line that made it, and registers. An error is a program that
    /// did what the verifier forbids, a packet that a kernel does not take, and an engine that broke.
    #[track_caller]
    pub fn run(&mut self, packet: impl AsRef<[u8]>) -> Result<Run> {
        let frame = self.frame(packet.as_ref());
        if let Some(reason) = self.replay.refuses(&frame) {
            return Err(Error::NotTaken { bytes: frame.bytes.len(), reason });
        }
        self.frames.push(frame.clone());
        if let Some(outcome) = self.replay.one(&frame)? {
            return Ok(Run::new(&self.program.job.program, self.program.hook, &frame.bytes, outcome));
        }
        let found = findings(&self.program, self.replay.summary(), &self.origins());
        assert!(self.replay.summary().divergence.is_none(), "{found}");
        Err(Error::Stopped { report: found })
    }

    /// Runs all shorter beginnings of a packet, from none of its bytes on: what a program must not read is not there. Those that no kernel takes
    /// run in the VM alone, each with fresh maps.
    #[track_caller]
    pub fn every_prefix(&mut self, packet: impl AsRef<[u8]>, mut check: impl FnMut(Run) -> Run) -> Result<()> {
        let packet = packet.as_ref();
        for length in 0..packet.len() {
            let frame = self.frame(&packet[..length]);
            let run = if self.replay.refuses(&frame).is_some() { self.alone(&frame)? } else { self.run(&packet[..length])? };
            check(run);
        }
        Ok(())
    }

    /// A map by its name. Its keys and values must have the sizes of the types.
    ///
    /// ```
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::Object;
    /// let mut lab = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?.load()?;
    /// assert!(lab.map::<[u8; 4], u64>("DROPPED").is_ok());
    /// assert!(lab.map::<[u8; 4], u32>("DROPPED").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<K: NoUninit + AnyBitPattern, V: NoUninit + AnyBitPattern>(&mut self, name: &str) -> Result<Map<'_, K, V>> {
        let position = position(&self.program.maps, name, size_of::<K>(), size_of::<V>())?;
        Ok(Map { lab: self, position, types: PhantomData })
    }

    /// Runs a whole capture (pcap or pcapng, plain, gzip or zstd) by its own clock, to its end or the first difference.
    ///
    /// ```
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::{Object, xdp};
    /// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?;
    /// let replayed = filter.load()?.replay("../testdata/captures/edge-not-ip.pcap")?.agrees().expect_all(xdp::PASS);
    /// assert_eq!(replayed.summary().packets, 8);
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay(self, path: impl AsRef<Path>) -> Result<Replayed> {
        if !self.frames.is_empty() {
            return Err(Error::Used);
        }
        let path = path.as_ref();
        let Self { program, replay, is_written, .. } = self;
        let summary = replay.run(&mut Capture::open(path)?, u64::MAX, |_, _| (), |_| ())?;
        let frames = Capture::open(path)?.map_while(std::result::Result::ok);
        let origins = if is_written { Err(WRITTEN.to_owned()) } else { origins(&program, frames, &summary) };
        Ok(Replayed { report: findings(&program, &summary, &origins), program, summary })
    }

    /// What a kernel's verifier says of the program: its cost, or why it is rejected. See [`Verification`].
    pub fn verify(&self, kernel: &Kernel) -> Result<Verification> {
        kernel.verify(&self.program.job)
    }

    fn frame(&self, bytes: &[u8]) -> Frame {
        let original_length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Frame { index: self.frames.len() as u64, time_ns: self.time_ns, original_length, bytes: bytes.to_vec() }
    }

    /// One packet in a VM of its own.
    fn alone(&self, frame: &Frame) -> Result<Run> {
        let mut machine = Machine::new(&self.program.object, &self.program.job.program)?;
        for (map, entries) in &self.program.fills {
            entries.iter().try_for_each(|(key, value)| machine.fill(*map, key, value))?;
        }
        let outcome = machine.run(frame)?;
        Ok(Run::new(&self.program.job.program, self.program.hook, &frame.bytes, outcome))
    }

    pub(super) fn first(&mut self) -> &mut dyn Engine {
        self.replay.first()
    }

    pub(super) fn put(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<()> {
        self.is_written = true;
        Ok(self.replay.fill(map, key, value)?)
    }

    fn origins(&self) -> std::result::Result<Vec<Origin>, String> {
        if self.is_written { Err(WRITTEN.to_owned()) } else { origins(&self.program, self.frames.iter().cloned(), self.replay.summary()) }
    }
}

const WRITTEN: &str = "the test wrote to a map between packets";

/// Tells what is not there; under `CI` that is an error.
pub(super) fn left_out(what: &str) -> Result<()> {
    if std::env::var_os("CI").is_some() {
        return Err(Error::Missing { what: what.to_owned() });
    }
    eprintln!("treeline-lab: {what}");
    Ok(())
}

/// The instructions of the vm's run that made what differs.
fn origins(program: &Program, frames: impl IntoIterator<Item = Frame>, summary: &Summary) -> std::result::Result<Vec<Origin>, String> {
    let hook = program.hook;
    let is_kernel_there = summary.engines.len() > 1 || !program.is_vm_alone;
    let runs = |frame: &Frame| !is_kernel_there || takes(hook, &frame.bytes).is_none();
    let origins = Origins { object: &program.object, program: &program.job.program, fills: &program.fills, runs: &runs };
    let found = match (&summary.divergence, &summary.stop) {
        (Some(divergence), _) => origins.of(frames, divergence),
        (None, Some(stop)) if stop.place.is_some() => origins.of_stop(frames, stop),
        _ => Ok(Vec::new()),
    };
    found.map_err(|error| error.to_string())
}

/// What speaks against the program or the engines.
fn findings(program: &Program, summary: &Summary, origins: &std::result::Result<Vec<Origin>, String>) -> String {
    let stop = summary.stop.iter().map(|stop| report::stop(stop, origins));
    let divergence = summary.divergence.iter().map(|found| report::divergence(found, origins));
    let mut text = program.job.program.clone();
    stop.chain(divergence).for_each(|found| text = format!("{text}: {found}"));
    text
}

/// A capture that went through a program.
///
/// ```
/// # fn main() -> treeline_lab::Result {
/// # use treeline_lab::Object;
/// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?;
/// let replayed = filter.load()?.replay("../testdata/captures/lab-portscan.pcap")?.agrees();
/// assert_eq!(replayed.summary().packets, 364);
/// # Ok(())
/// # }
/// ```
pub struct Replayed {
    program: Program,
    summary: Summary,
    report: String,
}

impl Replayed {
    /// Panics if two engines differed, or one broke, with what made it.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "an assertion")]
    pub fn agrees(self) -> Self {
        assert!(self.summary.divergence.is_none() && self.summary.stop.is_none(), "{}", self.report);
        assert!(self.summary.damage.is_none(), "{}", self.summary.damage.as_deref().unwrap_or_default());
        self
    }

    /// Panics unless there was a packet and every one returned this.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "an assertion")]
    pub fn expect_all(self, verdict: u32) -> Self {
        let name = |code| verdict::name(self.program.hook, code);
        let returned: Vec<String> = self.summary.returned.iter().map(|(code, count)| format!("{} {count}", name(*code))).collect();
        let is_all = self.summary.returned.keys().eq([&verdict]);
        let returned = if returned.is_empty() { "no packet was run".to_owned() } else { returned.join(", ") };
        assert!(is_all, "{}: not every packet returned {}: {returned}", self.program.job.program, name(verdict));
        self
    }

    /// Counts, maps, and what was found.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

//! The object in a kernel, the one that runs or a guest's: XDP and TC by `BPF_PROG_TEST_RUN`, the socket filter on a pair of sockets.
//!
//! The capture's clock and the packet's record cross in the replay cell. Frames that were announced cross at once. Not here: loading and
//! running, which are `treeline-lab`'s; attaching to interfaces.

use std::cell::RefCell;
use std::collections::VecDeque;

use treeline_ebpf::replay::Cell;
use treeline_ebpf::{Config, Counters, Link};
use treeline_lab::Frame;
use treeline_lab::bpf::{Job, ReadOptions};
use treeline_lab::cause::explain;
use treeline_lab::kernel::instance::{Host, HostError, Local, Ran, Reply, Request, Setup};
use treeline_lab::kernel::{KernelError, Programs};

use super::{Engine, EngineError, Hook, Observation, Settings, given, observation};
use crate::{allow, object};

pub use treeline_lab::kernel::NAME;

/// The kernel engine.
pub struct Kernel {
    name: &'static str,
    host: Box<dyn Host>,
    hook: Hook,
    link: Link,
    /// What became of frames that were announced, with their indices.
    ready: VecDeque<(u64, Ran)>,
    packets: u64,
    counters: Counters,
    notices: Vec<String>,
}

impl Kernel {
    /// Loads the object into the kernel that runs. [`EngineError::Unavailable`] where privileges or the system are missing.
    pub fn new(settings: &Settings) -> Result<Self, EngineError> {
        Self::on(Box::new(Local::default()), settings)
    }

    /// Loads the object into a host's kernel. It takes the place of what was loaded there before.
    pub fn on(mut host: Box<dyn Host>, settings: &Settings) -> Result<Self, EngineError> {
        let name = interned(host.name());
        let notices = loaded(name, host.ask(&Request::Open(setup(name, settings, replayed(settings))?)))?;
        let (hook, link, counters) = (settings.hook, settings.link, Counters::default());
        Ok(Self { name, host, hook, link, ready: VecDeque::new(), packets: 0, counters, notices })
    }

    /// A line for each thing that is otherwise than on a newer kernel.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    fn send(&mut self, frames: &[Frame]) -> Result<(), EngineError> {
        let first = frames.first().map_or(0, |frame| frame.index);
        let failed = |reason| EngineError::Failed { engine: self.name, frame: first, reason };
        let packets = frames.iter().map(|frame| (frame.time_ns, given(frame, self.hook, self.link).into_owned())).collect();
        match self.host.ask(&Request::Run(packets)) {
            Ok(Reply::Ran(ran)) if ran.len() == frames.len() => {
                self.ready.extend(frames.iter().map(|frame| frame.index).zip(ran));
                Ok(())
            }
            Ok(_) => Err(failed("it answered something else".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// What a packet's record says.
    fn observed(&mut self, returned: u32, record: &[u8]) -> Result<Observation, String> {
        let cell: Cell = bytemuck::try_pod_read_unaligned(record).map_err(|_| format!("a record of {} bytes", record.len()))?;
        if cell.record.packets != self.packets.wrapping_add(1) {
            return Err(format!("the program left {} records for one packet", cell.record.packets.wrapping_sub(self.packets)));
        }
        let observation = observation(&cell, &self.counters, returned).ok_or_else(|| format!("outcome {:#x}", cell.record.outcome))?;
        (self.packets, self.counters) = (cell.record.packets, cell.counters);
        Ok(observation)
    }
}

impl Engine for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, frames: &[Frame]) -> Result<(), EngineError> {
        if frames.is_empty() { Ok(()) } else { self.send(frames) }
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        if self.ready.is_empty() {
            self.send(std::slice::from_ref(frame))?;
        }
        let (engine, frame) = (self.name, frame.index);
        let failed = |reason| EngineError::Failed { engine, frame, reason };
        match self.ready.pop_front() {
            Some((index, Ran::Done { returned, record })) if index == frame => self.observed(returned, &record).map_err(failed),
            Some((index, Ran::NotTaken(reason))) if index == frame => Err(EngineError::Untaken { engine, frame, reason: interned(reason) }),
            Some((index, Ran::Failed(reason))) if index == frame => Err(failed(reason)),
            _ => Err(failed("frames came in another order than announced".to_owned())),
        }
    }

    /// The program of a second object loads over the first one's maps. Wants a kernel of 5.2.
    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        assert!(self.ready.is_empty(), "{} announced frames are still to be judged", self.ready.len());
        let settings = Settings { hook: self.hook, link: self.link, ..settings.clone() };
        let kept = SHARED.map(str::to_owned).to_vec();
        loaded(self.name, self.host.ask(&Request::Replace(setup(self.name, &settings, replayed(&settings))?, kept))).map(drop)
    }
}

/// The object with its settings as a live system loads it: the kernel's clock, counters per CPU. Its programs are still to be loaded.
pub fn load(settings: &Settings) -> Result<Programs, EngineError> {
    let unavailable = |error| EngineError::Unavailable { engine: NAME, reason: explain(&error) };
    let Setup { job, entries, .. } = setup(NAME, settings, settings.loaded())?;
    let programs = job.read().map_err(KernelError::from).and_then(Programs::new).map_err(unavailable)?;
    for (map, key, value) in entries {
        let source = programs.entries(&map).map_err(unavailable)?.put(&key, &value, 0);
        source.map_err(|error| EngineError::Unavailable { engine: NAME, reason: format!("map {map}: {error}") })?;
    }
    Ok(programs)
}

/// The maps that stay when a tree is swapped.
const SHARED: [&str; 6] = [object::FLOWS, object::COUNTERS, object::LIVE, object::ALERTS, object::ALLOW, object::REPLAY];

/// The settings of a replay: the capture's clock.
fn replayed(settings: &Settings) -> Config {
    Config { replay: 1, ..settings.loaded() }
}

/// The object with its settings.
fn setup(engine: &'static str, settings: &Settings, config: Config) -> Result<Setup, EngineError> {
    let options = ReadOptions {
        globals: [(object::CONFIG.to_owned(), config.to_bytes().to_vec())].into(),
        map_max_entries: [(object::FLOWS.to_owned(), settings.flows_max)].into(),
        ..ReadOptions::default()
    };
    let tree = settings.walked(engine)?;
    let model = tree.map(|tree| (object::MODEL.to_owned(), vec![0; 4], bytemuck::cast_slice(&tree.nodes).to_vec()));
    let allowed = settings.allow.entries().map(|entry| {
        let (key, value) = allow::to_bytes(entry);
        (object::ALLOW.to_owned(), key.to_vec(), value.to_vec())
    });
    Ok(Setup {
        job: Job { elf: settings.object().to_vec(), options, program: settings.program().to_owned() },
        entries: model.into_iter().chain(allowed).collect(),
        record: object::REPLAY.to_owned(),
    })
}

/// The notices of an answer to a request to load.
fn loaded(engine: &'static str, reply: Result<Reply, HostError>) -> Result<Vec<String>, EngineError> {
    let reason = match reply {
        Ok(Reply::Loaded(notices)) => return Ok(notices),
        Ok(Reply::Ran(_)) => "it answered something else".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(EngineError::Unavailable { engine, reason })
}

/// The text, for as long as the program runs: there are as many as series of kernels and reasons for which a frame is not taken.
fn interned(text: String) -> &'static str {
    thread_local! {
        static TEXTS: RefCell<Vec<&'static str>> = const { RefCell::new(vec![]) };
    }
    TEXTS.with_borrow_mut(|texts| {
        texts.iter().find(|known| **known == text).copied().unwrap_or_else(|| {
            texts.push(text.leak());
            texts[texts.len() - 1]
        })
    })
}

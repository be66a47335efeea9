//! An object's program in the kernel with its maps, run as it is: XDP and TC by `BPF_PROG_TEST_RUN`, a socket filter on one end of an
//! `AF_UNIX` datagram pair, which runs it over exactly the bytes sent.
//!
//! A program may keep a record in an array that is memory-mapped: the time crosses there before a run, and what the program left is read
//! after it, so that a packet costs one system call (two for the socket). Requests and answers are values, so that another kernel is asked
//! as this one is ([`Host`]). Not here: programs whose clock is replaced ([`crate::lab::kernel`]), attaching to interfaces.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering;

use rustix::mm::ProtFlags;
use serde::{Deserialize, Serialize};

use super::mapping::Mapping;
use super::run::{repeated, takes};
use super::{KernelError, Loaded, LoadedProgram, Loader, Log, NAME, syscall};
use crate::bpf::{Hook, Job};
use crate::cause::explain;

/// What a host is asked. There is one instance at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Load a program with fresh maps, in the place of the one before.
    Open(Setup),
    /// Load another program over the maps of these names, and fresh ones for the rest. On an error everything is as before.
    Replace(Setup, Vec<String>),
    /// Run it over packets, each with its time in ns since the epoch.
    Run(Vec<(u64, Vec<u8>)>),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Loaded, with a sentence for each thing that was changed in the program for this kernel.
    Loaded(Vec<String>),
    /// What became of each packet.
    Ran(Vec<Ran>),
}

/// A program, what its maps hold at first, and where it keeps its record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    /// The program.
    pub job: Job,
    /// Entries by map: name, key, value.
    pub entries: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// Name of an array that can be memory-mapped: its first value begins with the time, and holds what the program leaves of a packet.
    pub record: String,
}

/// What became of one packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ran {
    /// It ran.
    Done {
        /// What the program returned; of a socket filter `u32::MAX` if it kept the whole copy, else the bytes that it kept.
        returned: u32,
        /// The record's bytes.
        record: Vec<u8>,
    },
    /// The kernel does not take such a packet, for a reason by which they are counted; everything is as before.
    NotTaken(String),
    /// It did not run, and why.
    Failed(String),
}

/// Why an instance cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A right is missing, or the kernel itself: others may be asked.
    #[error("{0}")]
    Unavailable(String),
    /// The kernel will not have it.
    #[error("{0}")]
    Refused(String),
}

impl From<KernelError> for HostError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Right { .. } => Self::Unavailable(explain(&error)),
            error => Self::Refused(explain(&error)),
        }
    }
}

/// A kernel that runs one instance.
pub trait Host {
    /// Its name in reports.
    fn name(&self) -> String;

    /// Has it do something.
    fn ask(&mut self, request: &Request) -> Result<Reply, HostError>;
}

/// The kernel that runs.
#[derive(Debug, Default)]
pub struct Local {
    instance: Option<Instance>,
}

impl Host for Local {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, HostError> {
        match request {
            Request::Open(setup) => {
                // The memory of the one before, first.
                self.instance = None;
                let instance = self.instance.insert(Instance::load(setup, &[], None)?);
                Ok(Reply::Loaded(instance.program.notices.clone()))
            }
            Request::Replace(setup, kept) => {
                let before = self.loaded()?;
                let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
                let instance = Instance::load(setup, &kept, Some(before))?;
                let notices = instance.program.notices.clone();
                self.instance = Some(instance);
                Ok(Reply::Loaded(notices))
            }
            Request::Run(packets) => {
                let instance = self.loaded()?;
                Ok(Reply::Ran(packets.iter().map(|(time_ns, bytes)| instance.run(*time_ns, bytes)).collect()))
            }
        }
    }
}

impl Local {
    fn loaded(&self) -> Result<&Instance, HostError> {
        self.instance.as_ref().ok_or_else(|| HostError::Refused("no program is loaded".to_owned()))
    }
}

#[derive(Debug)]
struct Instance {
    hook: Hook,
    program: LoadedProgram,
    loaded: Loaded,
    record: Mapping,
    record_bytes: usize,
    /// Of a socket filter: where packets are sent, and where the filter is.
    sockets: Option<(UnixDatagram, UnixDatagram)>,
}

impl Instance {
    fn load(setup: &Setup, kept: &[&str], before: Option<&Self>) -> Result<Self, HostError> {
        let Setup { job, entries, record } = setup;
        let object = job.read().map_err(KernelError::from)?;
        let program = object.program(&job.program).map_err(KernelError::from)?;
        let refused = |what: &str, reason: &dyn std::fmt::Display| HostError::Refused(format!("{what}: {reason}"));
        let hook = program.hook.ok_or_else(|| refused(&job.program, &"its section is of no hook that can be run"))?;
        let shared: Vec<_> = before.iter().flat_map(|before| kept.iter().filter_map(|name| before.loaded.map(name))).collect();
        let loaded = Loader::new(&object).allow_lost_exclusion(true).sharing(&shared).create()?;
        for (name, key, value) in entries.iter().filter(|(name, ..)| !shared.iter().any(|map| map.definition.name == *name)) {
            let map = loaded.map(name).ok_or_else(|| refused(name, &"the object has no such map"))?;
            let wrong = |error| HostError::from(KernelError::map(name, "put its first entries", error));
            map.entries().and_then(|mut entries| entries.put(key, value, 0)).map_err(wrong)?;
        }
        let map = loaded.map(record).ok_or_else(|| refused(record, &"the object has no such map"))?;
        let record_bytes = map.definition.value_size as usize;
        let mapped = Mapping::new(map.fd.as_fd(), record_bytes, ProtFlags::READ | ProtFlags::WRITE, 0);
        let record = mapped.map_err(|error| KernelError::map(record, "map its memory", error))?;
        let program = loaded.load(program, Log::Statistics)?;
        let program = program.map_err(|rejection| refused(&job.program, &rejection))?;
        let sockets = match before.map(|before| &before.sockets) {
            _ if hook != Hook::Socket => None,
            Some(Some((sender, receiver))) => Some(sender.try_clone().and_then(|sender| Ok((sender, receiver.try_clone()?)))),
            _ => Some(UnixDatagram::pair().and_then(|pair| pair.1.set_nonblocking(true).map(|()| pair))),
        };
        let sockets = sockets.transpose().map_err(|error| refused("a pair of sockets", &error))?;
        if let Some((_, receiver)) = &sockets {
            syscall::attach_filter(receiver.as_fd(), program.fd.as_fd()).map_err(|error| refused("a socket filter", &error))?;
        }
        Ok(Self { hook, program, loaded, record, record_bytes, sockets })
    }

    fn run(&self, time_ns: u64, bytes: &[u8]) -> Ran {
        self.record.word(0).store(time_ns, Ordering::Relaxed);
        let returned = match &self.sockets {
            Some((sender, receiver)) => send(sender, receiver, bytes),
            None => repeated(self.program.fd.as_fd(), bytes, 1).map(|(returned, _)| returned),
        };
        match returned {
            Ok(returned) => Ran::Done { returned, record: self.record.bytes(0, self.record_bytes).to_vec() },
            Err(error) => match takes(self.hook, bytes) {
                Some(reason) if self.sockets.is_none() && error.raw_os_error() == Some(libc::EINVAL) => Ran::NotTaken(reason.to_owned()),
                _ => Ran::Failed(error.to_string()),
            },
        }
    }
}

/// Sends bytes through the filter. What arrives shows what it kept.
fn send(sender: &UnixDatagram, receiver: &UnixDatagram, bytes: &[u8]) -> io::Result<u32> {
    sender.send(bytes)?;
    let mut copy = vec![0; bytes.len() + 1];
    let length = receiver.recv(&mut copy)?;
    if copy[..length] == *bytes { Ok(u32::MAX) } else { Ok(u32::try_from(length).unwrap_or(0)) }
}

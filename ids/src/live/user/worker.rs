//! The thread that classifies: frames of all interfaces through one native engine, and requests of the run loop between them.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use treeline_ebpf::Flow;
use treeline_lab::cause::explain;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine as _, Settings};

use super::port::Port;
use super::ring::RETIRE_MS;
use super::tally::Tally;
use super::waker::Waker;
use crate::live::raw;
use crate::live::table::Census;
use crate::live::tap::Numbers;

/// What the run loop wants done between two packets.
pub type Request = Box<dyn FnOnce(&mut Worker) + Send>;

/// No longer is waited, at the end, for what still comes.
const DRAIN_MAX: Duration = Duration::from_millis(200);
/// When nothing has come for this long, nothing waits: a block of the ring is handed over sooner.
const QUIET: Duration = Duration::from_millis(3 * RETIRE_MS as u64);
/// Flows that are read of the table between two packets: 64 KiB.
const FLOWS_MAX: usize = 512;

/// The thread's state.
pub struct Worker {
    native: Native,
    settings: Settings,
    tally: Tally,
    ports: Vec<Port>,
    /// Packets that passed uninspected at interfaces that are closed.
    missed: u64,
    requests: Receiver<Request>,
    /// Rung when requests wait.
    wake: Waker,
    /// To ring when alerts wait.
    alerted: Waker,
}

impl Worker {
    /// One that classifies nothing yet.
    pub fn new(settings: Settings, tally: Tally, ports: Vec<Port>, requests: Receiver<Request>, wake: Waker, alerted: Waker) -> Self {
        Self { native: Native::new(&settings), settings, tally, ports, missed: 0, requests, wake, alerted }
    }

    /// Classifies until nobody can ask any more.
    pub fn run(mut self) {
        loop {
            self.wait();
            loop {
                match self.requests.try_recv() {
                    Ok(request) => request(&mut self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.read();
        }
    }

    fn wait(&self) {
        let mut fds: Vec<_> = self.ports.iter().map(|port| PollFd::new(port.socket(), PollFlags::IN)).collect();
        fds.push(PollFd::from_borrowed_fd(self.wake.fd(), PollFlags::IN));
        // An interrupted wait is one that ended early.
        let _ = poll(&mut fds, None);
        if fds.pop().is_some_and(|wake| wake.revents().contains(PollFlags::IN)) {
            self.wake.clear();
        }
        for (port, fd) in self.ports.iter().zip(&fds) {
            if fd.revents().contains(PollFlags::ERR) {
                raw::take_error(port.socket());
            }
        }
    }

    /// Classifies what waits, some packets of each interface at most; says how many.
    fn read(&mut self) -> u64 {
        let Self { native, tally, ports, .. } = self;
        let mut count = 0;
        for port in ports {
            tally.interface = port.interface;
            let link = port.link;
            count += port.read(|frame| {
                native.watched(link, frame.bytes, frame.now_ns, tally);
                tally.live.bytes += u64::from(frame.length);
            });
        }
        if std::mem::take(&mut self.tally.rang) {
            self.alerted.wake();
        }
        count
    }

    /// The next packet is classified by another model.
    pub fn swap(&mut self, settings: Settings) -> Result<(), String> {
        self.native.swap(&settings).map_err(|error| explain(&error))?;
        self.tally.set(&settings.loaded());
        self.settings = settings;
        Ok(())
    }

    /// The numbers at this moment, with what was found in the flow table.
    pub fn numbers(&mut self, census: Census, evictions: u64) -> Numbers {
        let dropped: u64 = self.ports.iter_mut().map(Port::dropped).sum();
        Numbers {
            counters: self.tally.counters,
            live: self.tally.live,
            census,
            flows_max: self.settings.flows_max,
            evictions,
            uninspected: self.missed + dropped,
            cost: None,
        }
    }

    /// Flows that were put into the table so far.
    pub fn inserted(&self) -> u64 {
        self.tally.live.flows_inserted
    }

    /// Some flows of the table, those behind the first `seen`: so few that no packet waits long.
    pub fn flows(&self, seen: usize) -> Vec<Flow> {
        self.native.flows().iter().skip(seen).take(FLOWS_MAX).copied().collect()
    }

    /// Goes on without some interfaces.
    pub fn close(&mut self, interfaces: &[u32]) {
        for port in &mut self.ports {
            if interfaces.contains(&port.interface) {
                self.missed += port.missed();
            }
        }
        self.ports.retain(|port| !interfaces.contains(&port.interface));
    }

    /// Classifies what has come and leaves all interfaces.
    pub fn leave(&mut self) {
        let start = Instant::now();
        let mut came = start;
        while start.elapsed() < DRAIN_MAX && came.elapsed() < QUIET {
            if self.read() > 0 {
                came = Instant::now();
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let interfaces: Vec<_> = self.ports.iter().map(|port| port.interface).collect();
        self.close(&interfaces);
    }
}

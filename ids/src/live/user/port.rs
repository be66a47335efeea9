//! An interface of the user-space engine: its frames, and how many came.

use std::os::fd::OwnedFd;

use treeline_ebpf::Link;
use treeline_sim::engine::Hook;

use super::frame::Frame;
use super::recv::Recv;
use super::ring::Ring;
use crate::live::engine::Engine;
use crate::live::interface::{Direction, index};
use crate::live::link;
use crate::live::raw;

/// Where frames come from.
#[derive(Debug)]
enum Source {
    Recv(Recv),
    Ring(Ring),
}

/// The interface.
#[derive(Debug)]
pub struct Port {
    /// Its index.
    pub interface: u32,
    /// What its frames begin with.
    pub link: Link,
    source: Source,
    /// Packets that were handed over.
    read: u64,
    /// Packets that came for the socket, those without room included.
    came: u64,
    /// Packets that the socket had no room for.
    dropped: u64,
}

impl Port {
    /// Opens an interface, with the source that `engine` names.
    pub fn open(interface: &str, direction: Direction, engine: Engine) -> Result<Self, String> {
        let link = link::of(interface, Hook::Socket)?;
        let source = match engine {
            Engine::UserRing => Source::Ring(Ring::open(interface, direction)?),
            _ => Source::Recv(Recv::open(interface, direction)?),
        };
        Ok(Self { interface: index(interface)?, link, source, read: 0, came: 0, dropped: 0 })
    }

    /// What can be waited for.
    pub fn socket(&self) -> &OwnedFd {
        match &self.source {
            Source::Recv(recv) => recv.socket(),
            Source::Ring(ring) => ring.socket(),
        }
    }

    /// Hands over frames that wait, some at most; says how many.
    pub fn read(&mut self, each: impl FnMut(&Frame<'_>)) -> u64 {
        let count = match &mut self.source {
            Source::Recv(recv) => recv.read(self.link, each),
            Source::Ring(ring) => ring.read(self.link, each),
        };
        self.read += count;
        count
    }

    /// Packets that passed without having been looked at, because the socket had no room for them.
    pub fn dropped(&mut self) -> u64 {
        // Of a socket that does not answer any more, it is what it said before.
        if let Ok([came, dropped]) = raw::statistics(self.socket()) {
            self.came += came;
            self.dropped += dropped;
        }
        self.dropped
    }

    /// Those that never will be looked at, if it is closed now: what still waits is among them.
    pub fn missed(&mut self) -> u64 {
        let dropped = self.dropped();
        self.came.saturating_sub(self.read).max(dropped)
    }
}

//! The calling thread on CPU 0, and back where it was.

use std::io;
use std::marker::PhantomData;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// As long as it lives the thread stays on CPU 0.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
    // The affinity is the thread's.
    thread: PhantomData<*const ()>,
}

impl Pinned {
    /// Pins the thread.
    pub fn to_first() -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(None, &first)?;
        Ok(Self { before, thread: PhantomData })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

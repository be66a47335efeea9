//! The calling thread on processor 0, and back where it was.

use std::io;
use std::marker::PhantomData;

/// As long as it lives the thread stays on processor 0.
#[derive(Debug)]
pub struct Pinned {
    before: libc::cpu_set_t,
    // The affinity is the thread's.
    thread: PhantomData<*const ()>,
}

impl Pinned {
    /// Pins the thread.
    pub fn to_first() -> io::Result<Self> {
        // SAFETY: a set of bits, of which none may be set.
        let (mut before, mut first): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: bit 0 is within the set.
        unsafe { libc::CPU_SET(0, &mut first) };
        // SAFETY: sets of the size stated.
        let result = unsafe {
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut before)
                | libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const first)
        };
        if result == 0 { Ok(Self { before, thread: PhantomData }) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: a set of the size stated.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.before) };
    }
}

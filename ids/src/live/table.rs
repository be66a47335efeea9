//! The kernel's flow table, read in batches while packets go on writing it.
//!
//! A flow may be read while it is written, so that its sums may be of two moments; a flow that comes or goes meanwhile may be missed. Nothing is
//! changed, and no packet waits. (Linux 5.6; aya has no batch operations.)

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use treeline_ebpf::{Flow, Key};

/// Entries a call. A bucket of the kernel's table must fit; it grows where one does not.
const BATCH: usize = 4096;
/// `BPF_MAP_LOOKUP_BATCH`.
const LOOKUP_BATCH: libc::c_long = 24;

/// The part of `bpf_attr` that the command takes.
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

const _: () = assert!(size_of::<Attributes>() == 56);

/// Calls `each` for every flow in the table of flows `map`, a hash from [`Key`] to [`Flow`].
pub fn visit(map: BorrowedFd<'_>, mut each: impl FnMut(&Flow)) -> io::Result<()> {
    let mut keys = vec![Key::default(); BATCH];
    let mut flows = vec![Flow::EMPTY; BATCH];
    let mut position: Option<u64> = None;
    loop {
        let mut next = 0_u64;
        let mut attributes = Attributes {
            in_batch: position.as_ref().map_or(0, |position| std::ptr::from_ref(position) as u64),
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: flows.as_mut_ptr() as u64,
            count: u32::try_from(flows.len()).unwrap_or(u32::MAX),
            map_fd: map.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffers hold `count` keys and values of the map's sizes and live through the call; any bytes are a valid `Key` and
        // `Flow` (`repr(C)`, integers, no padding); the position is at most eight bytes.
        let result = unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attributes, size_of::<Attributes>()) };
        let error = (result != 0).then(io::Error::last_os_error);
        match error.as_ref().and_then(io::Error::raw_os_error) {
            Some(libc::ENOSPC) => {
                keys.resize(keys.len() * 2, Key::default());
                flows.resize(flows.len() * 2, Flow::EMPTY);
                continue;
            }
            Some(libc::EINTR) => continue,
            None | Some(libc::ENOENT) => {}
            Some(_) => return Err(error.unwrap_or_else(io::Error::last_os_error)),
        }
        // An entry that has no packet yet belongs to nobody.
        flows.iter().take(attributes.count as usize).filter(|flow| flow.packets > 0).for_each(&mut each);
        if error.is_some() {
            return Ok(());
        }
        position = Some(next);
    }
}

/// What is in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Flows that had a packet within the idle timeout.
    pub active: u64,
    /// Flows that did not, and stay until their next packet or until their place is needed.
    pub idle: u64,
}

impl Census {
    /// Takes a flow into account at `now_ns`.
    pub fn see(&mut self, flow: &Flow, now_ns: u64, idle_timeout_ns: u64) {
        if now_ns.saturating_sub(flow.last_ns) > idle_timeout_ns { self.idle += 1 } else { self.active += 1 }
    }

    /// Entries in the table.
    pub fn entries(&self) -> u64 {
        self.active + self.idle
    }
}

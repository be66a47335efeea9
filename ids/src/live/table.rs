//! The kernel's flow table, read while packets go on writing it.
//!
//! A flow may be read while it is written, so that its sums may be of two moments; a flow that comes or goes meanwhile may be missed. Nothing is
//! changed, and no packet waits.

use std::io;
use std::os::fd::BorrowedFd;

use treeline_ebpf::{Flow, Key};
use treeline_lab::kernel::map::Entries;

/// Calls `each` for every flow in the table of flows `map`, a hash from [`Key`] to [`Flow`]. Wants Linux 5.6.
pub fn visit(map: BorrowedFd<'_>, mut each: impl FnMut(&Flow)) -> io::Result<()> {
    let mut entries = Entries::new(map.try_clone_to_owned()?, size_of::<Key>(), size_of::<Flow>(), None);
    let visited = entries.visit(|_, bytes| {
        let flow: Flow = bytemuck::pod_read_unaligned(bytes);
        // An entry that has no packet yet belongs to nobody.
        if flow.packets > 0 {
            each(&flow);
        }
    })?;
    if visited {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel cannot read many entries at once (Linux 5.6)"))
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

//! What a kernel without a distribution lacks: file systems, limits, the compiler of programs.

use std::fs;

use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Makes the machine one in which programs load.
pub fn prepare() -> Result<(), String> {
    let mut points = vec![("dev", "devtmpfs"), ("proc", "proc"), ("sys", "sysfs"), ("sys/fs/bpf", "bpf")];
    for (folder, kind) in points.drain(..) {
        mount(kind, format!("/{folder}"), kind, MountFlags::empty(), None).map_err(|error| format!("cannot mount {kind}: {error}"))?;
    }
    unlimited()?;
    // As every distribution has it; a kernel that always compiles has no switch.
    let _ = fs::write("/proc/sys/net/core/bpf_jit_enable", "1");
    // The verifier may work for seconds without a pause, under emulation for many.
    let _ = fs::write("/proc/sys/kernel/watchdog", "0");
    Ok(())
}

/// Maps and programs count as locked memory before 5.11.
fn unlimited() -> Result<(), String> {
    let unlimited = Rlimit { current: None, maximum: None };
    setrlimit(Resource::Memlock, unlimited).map_err(|error| format!("cannot lift the limit of locked memory: {error}"))
}

/// The running kernel's release.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

//! The way to the host: memory of a PCI device, and a serial line that says when something is there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use treeline_lab::guest::message::{BELL, HEAD_BYTES, Reply, SHARED_BYTES};

/// The device that QEMU calls ivshmem: Red Hat's number, and its own.
const DEVICE: (&str, &str) = ("0x1af4", "0x1110");
/// The second serial line; the first is the console.
const BELLS: &str = "/dev/ttyS1";

/// The way to the host.
pub struct Port {
    bell: File,
    memory: NonNull<u8>,
}

impl Port {
    /// Finds the device and the line.
    pub fn open() -> Result<Self, String> {
        let bell = OpenOptions::new().read(true).write(true).open(BELLS).map_err(|error| format!("{BELLS}: {error}"))?;
        let mut mode = tcgetattr(&bell).map_err(|error| format!("{BELLS}: {error}"))?;
        mode.make_raw();
        tcsetattr(&bell, OptionalActions::Now, &mode).map_err(|error| format!("{BELLS}: {error}"))?;
        Ok(Self { bell, memory: memory(&device()?)? })
    }

    /// Waits for the host's next message.
    pub fn read(&mut self) -> Result<Vec<u8>, String> {
        let mut byte = [0];
        while byte != [BELL] {
            self.bell.read_exact(&mut byte).map_err(|error| format!("{BELLS}: {error}"))?;
        }
        fence(Ordering::Acquire);
        let mut head = [0; HEAD_BYTES];
        self.copy_out(0, &mut head);
        let length = usize::try_from(u64::from_le_bytes(head)).unwrap_or(usize::MAX);
        if length > SHARED_BYTES - HEAD_BYTES {
            return Err(format!("a message of {length} bytes"));
        }
        let mut bytes = vec![0; length];
        self.copy_out(HEAD_BYTES, &mut bytes);
        Ok(bytes)
    }

    /// Gives the host a message.
    pub fn write(&mut self, reply: &Reply) -> Result<(), String> {
        let mut bytes = reply.to_bytes();
        if bytes.len() > SHARED_BYTES - HEAD_BYTES {
            bytes = Reply::Refused(format!("an answer of {} bytes is too large", bytes.len())).to_bytes();
        }
        self.copy_in(HEAD_BYTES, &bytes);
        self.copy_in(0, &(bytes.len() as u64).to_le_bytes());
        fence(Ordering::Release);
        self.bell.write_all(&[BELL]).map_err(|error| format!("{BELLS}: {error}"))
    }

    fn copy_out(&self, place: usize, bytes: &mut [u8]) {
        assert!(place + bytes.len() <= SHARED_BYTES, "{} bytes at {place}", bytes.len());
        // SAFETY: inside of the mapping, which lives as long as the process; the host writes only between its bell and ours.
        unsafe { std::ptr::copy_nonoverlapping(self.memory.as_ptr().add(place), bytes.as_mut_ptr(), bytes.len()) }
    }

    fn copy_in(&mut self, place: usize, bytes: &[u8]) {
        assert!(place + bytes.len() <= SHARED_BYTES, "{} bytes at {place}", bytes.len());
        // SAFETY: as in `copy_out`; the host reads only after our bell.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.as_ptr().add(place), bytes.len()) }
    }
}

/// The device's folder.
fn device() -> Result<PathBuf, String> {
    const ALL: &str = "/sys/bus/pci/devices";
    let entries = fs::read_dir(ALL).map_err(|error| format!("{ALL}: {error}"))?;
    let number = |path: &PathBuf, name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
    let mut devices = entries.filter_map(Result::ok).map(|entry| entry.path());
    let found = devices.find(|path| (number(path, "vendor").trim(), number(path, "device").trim()) == DEVICE);
    found.ok_or_else(|| format!("{ALL}: no device {DEVICE:?}; this program runs in a machine that treeline starts"))
}

/// Maps the device's memory.
fn memory(device: &std::path::Path) -> Result<NonNull<u8>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", device.display());
    fs::write(device.join("enable"), "1").map_err(failed)?;
    let file = OpenOptions::new().read(true).write(true).open(device.join("resource2")).map_err(failed)?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh shared mapping of the device's memory, never unmapped.
    let address = unsafe { mmap(std::ptr::null_mut(), SHARED_BYTES, access, MapFlags::SHARED, &file, 0) };
    NonNull::new(address.map_err(|error| failed(error.into()))?.cast()).ok_or_else(|| failed(std::io::Error::other("mapped at 0")))
}

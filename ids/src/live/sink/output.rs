//! An open target, and whether it stands within a line.
//!
//! A write may take a part of a line: the disk is full then, or the file as large as it may be. What follows must not be glued to that.

use std::fs::{File, OpenOptions};
use std::io::{self, Stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Target;

/// A reader that stopped is given up after this long.
const SEND_MAX: Duration = Duration::from_secs(5);
/// The same, where the target does not wait by itself.
const SEND_POLL_MAX: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// The target.
pub struct Output {
    medium: Medium,
    /// Bytes after the last end of a line are there already.
    torn: bool,
}

enum Medium {
    Stdout(Stdout),
    File(File),
    Stream(UnixStream),
    Datagram(UnixDatagram),
}

impl Output {
    /// Opens it. A file may have been left within a line, by a process that was killed at a full disk.
    pub fn open(target: &Target) -> io::Result<Self> {
        let medium = match target {
            Target::Stdout => Medium::Stdout(io::stdout()),
            Target::File(path) => Medium::File(OpenOptions::new().create(true).append(true).open(path)?),
            Target::Socket(path) => connect(path)?,
        };
        let torn = match &medium {
            Medium::Stdout(stdout) => ends_within_line(stdout.as_fd()),
            Medium::File(file) => ends_within_line(file.as_fd()),
            Medium::Stream(_) | Medium::Datagram(_) => false,
        };
        Ok(Self { medium, torn })
    }

    /// Writes `line` and its end: in one call, so that a datagram is a line, and lines of a file do not mix with another writer's.
    pub fn write(&mut self, mut line: String) -> io::Result<()> {
        if self.torn {
            line.insert(0, '\n');
        }
        line.push('\n');
        let (taken, result) = self.put(line.as_bytes());
        self.torn = taken.checked_sub(1).map_or(self.torn, |last| line.as_bytes()[last] != b'\n');
        // A line that lacks nothing but its end gets that with the next one.
        if taken + 1 == line.len() { Ok(()) } else { result }
    }

    /// Ends a line that was cut short; false if that is not possible.
    pub fn finish(&mut self) -> bool {
        self.torn = self.torn && self.put(b"\n").0 == 0;
        !self.torn
    }

    /// How many of the bytes were taken, and why not all.
    fn put(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let fd = match &self.medium {
            Medium::Stdout(stdout) => stdout.as_fd(),
            Medium::File(file) => file.as_fd(),
            Medium::Stream(stream) => stream.as_fd(),
            Medium::Datagram(socket) => return (0, socket.send(bytes).map(|_| ())),
        };
        let mut taken = 0;
        while taken < bytes.len() {
            match rustix::io::write(fd, &bytes[taken..]) {
                Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => taken += count,
                Err(Errno::INTR) => {}
                // A socket has waited; whoever else does not was made so by another process.
                Err(Errno::AGAIN) if !matches!(self.medium, Medium::Stream(_)) && is_writable(fd) => {}
                Err(error) => return (taken, Err(error.into())),
            }
        }
        (taken, Ok(()))
    }
}

/// Waits until something can be written.
fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&SEND_POLL_MAX)), Ok(1) | Err(Errno::INTR))
}

/// Whether a regular file's last byte is no end of a line. It may have been opened for writing alone, hence by its name here.
fn ends_within_line(fd: BorrowedFd<'_>) -> bool {
    let length = rustix::fs::fstat(fd).ok().filter(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file());
    let Some(end) = length.and_then(|found| u64::try_from(found.st_size).ok()?.checked_sub(1)) else { return false };
    let mut last = [b'\n'];
    let read = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).and_then(|file| file.read_exact_at(&mut last, end));
    read.is_ok() && last != [b'\n']
}

fn connect(path: &Path) -> io::Result<Medium> {
    /// The socket is one of the other type.
    const EPROTOTYPE: i32 = libc::EPROTOTYPE;
    match UnixStream::connect(path) {
        Ok(stream) => {
            stream.set_write_timeout(Some(SEND_MAX))?;
            Ok(Medium::Stream(stream))
        }
        Err(error) if error.raw_os_error() == Some(EPROTOTYPE) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(SEND_MAX))?;
            Ok(Medium::Datagram(socket))
        }
        Err(error) => Err(error),
    }
}

//! A kernel in QEMU that does jobs: boot, request -> reply, end.
//!
//! Requests and replies lie in memory that the guest sees as a PCI device's (ivshmem), so a large one costs no more than a copy; the serial
//! line carries a byte to say that one is there. The console goes to QEMU's standard error and is kept for errors. QEMU's exit status means
//! nothing: a guest has done a job when its reply is there.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self as std_io, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};

use super::emulator::Emulator;
use super::error::io;
use super::message::{BELL, HEAD_BYTES, PROTOCOL, Reply, Request, SHARED_BYTES};
use super::{GuestError, Image, Line, initramfs};

/// A guest that is not up after this is hung: ten times what a boot takes on a slow machine.
const BOOT_TIME_MAX: Duration = Duration::from_secs(90);
/// And one that has not answered after this.
const JOB_TIME_MAX: Duration = Duration::from_mins(2);
/// The guest's memory; only what it uses is taken from the host.
const MEMORY: &str = "1024M";
/// Lines of the console that an error shows, and bytes that are kept for them.
const CONSOLE_LINES: usize = 12;
const CONSOLE_BYTES: usize = 64 << 10;

/// A running guest. It ends when dropped.
#[derive(Debug)]
pub struct Machine {
    image: Image,
    release: String,
    qemu: Child,
    bell: (ChildStdin, ChildStdout),
    shared: File,
    console: Arc<Mutex<VecDeque<u8>>>,
}

impl Machine {
    /// Boots a kernel with `binary` as its init, and waits for it to be up.
    pub fn boot(emulator: &Emulator, image: &Image, binary: &[u8]) -> Result<Self, GuestError> {
        let shared = memory("treeline shared", SHARED_BYTES as u64)?;
        let archive = initramfs::of(binary);
        let initrd = memory("treeline initramfs", archive.len() as u64)?;
        initrd.write_all_at(&archive, 0).map_err(io("the guest's initramfs"))?;
        let console = Arc::new(Mutex::new(VecDeque::new()));
        let mut qemu = start(command(emulator, image, &shared, &initrd), &console)?;
        let (Some(stdin), Some(stdout)) = (qemu.stdin.take(), qemu.stdout.take()) else {
            return Err(GuestError::Emulator { reason: "it has no standard input".to_owned() });
        };
        let mut machine = Self { image: image.clone(), release: String::new(), qemu, bell: (stdin, stdout), shared, console };
        match machine.receive(BOOT_TIME_MAX)? {
            Reply::Up { protocol: PROTOCOL, release } => machine.release = release,
            _ => return Err(machine.broken("was built from other sources than this program")),
        }
        Ok(machine)
    }

    /// The kernel's line.
    #[must_use]
    pub fn line(&self) -> Line {
        self.image.line
    }

    /// Debian's package and its version.
    #[must_use]
    pub fn package(&self) -> &str {
        &self.image.package
    }

    /// The running kernel's release, as `uname -r` shows it.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Has a job done. [`GuestError::Refused`] is the guest's own answer and leaves it usable; after any other error it is of no more use.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, GuestError> {
        let bytes = request.to_bytes();
        if bytes.len() > SHARED_BYTES - HEAD_BYTES {
            return Err(self.refused(format!("a job of {} bytes is too large for the guest", bytes.len())));
        }
        let written = self
            .shared
            .write_all_at(&bytes, HEAD_BYTES as u64)
            .and_then(|()| self.shared.write_all_at(&(bytes.len() as u64).to_le_bytes(), 0))
            .and_then(|()| self.bell.0.write_all(&[BELL]))
            .and_then(|()| self.bell.0.flush());
        written.map_err(|error| self.broken(&format!("takes no more jobs ({error})")))?;
        match self.receive(JOB_TIME_MAX)? {
            Reply::Refused(reason) => Err(self.refused(reason)),
            reply => Ok(reply),
        }
    }

    /// Waits for the bell and reads the message.
    fn receive(&mut self, time_max: Duration) -> Result<Reply, GuestError> {
        self.wait(time_max).map_err(|reason| self.broken(&reason))?;
        let mut head = [0; HEAD_BYTES];
        self.shared.read_exact_at(&mut head, 0).map_err(io("the guest's memory"))?;
        let length = usize::try_from(u64::from_le_bytes(head)).unwrap_or(usize::MAX);
        if length > SHARED_BYTES - HEAD_BYTES {
            return Err(self.broken("answered with more than its memory holds"));
        }
        let mut bytes = vec![0; length];
        self.shared.read_exact_at(&mut bytes, HEAD_BYTES as u64).map_err(io("the guest's memory"))?;
        Reply::from_bytes(&bytes).map_err(|error| self.broken(&format!("answered nonsense: {error}")))
    }

    /// Waits for one byte of the serial line.
    fn wait(&mut self, time_max: Duration) -> Result<(), String> {
        let end = Instant::now() + time_max;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("did not answer within {} s", time_max.as_secs()));
            }
            let limit = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.bell.1, PollFlags::IN)], Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(format!("cannot be heard ({error})")),
            }
            let mut byte = [0];
            match self.bell.1.read(&mut byte) {
                Ok(0) => return Err("ended".to_owned()),
                Ok(_) if byte[0] == BELL => return Ok(()),
                // A terminal that is being set up may send anything.
                Ok(_) => {}
                Err(error) => return Err(format!("cannot be heard ({error})")),
            }
        }
    }

    fn refused(&self, reason: String) -> GuestError {
        GuestError::Refused { kernel: self.image.line.to_string(), reason }
    }

    /// The guest is of no more use: why, and what its console showed last.
    fn broken(&mut self, reason: &str) -> GuestError {
        // What is still on its way to the console comes before the end.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        thread::sleep(Duration::from_millis(50));
        let bytes: Vec<u8> = self.console.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
        let console = last.iter().fold(String::new(), |text, line| text + "\n    " + &line.escape_debug().to_string());
        GuestError::Broken { kernel: self.image.line.to_string(), reason: reason.to_owned(), console }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Memory with a file's interface and no name.
fn memory(name: &str, bytes: u64) -> Result<File, GuestError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC).map_err(|error| io(name)(error.into()))?;
    let file = File::from(file);
    file.set_len(bytes).map_err(io(name))?;
    Ok(file)
}

fn command(emulator: &Emulator, image: &Image, shared: &File, initrd: &File) -> Command {
    // This process's own descriptors, by the name that a child can open.
    let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = emulator.command();
    // Hardware virtualisation may be there and fail; interpretation is the same everywhere.
    command.args(["-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", MEMORY, "-nodefaults", "-no-user-config"]);
    command.args(["-nic", "none", "-display", "none", "-no-reboot"]);
    command.arg("-kernel").arg(&image.path).arg("-initrd").arg(path(initrd));
    // The kernel's test whether its timer ticks fails where the host is too busy to interpret it in time, and the kernel then panics.
    command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on no_timer_check"]);
    command.args(["-chardev", "file,id=console,path=/proc/self/fd/2", "-serial", "chardev:console"]);
    command.args(["-chardev", "stdio,id=bell,signal=off", "-serial", "chardev:bell"]);
    command.arg("-object").arg(format!("memory-backend-file,id=shared,share=on,size={SHARED_BYTES},mem-path={}", path(shared)));
    command.args(["-device", "ivshmem-plain,memdev=shared"]);
    command
}

/// Starts QEMU on a thread that reads its console until it ends.
///
/// QEMU is to die with this process, however that ends; Linux ties that to the thread that started it, so that one must live as long.
fn start(mut command: Command, console: &Arc<Mutex<VecDeque<u8>>>) -> Result<Child, GuestError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: one system call between fork and exec, which touches no memory.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 { Ok(()) } else { Err(std_io::Error::last_os_error()) }
        });
    }
    let (sender, receiver) = mpsc::channel();
    let console = console.clone();
    thread::spawn(move || {
        let mut child = command.spawn();
        let output = child.as_mut().ok().and_then(|child| child.stderr.take());
        if sender.send(child).is_ok()
            && let Some(output) = output
        {
            keep(output, &console);
        }
    });
    let child = receiver.recv().map_err(|_| GuestError::Emulator { reason: "the thread that starts it ended".to_owned() })?;
    child.map_err(|error| GuestError::Emulator { reason: format!("it does not start: {error}") })
}

/// Keeps the last of a console's output.
fn keep(mut output: impl Read, console: &Mutex<VecDeque<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        let mut kept = console.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes[..count]);
        let surplus = kept.len().saturating_sub(CONSOLE_BYTES);
        kept.drain(..surplus);
    }
}

//! Alert lines -> stdout, a file, or a unix socket.
//!
//! Writing happens in a thread of its own behind a queue of fixed length: a reader that stops, or a full disk, costs alerts (counted), never
//! the run loop's time. A file is appended to and opened again on request, for log rotation; a socket is connected again, at most once a
//! second, after it broke.
//!
//! A line that was cut short is lost, and the next one begins on a line of its own.

mod output;

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{str, thread};

use self::output::Output;
use crate::output::say;

/// Lines that wait for the writer, at most.
const QUEUE_MAX: usize = 16_384;
/// A socket is tried again this long after it broke.
const RETRY: Duration = Duration::from_secs(1);

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
    /// A unix socket, stream or datagram, whichever listens.
    Socket(PathBuf),
}

impl str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") | None if text.is_empty() || text == "unix:" => Err("expected FILE, - or unix:PATH".to_owned()),
            Some(path) => Ok(Self::Socket(path.into())),
            None if text == "-" => Ok(Self::Stdout),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Display for Target {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("standard output"),
            Self::File(path) => path.display().fmt(formatter),
            Self::Socket(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
pub struct Tally {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    /// Lines handed to the target.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines that the target did not take, or that found the queue full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

enum Order {
    Line(String),
    Reopen,
}

/// The queue's entry, and its writer.
#[derive(Debug)]
pub struct Sink {
    queue: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<bool>>,
    tally: Arc<Tally>,
}

impl Sink {
    /// Opens the target. A file must open; a socket nobody listens on yet is tried again later.
    pub fn open(target: &Target) -> Result<Self, String> {
        let output = match Output::open(target) {
            Ok(output) => Some(output),
            Err(error) if matches!(target, Target::Socket(_)) => {
                say(&format!("alerts: {target}: {error}; trying again"));
                None
            }
            Err(error) => return Err(format!("alerts: {target}: {error}")),
        };
        let (queue, orders) = sync_channel(QUEUE_MAX);
        let tally = Arc::new(Tally::default());
        let writer = Writer { target: target.clone(), output, tried: Instant::now(), complained: false, tally: Arc::clone(&tally) };
        let writer = thread::Builder::new().name("alerts".to_owned()).spawn(move || writer.run(&orders));
        let writer = writer.map_err(|error| format!("alerts: no thread: {error}"))?;
        Ok(Self { queue: Some(queue), writer: Some(writer), tally })
    }

    /// Hands over one line, without its end.
    pub fn send(&self, line: String) {
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(Order::Line(line)).is_err()) {
            self.tally.lost.fetch_add(1, Relaxed);
        }
    }

    /// Opens the file again after the lines before this. False if the queue is full; then it must be asked again.
    pub fn reopen(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(Order::Reopen).is_ok())
    }

    /// What became of the lines so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Gives the writer `wait` to empty the queue. False if its last line is not whole, or if a stopped reader holds it; it is left behind then.
    pub fn close(&mut self, wait: Duration) -> bool {
        self.queue = None;
        let Some(writer) = self.writer.take() else { return true };
        let deadline = Instant::now() + wait;
        while !writer.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        writer.is_finished() && writer.join().unwrap_or(false)
    }
}

/// The thread's state.
struct Writer {
    target: Target,
    output: Option<Output>,
    tried: Instant,
    complained: bool,
    tally: Arc<Tally>,
}

impl Writer {
    /// Returns whether what it wrote ends with a whole line.
    fn run(mut self, orders: &Receiver<Order>) -> bool {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Line(line) => self.write(line),
                Order::Reopen => self.rotate(),
            }
        }
        self.output.is_none_or(|mut output| output.finish())
    }

    fn write(&mut self, line: String) {
        if self.output.is_none() && self.tried.elapsed() >= RETRY {
            self.connect();
        }
        let result = match &mut self.output {
            Some(output) => output.write(line),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match result {
            Ok(()) => {
                self.complained = false;
                self.tally.written.fetch_add(1, Relaxed);
            }
            Err(error) => {
                self.tally.lost.fetch_add(1, Relaxed);
                self.fail(&error);
            }
        }
    }

    /// Said once until it works again. Only a socket is worth another connection: a file's error may pass.
    fn fail(&mut self, error: &io::Error) {
        if !self.complained {
            say(&format!("alerts: {}: {error}; alerts are being lost", self.target));
            self.complained = true;
        }
        if matches!(self.target, Target::Socket(_)) && self.output.take().is_some() {
            self.tried = Instant::now();
        }
    }

    fn connect(&mut self) {
        self.tried = Instant::now();
        match Output::open(&self.target) {
            Ok(output) => self.output = Some(output),
            Err(error) => self.fail(&error),
        }
    }

    /// A file that cannot be opened leaves the old one in use. Standard output and sockets cannot be moved away.
    fn rotate(&mut self) {
        if !matches!(self.target, Target::File(_)) {
            return;
        }
        // The old one's last line first, as the old one may be the new one.
        let _ = self.output.as_mut().map(Output::finish);
        match Output::open(&self.target) {
            Ok(output) => self.output = Some(output),
            Err(error) => say(&format!("alerts: {}: {error}; the file that was open stays in use", self.target)),
        }
    }
}

#[cfg(test)]
mod tests;

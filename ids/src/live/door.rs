//! A listening socket: each connection is answered on a thread of its own, within a time and up to a number, so that no client makes another one
//! wait. Not here: what is said ([`super::control`], [`super::exporter`]).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Rest after a connection that could not be accepted, such as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);
/// More than reading a request takes.
const STACK_BYTES: usize = 512 << 10;

/// Something that listens.
pub trait Listener: Send + 'static {
    /// Its connections.
    type Stream: Stream;

    /// The next one.
    fn next(&self) -> io::Result<Self::Stream>;
}

/// A connection.
pub trait Stream: Read + Write + Send + 'static {
    /// No call takes longer from now on.
    fn limit(&self, time: Duration) -> io::Result<()>;
}

macro_rules! door {
    ($listener:ty, $stream:ty) => {
        impl Listener for $listener {
            type Stream = $stream;

            fn next(&self) -> io::Result<$stream> {
                Ok(self.accept()?.0)
            }
        }

        impl Stream for $stream {
            fn limit(&self, time: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(time))?;
                self.set_write_timeout(Some(time))
            }
        }
    };
}

door!(TcpListener, TcpStream);
door!(UnixListener, UnixStream);

/// How many clients have how much time.
#[derive(Debug, Clone)]
pub struct Manner {
    /// A whole request has come after this time, and a whole answer been taken after as much again, or the client is let go.
    pub patience: Duration,
    /// Connections at a time.
    pub count_max: usize,
    /// Others get this at once.
    pub refusal: String,
}

impl Manner {
    /// The usual patience.
    pub fn new(count_max: usize, refusal: String) -> Self {
        Self { patience: Duration::from_secs(5), count_max, refusal }
    }
}

/// A connection with the time that is left for a request, or for the answer.
#[derive(Debug)]
pub struct Visit<S> {
    stream: S,
    patience: Duration,
    deadline: Instant,
}

impl<S: Stream> Visit<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: Instant::now() + patience }
    }

    /// Says the answer, for which the time begins again.
    pub fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.deadline = Instant::now() + self.patience;
        self.write_all(bytes)
    }

    /// The connection.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn limit(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { self.stream.limit(left) }
    }
}

impl<S: Stream> Read for Visit<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        self.stream.read(bytes)
    }
}

impl<S: Stream> Write for Visit<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.limit()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Answers connections in threads whose names begin with `name`.
pub fn open<L: Listener>(
    name: &'static str,
    listener: L,
    manner: Manner,
    answer: impl Fn(Visit<L::Stream>) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    let answer = Arc::new(answer);
    let serve = move || {
        loop {
            let Ok(stream) = listener.next() else {
                thread::sleep(REST);
                continue;
            };
            let mut visit = Visit::new(stream, manner.patience);
            // This thread has one, and each connection's another one.
            if Arc::strong_count(&answer) > manner.count_max {
                // It fits into the empty buffer, or the client has gone.
                let _ = visit.answer(manner.refusal.as_bytes());
                continue;
            }
            let answer = Arc::clone(&answer);
            // A client that goes away is its own loss. Without a thread for it, it is let go.
            let _ = thread::Builder::new().name(format!("{name} client")).stack_size(STACK_BYTES).spawn(move || answer(visit));
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(serve).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::SocketAddr;

    use super::*;

    const FOR_EVER: Duration = Duration::from_hours(24);

    /// Answers a line with itself.
    fn echo(count_max: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let answer = |mut visit: Visit<TcpStream>| {
            let mut line = String::new();
            BufReader::new(&mut visit).read_line(&mut line)?;
            // More than the kernel's buffers hold.
            visit.answer(line.repeat(if line == "much\n" { 8 << 20 } else { 1 }).as_bytes())
        };
        let manner = Manner { patience, ..Manner::new(count_max, "full\n".to_owned()) };
        open("echo", listener, manner, answer).expect("a thread");
        address
    }

    /// A refusal may come before the question, which then finds nobody.
    fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).expect("connects");
        let _ = stream.write_all(b"hello\n");
        io::read_to_string(stream).unwrap_or_default()
    }

    /// Some say nothing, one begins, one does not read what it asked for: none of them is ever let go here.
    #[test]
    fn nobody_waits_for_another_client() {
        let address = echo(8, FOR_EVER);
        let mut others = [0; 5].map(|_| TcpStream::connect(address).expect("connects"));
        others[0].write_all(b"h").expect("writes");
        others[1].write_all(b"much\n").expect("writes");
        let answers: Vec<_> = (0..3).map(|_| thread::spawn(move || ask(address))).collect();
        for answer in answers {
            assert_eq!(answer.join().expect("no panic"), "hello\n");
        }
        drop(others);
    }

    /// One at a time, so that the next one's answer shows that the former is gone.
    #[test]
    fn a_client_that_takes_its_time_is_let_go_however_it_does_so() {
        let address = echo(1, Duration::from_millis(500));
        let next = || {
            while ask(address) != "hello\n" {
                thread::sleep(Duration::from_millis(10));
            }
        };
        let connect = || TcpStream::connect(address).expect("connects");
        let silent = connect();
        next();
        let mut slow = connect();
        let slow = thread::spawn(move || {
            while slow.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        });
        next();
        slow.join().expect("let go");
        let mut deaf = connect();
        deaf.write_all(b"much\n").expect("writes");
        next();
        drop((silent, deaf));
    }

    #[test]
    fn connections_beyond_the_bound_are_refused_at_once_and_their_places_come_back() {
        let address = echo(3, FOR_EVER);
        let silent = [0; 3].map(|_| TcpStream::connect(address).expect("connects"));
        let refused = TcpStream::connect(address).expect("connects");
        assert_eq!(io::read_to_string(refused).expect("refused"), "full\n");
        drop(silent);
        while ask(address) != "hello\n" {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

//! Requests from other threads to the run loop, and its answers.
//!
//! The loop owns maps and programs and does not wait for anybody: sockets are served by threads that send a request here and wait for its
//! answer themselves. What an answer needs of the flow table, they have asked for before ([`super::survey`]), and bring it along.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use serde_json::Value;

use super::survey::{Survey, Surveyor};

/// The loop's answer comes within this time, or the request is given up.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// What the loop is asked.
#[derive(Debug)]
pub enum Request {
    /// The metrics as text.
    Metrics(Arc<Survey>),
    /// The status, an answer of the control socket.
    Status(Arc<Survey>),
    /// The view for people: a table of so many columns, or a line.
    View(Arc<Survey>, Option<usize>),
    /// Another request of the control socket.
    Control(Value),
}

/// A request that waits, with the way back.
#[derive(Debug)]
pub struct Pending {
    /// What.
    pub request: Request,
    /// Takes the answer.
    pub reply: Reply,
}

/// The way back of one answer.
#[derive(Debug)]
pub struct Reply(SyncSender<Answer>);

impl Reply {
    /// Gives the answer. Whoever asked may be gone.
    pub fn send(self, text: String) -> Receipt {
        let (receipt, dropped) = channel();
        let _ = self.0.send(Answer { text, _receipt: Some(receipt) });
        Receipt(dropped)
    }
}

/// An answer, which its asker keeps until it is passed on.
#[derive(Debug)]
pub struct Answer {
    /// What was said.
    pub text: String,
    _receipt: Option<Sender<Infallible>>,
}

/// An answer that needed no loop.
impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, _receipt: None }
    }
}

/// Knows when an answer was passed on.
#[derive(Debug)]
pub struct Receipt(Receiver<Infallible>);

impl Receipt {
    /// Waits until the answer was passed on, or its asker is gone.
    pub fn wait(self) {
        let _ = self.0.recv_timeout(ANSWER_MAX);
    }
}

/// The loop's end.
#[derive(Debug)]
pub struct Inbox {
    requests: Receiver<Pending>,
    waker: UnixStream,
}

/// The askers' end.
#[derive(Debug, Clone)]
pub struct Client {
    requests: Sender<Pending>,
    waker: Arc<UnixStream>,
    /// Knows the flow table.
    pub surveyor: Surveyor,
}

/// Both ends.
pub fn open(surveyor: Surveyor) -> Result<(Inbox, Client), String> {
    let (requests, asked) = channel();
    let pair = UnixStream::pair().and_then(|(one, other)| {
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((one, other))
    });
    let (waker, wake) = pair.map_err(|error| format!("no socket pair: {error}"))?;
    Ok((Inbox { requests: asked, waker }, Client { requests, waker: Arc::new(wake), surveyor }))
}

impl Inbox {
    /// Readable when a request waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// The next request.
    pub fn next(&mut self) -> Option<Pending> {
        while matches!(self.waker.read(&mut [0; 64]), Ok(1..)) {}
        self.requests.try_recv().ok()
    }
}

impl Client {
    /// Asks and waits; `None` if the loop has ended or takes too long.
    pub fn ask(&self, request: Request) -> Option<Answer> {
        let (reply, answer) = sync_channel(1);
        self.requests.send(Pending { request, reply: Reply(reply) }).ok()?;
        // Full means that it is woken already.
        let _ = (&*self.waker).write(&[1]);
        answer.recv_timeout(ANSWER_MAX).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::live::survey::tests::Empty;

    fn surveyor() -> Surveyor {
        Surveyor::start(Arc::new(Empty), 1).expect("a thread")
    }

    #[test]
    fn a_question_rings_and_gets_its_answer() {
        let (mut inbox, client) = open(surveyor()).expect("an inbox");
        assert!(inbox.next().is_none());
        let asker = thread::spawn(move || client.ask(Request::Control(Value::Null)));
        let mut polled = [rustix::event::PollFd::new(&inbox.waker, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, None).expect("rings");
        let request = loop {
            if let Some(request) = inbox.next() {
                break request;
            }
        };
        let _ = request.reply.send("answer".to_owned());
        assert_eq!(asker.join().expect("no panic").map(|answer| answer.text), Some("answer".to_owned()));
    }

    #[test]
    fn a_receipt_waits_until_the_answer_was_passed_on() {
        let (mut inbox, client) = open(surveyor()).expect("an inbox");
        let (passed, seen) = channel();
        let asker = thread::spawn(move || {
            let answer = client.ask(Request::Control(Value::Null));
            thread::sleep(Duration::from_millis(200));
            passed.send(()).expect("waits");
            drop(answer);
        });
        let request = loop {
            if let Some(request) = inbox.next() {
                break request;
            }
        };
        request.reply.send("answer".to_owned()).wait();
        seen.try_recv().expect("passed on before");
        asker.join().expect("no panic");
    }

    #[test]
    fn nobody_waits_for_a_loop_that_ended() {
        let (inbox, client) = open(surveyor()).expect("an inbox");
        drop(inbox);
        assert!(client.ask(Request::Control(Value::Null)).is_none());
    }
}

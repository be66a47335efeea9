//! Questions from other threads to the run loop, and its answers.
//!
//! The loop owns maps and programs and does not wait for anybody: sockets are served by threads that put a question here and wait for its
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

/// The loop's answer comes within this time, or the question is given up.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// What the loop is asked.
#[derive(Debug)]
pub enum Ask {
    /// The metrics as text.
    Metrics(Arc<Survey>),
    /// The status, an answer of the control socket.
    Status(Arc<Survey>),
    /// The view for people: a table of so many columns, or a line.
    View(Arc<Survey>, Option<usize>),
    /// Another request of the control socket.
    Control(Value),
}

/// A question with the way back.
#[derive(Debug)]
pub struct Question {
    /// What.
    pub ask: Ask,
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
pub struct Desk {
    questions: Receiver<Question>,
    bell: UnixStream,
}

/// The askers' end.
#[derive(Debug, Clone)]
pub struct Counter {
    questions: Sender<Question>,
    bell: Arc<UnixStream>,
    /// Knows the flow table.
    pub surveyor: Surveyor,
}

/// Both ends.
pub fn open(surveyor: Surveyor) -> Result<(Desk, Counter), String> {
    let (questions, asked) = channel();
    let bells = UnixStream::pair().and_then(|(one, other)| {
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((one, other))
    });
    let (bell, ring) = bells.map_err(|error| format!("no socket pair: {error}"))?;
    Ok((Desk { questions: asked, bell }, Counter { questions, bell: Arc::new(ring), surveyor }))
}

impl Desk {
    /// Readable when a question waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The next question.
    pub fn next(&mut self) -> Option<Question> {
        while matches!(self.bell.read(&mut [0; 64]), Ok(1..)) {}
        self.questions.try_recv().ok()
    }
}

impl Counter {
    /// Asks and waits; `None` if the loop has ended or takes too long.
    pub fn ask(&self, ask: Ask) -> Option<Answer> {
        let (reply, answer) = sync_channel(1);
        self.questions.send(Question { ask, reply: Reply(reply) }).ok()?;
        // Full means that it rings already.
        let _ = (&*self.bell).write(&[1]);
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
        let (mut desk, counter) = open(surveyor()).expect("a desk");
        assert!(desk.next().is_none());
        let asker = thread::spawn(move || counter.ask(Ask::Control(Value::Null)));
        let mut polled = [rustix::event::PollFd::new(&desk.bell, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, None).expect("rings");
        let question = loop {
            if let Some(question) = desk.next() {
                break question;
            }
        };
        let _ = question.reply.send("answer".to_owned());
        assert_eq!(asker.join().expect("no panic").map(|answer| answer.text), Some("answer".to_owned()));
    }

    #[test]
    fn a_receipt_waits_until_the_answer_was_passed_on() {
        let (mut desk, counter) = open(surveyor()).expect("a desk");
        let (passed, seen) = channel();
        let asker = thread::spawn(move || {
            let answer = counter.ask(Ask::Control(Value::Null));
            thread::sleep(Duration::from_millis(200));
            passed.send(()).expect("waits");
            drop(answer);
        });
        let question = loop {
            if let Some(question) = desk.next() {
                break question;
            }
        };
        question.reply.send("answer".to_owned()).wait();
        seen.try_recv().expect("passed on before");
        asker.join().expect("no panic");
    }

    #[test]
    fn nobody_waits_for_a_loop_that_ended() {
        let (desk, counter) = open(surveyor()).expect("a desk");
        drop(desk);
        assert!(counter.ask(Ask::Control(Value::Null)).is_none());
    }
}

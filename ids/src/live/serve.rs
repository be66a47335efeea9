//! The run loop: alerts out, requests answered, signals obeyed, until it is time to end.
//!
//! One thread, woken by alerts, requests and signals. Nothing here waits for anybody: outputs, clients, the screen and whoever walks through the
//! flow table have threads of their own.

use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use treeline_ebpf::alert::Alert;

use super::control::refusal;
use super::eve::{self, Context};
use super::instance::{Card, Locks};
use super::model::Named;
use super::request::{Inbox, Pending, Reply, Request};
use super::screen::{Flagged, Pace};
use super::sink::Sink;
use super::state::State;
use super::survey::Survey;
use super::tap::{Numbers, Tap};
use super::terminal::Terminal;
use super::{metric, screen};
use crate::output::say;

/// A signal is seen this much later at the latest.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Time between looks at the interfaces.
const TICK: Duration = Duration::from_secs(1);
/// Alerts handed over before something else has its turn.
const ALERTS_MAX: usize = 1024;

/// What the loop drives.
pub struct Server {
    /// The classifier.
    pub tap: Box<dyn Tap>,
    /// What it is.
    pub state: State,
    /// Where alerts go.
    pub sink: Option<Sink>,
    /// Flows that raised some.
    pub flagged: Flagged,
    /// Questions.
    pub inbox: Inbox,
    /// How fast packets came.
    pub pace: Pace,
    /// When to end by itself.
    pub deadline: Option<Instant>,
    /// Whether packets are dropped.
    pub enforce: bool,
    /// What keeps a second instance away.
    pub locks: Locks,
    /// What is written there.
    pub card: Card,
    /// Where it was started from.
    pub terminal: Terminal,
}

/// Why the loop ended.
#[derive(Debug)]
pub enum End {
    /// A signal, the end of the terminal, or the time was up.
    Asked,
    /// `treeline detach`: what is pinned goes too, and who asked is told when it is gone.
    Detach(Reply),
    /// No interface is left.
    Deserted,
}

/// The signals that the loop obeys; registered before anything is attached, so that none ends the process half way.
/// A file that may not grow any more is an error of the write, and not the end of the process: hence the last one.
pub fn signals() -> Result<Signals, String> {
    Signals::new([SIGHUP, SIGINT, SIGTERM, SIGXFSZ]).map_err(|error| format!("no signal handlers: {error}"))
}

impl Server {
    /// Runs until it is told to end, or nothing is left to do.
    pub fn run(&mut self, signals: &mut Signals) -> Result<End, String> {
        let mut ticked = Instant::now();
        let mut reopen = false;
        loop {
            self.wait()?;
            self.hand_over(ALERTS_MAX);
            for signal in signals.pending() {
                match signal {
                    SIGHUP if !self.terminal.hung_up() => reopen = true,
                    SIGXFSZ => {}
                    _ => return Ok(End::Asked),
                }
            }
            if reopen && self.sink.as_ref().is_none_or(Sink::reopen) {
                reopen = false;
            }
            while let Some(pending) = self.inbox.next() {
                if let Some(leaver) = self.answer(pending) {
                    return Ok(End::Detach(leaver));
                }
                self.hand_over(ALERTS_MAX);
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(End::Asked);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.terminal.look();
                if self.miss() {
                    return Ok(End::Deserted);
                }
            }
        }
    }

    fn wait(&self) -> Result<(), String> {
        let (alerts, inbox) = (self.tap.fd(), self.inbox.fd());
        let mut fds = [PollFd::from_borrowed_fd(alerts, PollFlags::IN), PollFd::from_borrowed_fd(inbox, PollFlags::IN)];
        match poll(&mut fds, Some(&NAP)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(format!("cannot wait for alerts: {error}")),
        }
    }

    /// Hands alerts over to the sink; false if some may be left.
    pub fn hand_over(&mut self, count_max: usize) -> bool {
        let Self { tap, state, sink, flagged, enforce, .. } = self;
        let mut see = |alert: &Alert| {
            let class = state.class(alert.model, alert.class);
            flagged.see(alert, class);
            let Some(sink) = sink else { return };
            let place = state.places.iter().find(|place| place.index == alert.interface);
            let interface = place.map_or("unknown", |place| place.name.as_str());
            let context = Context { interface, class, blocked: *enforce, wall: SystemTime::now(), now_ns: eve::now_ns() };
            sink.send(eve::record(alert, &context).to_string());
        };
        tap.alerts(count_max, &mut see) < count_max
    }

    /// The numbers, with what became of the alerts, and what was found in the flow table.
    pub fn numbers(&mut self, survey: &Survey) -> Result<Numbers, String> {
        if let Some(sink) = &self.sink {
            self.state.alerts_written = sink.tally().written();
            self.state.alerts_lost = sink.tally().lost();
        }
        self.tap.numbers(survey)
    }

    /// Looks for interfaces that went away, or have another name; true if none is left.
    fn miss(&mut self) -> bool {
        for index in self.tap.gone() {
            let name = self.state.interfaces.iter().find(|interface| interface.index == index).map_or("", |interface| &interface.name);
            say(&format!("interface {name} is gone; nothing is watched there any more"));
        }
        self.state.places = self.tap.places();
        let mut is_renamed = false;
        for interface in &mut self.state.interfaces {
            let place = self.state.places.iter().find(|place| place.index == interface.index);
            if let Some(place) = place.filter(|place| place.name != interface.name) {
                say(&format!("interface {} is called {} now", interface.name, place.name));
                interface.name.clone_from(&place.name);
                is_renamed = true;
            }
        }
        if is_renamed {
            self.card.interfaces.clone_from(&self.state.interfaces);
            // Its index finds it all the same.
            let _ = self.locks.write(&self.card).inspect_err(|error| say(error));
        }
        self.state.places.is_empty()
    }

    /// Answers; to the request to end, the answer is still to be given.
    fn answer(&mut self, Pending { request, reply }: Pending) -> Option<Reply> {
        let text = match request {
            Request::Metrics(survey) => match self.numbers(&survey) {
                Ok(numbers) => metric::text(&self.state, &numbers),
                Err(error) => format!("# {error}\n"),
            },
            Request::Status(survey) => match self.numbers(&survey) {
                Ok(numbers) => json!({ "ok": true, "status": self.state.to_json(&numbers) }).to_string(),
                Err(error) => refusal(&error).to_string(),
            },
            Request::View(survey, columns) => match self.numbers(&survey) {
                Ok(numbers) => screen::view(&self.state, &numbers, &self.flagged, &survey.flagged, &mut self.pace, columns),
                Err(error) => error,
            },
            Request::Control(request) if request["do"] == "detach" => return Some(reply),
            Request::Control(request) => self.handle(&request).unwrap_or_else(|error| refusal(&error)).to_string(),
        };
        let _ = reply.send(text);
        None
    }

    fn handle(&mut self, request: &Value) -> Result<Value, String> {
        match request["do"].as_str() {
            Some("swap") => self.swap(request),
            _ => Err(format!("unknown request {request}")),
        }
    }

    fn swap(&mut self, request: &Value) -> Result<Value, String> {
        let text = request["model"].as_str().ok_or("a swap needs a model")?;
        let model = Named::read_text(text, request["source"].as_str().unwrap_or("control socket"))?;
        let start = Instant::now();
        self.tap.swap(&model)?;
        let took = start.elapsed();
        let former = std::mem::replace(&mut self.state.model, model);
        if self.state.former.len() >= 16 {
            self.state.former.remove(0);
        }
        self.state.former.push(former);
        self.state.swaps += 1;
        self.card.show(&self.state.model);
        self.locks.write(&self.card)?;
        say(&format!("model {} ({}) took over", self.state.model_id(), self.state.model.source));
        Ok(json!({ "ok": true, "model": self.state.model_id(), "ms": took.as_secs_f64() * 1e3 }))
    }
}

#[cfg(test)]
mod tests;

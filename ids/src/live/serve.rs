//! The run loop: alerts out, questions answered, signals obeyed, until it is time to end.
//!
//! One thread, woken by alerts, questions and signals. Nothing here waits for anybody: outputs and clients have threads of their own.

use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use treeline_ebpf::Flow;
use treeline_ebpf::alert::Alert;

use super::control::refusal;
use super::desk::{Ask, Desk, Question};
use super::eve::{self, Context};
use super::instance::{Card, Locks};
use super::model::Named;
use super::screen::{Flagged, Screen};
use super::sink::Sink;
use super::state::State;
use super::tap::{Numbers, Tap};
use super::{listing, metric, screen};
use crate::output::say;

/// A signal is seen this much later at the latest.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Time between looks at the interfaces, and between two drawings on a terminal.
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
    pub desk: Desk,
    /// The view, and the time between two drawings.
    pub screen: Option<(Screen, Duration)>,
    /// When to end by itself.
    pub deadline: Option<Instant>,
    /// Whether packets are dropped.
    pub enforce: bool,
    /// What keeps a second instance away.
    pub locks: Locks,
    /// What is written there.
    pub card: Card,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A signal, or the time was up.
    Asked,
    /// `treeline detach`: what is pinned goes too.
    Detach,
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
        let mut drawn = Instant::now();
        let mut reopen = false;
        loop {
            self.wait()?;
            self.hand_over(ALERTS_MAX);
            for signal in signals.pending() {
                match signal {
                    SIGHUP => reopen = true,
                    SIGXFSZ => {}
                    _ => return Ok(End::Asked),
                }
            }
            if reopen && self.sink.as_ref().is_none_or(Sink::reopen) {
                reopen = false;
            }
            while let Some(question) = self.desk.next() {
                if self.answer(question) {
                    return Ok(End::Detach);
                }
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(End::Asked);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                if self.miss() {
                    return Ok(End::Deserted);
                }
            }
            if self.screen.as_ref().is_some_and(|(_, interval)| drawn.elapsed() >= *interval) {
                drawn = Instant::now();
                self.draw();
            }
        }
    }

    fn wait(&self) -> Result<(), String> {
        let (alerts, desk) = (self.tap.fd(), self.desk.fd());
        let mut fds = [PollFd::from_borrowed_fd(alerts, PollFlags::IN), PollFd::from_borrowed_fd(desk, PollFlags::IN)];
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

    /// The numbers, with what became of the alerts.
    pub fn numbers(&mut self) -> Result<Numbers, String> {
        if let Some(sink) = &self.sink {
            self.state.alerts_written = sink.tally().written();
            self.state.alerts_lost = sink.tally().lost();
        }
        self.tap.numbers()
    }

    fn draw(&mut self) {
        let drawn = self.numbers().and_then(|numbers| {
            let flagged = |each: &mut dyn FnMut(&Flow)| {
                self.tap.flows(&mut |flow| {
                    if flow.alerted_ns != 0 {
                        each(flow);
                    }
                })
            };
            Ok((numbers, listing::top(flagged, screen::SHOWN)?))
        });
        match (drawn, &mut self.screen) {
            (Ok((numbers, top)), Some((screen, _))) => screen.draw(&self.state, &numbers, &self.flagged, &top),
            (Ok(_), None) => {}
            (Err(error), _) => say(&error),
        }
    }

    /// Looks for interfaces that went away; true if none is left.
    fn miss(&mut self) -> bool {
        let gone = self.tap.gone();
        for name in &gone {
            say(&format!("interface {name} is gone; nothing is watched there any more"));
        }
        if !gone.is_empty() {
            self.state.places = self.tap.places();
        }
        self.state.places.is_empty()
    }

    /// Answers; true if that was the request to end.
    fn answer(&mut self, Question { ask, reply }: Question) -> bool {
        let (text, end) = match ask {
            Ask::Metrics => match self.numbers() {
                Ok(numbers) => (metric::text(&self.state, &numbers), false),
                Err(error) => (format!("# {error}\n"), false),
            },
            Ask::Control(request) => {
                let end = request["do"] == "detach";
                let answer = self.obey(&request).unwrap_or_else(|error| refusal(&error));
                (answer.to_string(), end)
            }
        };
        // Whoever asked may be gone.
        let _ = reply.send(text);
        end
    }

    fn obey(&mut self, request: &Value) -> Result<Value, String> {
        match request["do"].as_str() {
            Some("status") => {
                let numbers = self.numbers()?;
                Ok(json!({ "ok": true, "status": self.state.to_json(&numbers) }))
            }
            Some("flows") => {
                let top = request["top"].as_u64().and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
                Ok(json!({ "ok": true, "flows": listing::top(|each| self.tap.flows(each), top)? }))
            }
            Some("swap") => self.swap(request),
            Some("detach") => Ok(json!({ "ok": true })),
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

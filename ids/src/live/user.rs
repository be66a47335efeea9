//! The tap in user space: copies of packets through raw sockets, classified by the native engine on a thread of its own.
//!
//! ```text
//! interface -> recv | ring -> frame -> worker (native engine, tally) -> alerts
//! ```
//!
//! It sees copies: nothing can be dropped, and packets that come while a socket has no room pass uninspected and are counted.
//! Not here: the options that make no sense for it are refused in [`super::options`].

mod waker;

mod frame;

mod port;

mod recv;

mod ring;

mod tally;

mod worker;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use treeline_ebpf::Flow;
use treeline_ebpf::alert::Alert;
use treeline_lab::cause::explain;
use treeline_sim::allow::List;
use treeline_sim::engine::{Decider, Hook, Settings};

use self::port::Port;
use self::tally::Tally;
use self::waker::Waker;
use self::worker::{Request, Worker};
use super::engine::Engine;
use super::interface::{self, Direction};
use super::link;
use super::model::Named;
use super::setup::Setup;
use super::survey::{Survey, Table};
use super::tap::{Numbers, Place, Tap};

/// The tap.
pub struct User {
    settings: Settings,
    places: Vec<Place>,
    alerts: Receiver<Alert>,
    alerted: Waker,
    line: Line,
    thread: JoinHandle<()>,
}

/// The way to the thread.
#[derive(Clone)]
struct Line {
    requests: Sender<Request>,
    wake: Waker,
}

impl User {
    /// Opens the interfaces and begins.
    pub fn start(setup: &Setup, allow: Option<&Path>, engine: Engine, model: &Named, interfaces: &[String]) -> Result<Self, String> {
        let list = allow.map(List::read).transpose().map_err(|error| format!("--allow {}", explain(&error)))?;
        let settings = setup.settings(Hook::Socket, list.map(Arc::new).unwrap_or_default(), model);
        let direction = setup.attach_options(false).direction;
        let (mut ports, mut places) = (vec![], vec![]);
        for name in interfaces {
            let port = Port::open(name, direction, engine)?;
            let sides = if direction == Direction::Ingress { "ingress" } else { "ingress+egress" };
            let how = format!("{}, {sides}", if engine == Engine::UserRing { "receive ring" } else { "raw socket, one call per packet" });
            places.push(Place { index: port.interface, name: name.clone(), how: link::told(port.link, how) });
            ports.push(port);
        }
        let waker = || Waker::new().map_err(|error| format!("no event descriptor: {error}"));
        let (wake, alerted) = (waker()?, waker()?);
        // As many as the kernel's ring buffer of this size would hold, each with a header of eight bytes.
        let (sender, alerts) = mpsc::sync_channel(setup.ring_bytes as usize / (size_of::<Alert>() + 8));
        let (requests, receiver) = mpsc::channel();
        let tally = Tally::new(&settings.loaded(), sender);
        let worker = Worker::new(settings.clone(), tally, ports, receiver, wake.clone(), alerted.clone());
        let thread = thread::Builder::new().name("classifier".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|error| format!("no thread for the classifier: {error}"))?;
        Ok(Self { settings, places, alerts, alerted, line: Line { requests, wake }, thread })
    }
}

impl Line {
    /// Has the thread do something between two packets.
    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut Worker) -> T + Send + 'static) -> Result<T, String> {
        let gone = || "the classifier's thread has ended, which is a fault of treeline".to_owned();
        let (reply, answer) = mpsc::channel();
        let request = move |worker: &mut Worker| {
            // Whoever asked waits below.
            let _ = reply.send(act(worker));
        };
        self.requests.send(Box::new(request)).map_err(|_| gone())?;
        self.wake.wake();
        answer.recv().map_err(|_| gone())
    }
}

impl Tap for User {
    fn fd(&self) -> BorrowedFd<'_> {
        self.alerted.fd()
    }

    fn alerts(&mut self, count_max: usize, each: &mut dyn FnMut(&Alert)) -> usize {
        self.alerted.clear();
        let count = self.alerts.try_iter().take(count_max).inspect(|alert| each(alert)).count();
        if count == count_max {
            self.alerted.wake();
        }
        count
    }

    fn numbers(&mut self, survey: &Survey) -> Result<Numbers, String> {
        let Survey { census, evictions, .. } = *survey;
        self.line.ask(move |worker| worker.numbers(census, evictions))
    }

    fn table(&self) -> Arc<dyn Table> {
        Arc::new(self.line.clone())
    }

    fn swap(&mut self, model: &Named) -> Result<(), String> {
        let mut settings = Settings { decider: Decider::of(&model.model), ..self.settings.clone() };
        settings.config.model = model.id;
        self.settings = settings.clone();
        self.line.ask(move |worker| worker.swap(settings))?
    }

    fn gone(&mut self) -> Vec<u32> {
        let ended = self.thread.is_finished();
        let is_there = |place: &Place| !ended && interface::name(place.index).is_some();
        let (there, gone): (_, Vec<Place>) = std::mem::take(&mut self.places).into_iter().partition(is_there);
        self.places = there;
        let gone: Vec<_> = gone.iter().map(|place| place.index).collect();
        if !gone.is_empty() {
            let interfaces = gone.clone();
            // Without the thread they are closed already.
            let _ = self.line.ask(move |worker| worker.close(&interfaces));
        }
        gone
    }

    fn places(&self) -> Vec<Place> {
        self.places.iter().map(Place::now).collect()
    }

    fn detach(&mut self, _unpin: bool) -> Result<(), String> {
        self.places.clear();
        self.line.ask(Worker::leave)
    }
}

impl Table for Line {
    fn inserted(&self) -> Result<u64, String> {
        self.ask(|worker| worker.inserted())
    }

    /// Piece by piece, with packets between the pieces.
    fn visit(&self, each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
        let mut seen = 0;
        loop {
            let flows = self.ask(move |worker| worker.flows(seen))?;
            if flows.is_empty() {
                return Ok(());
            }
            seen += flows.len();
            flows.iter().for_each(&mut *each);
        }
    }
}

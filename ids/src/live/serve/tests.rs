//! The loop over a tap of the tests' own.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use treeline_ebpf::{Counters, Flow, Live};
use treeline_sim::engine::Hook;

use super::*;
use crate::live::control::{self, Control};
use crate::live::engine::Engine;
use crate::live::request;
use crate::live::setup::Setup;
use crate::live::sink::Target;
use crate::live::survey::{Surveyor, Table};
use crate::live::tap::Place;

/// A table whose walks take as long as somebody holds them.
struct Held {
    walks: Mutex<Receiver<()>>,
    is_walked: AtomicBool,
}

impl Table for Held {
    fn inserted(&self) -> Result<u64, String> {
        Ok(0)
    }

    fn visit(&self, _each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
        self.is_walked.store(true, Relaxed);
        self.walks.lock().expect("no panic").recv().map_err(|error| error.to_string())
    }
}

struct Fake {
    bell: UnixStream,
    alerts: Receiver<Alert>,
    table: Arc<Held>,
}

impl Tap for Fake {
    fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn alerts(&mut self, count_max: usize, each: &mut dyn FnMut(&Alert)) -> usize {
        self.alerts.try_iter().take(count_max).inspect(|alert| each(alert)).count()
    }

    fn numbers(&mut self, survey: &Survey) -> Result<Numbers, String> {
        let Survey { census, evictions, .. } = *survey;
        Ok(Numbers { counters: Counters::default(), live: Live::ZERO, census, flows_max: 1, evictions, uninspected: 0, cost: None })
    }

    fn table(&self) -> Arc<dyn Table> {
        self.table.clone()
    }

    fn swap(&mut self, _model: &Named) -> Result<(), String> {
        Err("none".to_owned())
    }

    fn gone(&mut self) -> Vec<u32> {
        vec![]
    }

    fn places(&self) -> Vec<Place> {
        vec![Place { index: 1, name: "v1".to_owned(), how: "held".to_owned() }]
    }

    fn detach(&mut self, _unpin: bool) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn alerts_do_not_wait_for_a_walk_through_the_flow_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let [socket, file] = ["control.sock", "eve.json"].map(|name| folder.path().join(name));
    let (permit, walks) = channel();
    let (alert, alerts) = channel();
    let table = Arc::new(Held { walks: Mutex::new(walks), is_walked: AtomicBool::new(false) });
    let (bell, _ring) = UnixStream::pair().expect("a pair");
    let tap = Fake { bell, alerts, table: table.clone() };
    let (setup, model) = (Setup::sample(), Named::built_in().expect("a model"));
    let (inbox, client) = request::open(Surveyor::start(tap.table(), 1).expect("a thread")).expect("an inbox");
    let control = Control::listen(socket.clone(), client.clone()).expect("listens");
    let lines = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let sink = Sink::open(&Target::File(file.clone())).expect("a file");
    let card = Card::sample(&["v1"]);
    let running = thread::spawn(move || {
        let state = State::new(card.interfaces.clone(), tap.places(), (Hook::Tc, Engine::Kernel), &setup, model);
        let locks = Locks::none();
        let (flagged, pace) = (Flagged::default(), Pace::default());
        let mut server = Server {
            tap: Box::new(tap),
            state,
            sink: Some(sink),
            flagged,
            inbox,
            pace,
            deadline: None,
            enforce: false,
            locks,
            card,
            terminal: Terminal::of_process(),
        };
        let Ok(End::Detach(leaver)) = server.run(&mut Signals::new([SIGXFSZ]).expect("signals")) else { panic!("it ends otherwise") };
        leaver.send(json!({ "ok": true }).to_string()).wait();
    });
    let asked = ["status", "flows", "status"].map(|what| {
        let socket = socket.clone();
        thread::spawn(move || control::ask(&socket, &json!({ "do": what })))
    });
    // The screen's.
    let seen = thread::spawn(move || client.surveyor.ask(crate::live::survey::Query::default()));
    while !table.is_walked.load(Relaxed) {
        thread::yield_now();
    }
    (0..3000).for_each(|_| alert.send(Alert { interface: 1, class: 1, ..Alert::default() }).expect("a tap"));
    while lines() < 3000 {
        thread::sleep(Duration::from_millis(5));
    }
    // One walk each at most.
    (0..4).for_each(|_| permit.send(()).expect("a table"));
    for asked in asked {
        assert!(asked.join().expect("no panic").is_ok());
    }
    assert!(seen.join().expect("no panic").is_ok());
    control::ask(&socket, &json!({ "do": "detach" })).expect("ends");
    running.join().expect("no panic");
    drop(control);
}

//! `treeline run`: options -> an instance, from its locks to its last words.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aya::sys::{Stats, enable_stats};
use treeline_sim::engine::Hook;

use super::control::Control;
use super::folder::Folder;
use super::instance::{self, Card, Locks, namespace};
use super::kernel::Kernel;
use super::model::{Named, written};
use super::options::{Engine, Run};
use super::screen::{Flagged, Screen, farewell, farewell_json};
use super::serve::{End, Server, signals};
use super::setup::Setup;
use super::sink::{Sink, Target};
use super::state::State;
use super::tap::Tap;
use super::user::User;
use super::{capability, desk, exporter};
use crate::arguments::{BenchFormat, nanoseconds};
use crate::output::print;

/// The exit code when no interface is left.
const EXIT_DESERTED: u8 = 1;
/// The output gets this long at the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Between two lines of `--summary` where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Runs until it is told to end.
pub fn run(options: &Run) -> Result<ExitCode, String> {
    let hook = options.hook()?;
    let setup = options.setup(hook)?;
    let model = Named::read(&options.model)?;
    let deadline = options.duration.map(|seconds| nanoseconds("--duration", seconds)).transpose()?;
    capability::check(options.engine, hook)?;
    let mut signals = signals()?;
    let namespace = namespace()?;
    let mut locks = Locks::take(&options.state, namespace, &options.interfaces, hook)?;
    let pin = options.pin_folder(hook)?;
    refuse_former(&mut locks, pin.as_deref())?;
    let folder = pin.as_deref().map_or_else(|| Ok(Folder::private()), Folder::pinned)?;
    let _stats = if options.stats {
        Some(enable_stats(Stats::RunTime).map_err(|error| format!("--stats: it needs CAP_SYS_ADMIN: {error}"))?)
    } else {
        None
    };
    let sink = options.target().map(|target| Sink::open(&target)).transpose()?;
    let tap = attach(options, hook, &setup, &model, folder)?;
    let first = options.interfaces.first().map_or("", String::as_str);
    let control = instance::path(&options.state, namespace, first, hook, "sock");
    let mut card = Card {
        pid: std::process::id(),
        interfaces: options.interfaces.clone(),
        hook: hook.name().to_owned(),
        control: control.clone(),
        pin,
        model: written(model.id),
        classes: model.model.classes().to_vec(),
        setup: setup.clone(),
    };
    locks.write(&card)?;
    let (desk, counter) = desk::open()?;
    let metrics = options.metrics.map(|address| exporter::listen(address, counter.clone())).transpose()?;
    let control = Control::listen(control, counter)?;
    let state = State::new(options.interfaces.clone(), tap.places(), (hook, options.engine), &setup, model);
    announce(&state, options, metrics);
    let mut server = Server {
        tap,
        state,
        sink,
        flagged: Flagged::default(),
        desk,
        screen: screen(options),
        deadline: deadline.map(|ns| Instant::now() + Duration::from_nanos(ns)),
        enforce: setup.enforce,
        locks,
        card: card.clone(),
    };
    let end = server.run(&mut signals)?;
    drop(control);
    card.pin = card.pin.filter(|_| end != End::Detach);
    finish(server, end, options, &card)
}

/// A pinned instance is not attached beside: it would judge each packet twice.
fn refuse_former(locks: &mut Locks, pin: Option<&Path>) -> Result<(), String> {
    match locks.former() {
        Some(former) if former.pin.as_deref() != pin => {
            let (named, hook) = (former.interfaces.join(", "), &former.hook);
            let folder = former.pin.unwrap_or_default();
            Err(format!(
                "{named} at hook {hook} is judged by programs pinned in {}, whose process is gone: go on with them (--pin, and the same \
                 interfaces), or treeline detach first",
                folder.display()
            ))
        }
        _ => Ok(()),
    }
}

fn attach(options: &Run, hook: Hook, setup: &Setup, model: &Named, folder: Folder) -> Result<Box<dyn Tap>, String> {
    if options.engine != Engine::Kernel {
        let tap = User::start(setup, options.allow.as_deref(), options.engine, model, &options.interfaces)?;
        return Ok(Box::new(tap));
    }
    let mut kernel = Kernel::load(setup, options.allow.as_deref(), hook, model, folder, &options.interfaces)?;
    for interface in &options.interfaces {
        match kernel.attach(interface, setup.wish(options.clsact)) {
            Ok(notice) => notice.iter().for_each(|notice| eprintln!("treeline: {notice}")),
            Err(error) => {
                // What was there before, pinned, stays; what this run began, goes.
                kernel.give_up();
                return Err(error);
            }
        }
    }
    Ok(Box::new(kernel))
}

fn screen(options: &Run) -> Option<(Screen, Duration)> {
    let terminal = std::io::stdout().is_terminal() && options.target() != Some(Target::Stdout);
    options.summary.then(|| (Screen::new(terminal), if terminal { Duration::from_secs(1) } else { LINE_INTERVAL }))
}

/// The line that says that it runs.
fn announce(state: &State, options: &Run, metrics: Option<SocketAddr>) {
    let places: Vec<_> = state.places.iter().map(|place| format!("{} ({})", place.name, place.how)).collect();
    let alerts = options.target().map_or(String::new(), |target| format!("; alerts to {target}"));
    let metrics = metrics.map_or(String::new(), |address| format!("; metrics at http://{address}/metrics"));
    eprintln!("treeline: {} on {}, model {}{alerts}{metrics}", state.mode, places.join(", "), state.model_id());
}

/// Detaches, empties the ring buffer, lets the output finish, says what it was.
fn finish(mut server: Server, end: End, options: &Run, card: &Card) -> Result<ExitCode, String> {
    server.tap.detach(end == End::Detach)?;
    while !server.hand_over(1024) {}
    let closed = server.sink.as_mut().is_none_or(|sink| sink.close(CLOSE_MAX));
    let numbers = server.numbers()?;
    if !closed {
        eprintln!("treeline: the output does not take its alerts; those that waited are lost");
    }
    if end == End::Deserted {
        eprintln!("treeline: no interface is left");
    }
    // Where alerts do not get through, neither would a summary.
    let aside = options.target() == Some(Target::Stdout) && (!closed || options.format == BenchFormat::Text);
    let summary = match options.format {
        BenchFormat::Json => format!("{}\n", farewell_json(&server.state, &numbers, &server.flagged)),
        BenchFormat::Text => farewell(&server.state, &numbers),
    };
    if aside {
        eprint!("{summary}");
    } else {
        print(&summary)?;
    }
    match &card.pin {
        Some(pin) if end == End::Deserted => {
            eprintln!("treeline: its flows stay pinned in {}; treeline detach removes them", pin.display());
        }
        Some(pin) => {
            let hook = &card.hook;
            eprintln!(
                "treeline: pinned in {}: packets are still judged; run it again to go on, or treeline detach --hook {hook} to end",
                pin.display()
            );
        }
        None => server.locks.remove(),
    }
    Ok(if end == End::Deserted { ExitCode::from(EXIT_DESERTED) } else { ExitCode::SUCCESS })
}

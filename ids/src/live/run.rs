//! `treeline run`: options -> an instance, from its locks to its last words.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aya::sys::{Stats, enable_stats};
use serde_json::json;
use treeline_sim::engine::Hook;

use super::control::{Control, refusal};
use super::engine::Engine;
use super::folder::Folder;
use super::instance::{self, Card, Interface, Locks, names, namespace};
use super::kernel::Kernel;
use super::model::{Named, written};
use super::options::Run;
use super::orphan::{self, Orphan};
use super::request::Client;
use super::screen::{Flagged, Pace, Screen, farewell, farewell_json};
use super::serve::{End, Server, signals};
use super::setup::Setup;
use super::sink::{Sink, Target};
use super::state::State;
use super::survey::{Query, Surveyor};
use super::tap::Tap;
use super::terminal::Terminal;
use super::user::User;
use super::{capability, exporter, request};
use crate::options::{Format, nanoseconds};
use crate::output::{print, say};

/// The exit code when no interface is left.
const EXIT_DESERTED: u8 = 1;
/// The output gets this long at the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Runs until it is told to end.
pub fn run(options: &Run) -> Result<ExitCode, String> {
    let hook = options.hook()?;
    let setup = options.setup(hook)?;
    let model = options.model.as_deref().map_or_else(Named::built_in, Named::read)?;
    let deadline = options.duration.map(|seconds| nanoseconds("--duration", seconds)).transpose()?;
    capability::check(options.engine, hook)?;
    // Before handlers are registered, which hide what was ignored.
    let terminal = Terminal::of_process();
    let mut signals = signals()?;
    let namespace = namespace()?;
    let interfaces = interfaces(options)?;
    // Before the locks are taken: an instance is known to live by its lock.
    let orphans = orphans(options, hook, namespace)?;
    let mut locks = Locks::take(&options.state, namespace, &interfaces, hook)?;
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
    for orphan in &orphans {
        orphan.remove().map_err(|error| format!("{orphan}: {error}"))?;
        say(&format!("{orphan} is replaced"));
    }
    if let Some(pin) = &pin {
        instance::supersede(&options.state, namespace, pin);
    }
    let control = instance::path(&options.state, namespace, &interfaces[0], hook, "sock");
    let mut card = Card {
        pid: std::process::id(),
        interfaces: interfaces.clone(),
        hook: hook.name().to_owned(),
        control: control.clone(),
        pin,
        model: written(model.id),
        classes: model.model.classes().to_vec(),
        setup: setup.clone(),
    };
    locks.write(&card)?;
    let surveyor = Surveyor::start(tap.table(), setup.idle_timeout_ns)?;
    let (inbox, client) = request::open(surveyor.clone())?;
    let metrics = options.metrics.as_ref().map(|place| exporter::listen(place, &client)).transpose()?.unwrap_or_default();
    let control = Control::listen(control, client.clone())?;
    let state = State::new(interfaces, tap.places(), (hook, options.engine), &setup, model);
    announce(&state, options, &metrics);
    let screen = options.summary.then(|| screen(options, client)).transpose()?;
    let mut server = Server {
        tap,
        state,
        sink,
        flagged: Flagged::default(),
        inbox,
        pace: Pace::default(),
        deadline: deadline.map(|ns| Instant::now() + Duration::from_nanos(ns)),
        enforce: setup.enforce,
        locks,
        card: card.clone(),
        terminal,
    };
    let end = server.run(&mut signals)?;
    drop(control);
    card.pin = card.pin.filter(|_| !matches!(end, End::Detach(_)));
    let is_deserted = matches!(end, End::Deserted);
    leave(&mut server, end)?;
    screen.iter().for_each(Screen::end);
    finish(server, is_deserted, &surveyor, options, &card)
}

/// The interfaces, each once, whatever it is called.
fn interfaces(options: &Run) -> Result<Vec<Interface>, String> {
    let mut interfaces: Vec<Interface> = vec![];
    for name in &options.interfaces {
        let interface = Interface::named(name)?;
        if interfaces.iter().any(|known| known.index == interface.index) {
            return Err(format!("--iface: {name} is named twice"));
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

/// A pinned instance is not attached beside: it would classify each packet twice.
fn refuse_former(locks: &mut Locks, pin: Option<&Path>) -> Result<(), String> {
    match locks.former() {
        Some(former) if former.pin.as_deref() != pin => {
            let (named, hook) = (names(&former.interfaces), &former.hook);
            let folder = former.pin.unwrap_or_default();
            Err(format!(
                "{named} at hook {hook} is classified by programs pinned in {}, whose process is gone: go on with them (--pin, and the same \
                 interfaces), or treeline detach first",
                folder.display()
            ))
        }
        _ => Ok(()),
    }
}

/// What an instance that is gone left on the interfaces, for this one to replace; refused without `--replace`, where both would classify.
fn orphans(options: &Run, hook: Hook, namespace: u64) -> Result<Vec<Orphan>, String> {
    let mut orphans = orphan::list(&instance::list(&options.state, namespace)).map_err(|error| format!("filters of clsact: {error}"))?;
    orphans.retain(|orphan| options.interfaces.contains(&orphan.interface));
    if hook == Hook::Tc && (options.replace || orphans.is_empty()) {
        return Ok(orphans);
    }
    let listed = orphan::listed(&orphans);
    if hook == Hook::Tc {
        return Err(format!("{listed}: left by an instance that is gone, and still at work; give --replace, or treeline detach first"));
    }
    if !orphans.is_empty() {
        say(&format!("{listed}: left by an instance that is gone, and still at work; treeline detach --hook tc removes it"));
    }
    Ok(vec![])
}

fn attach(options: &Run, hook: Hook, setup: &Setup, model: &Named, folder: Folder) -> Result<Box<dyn Tap>, String> {
    if options.engine != Engine::Kernel {
        let tap = User::start(setup, options.allow.as_deref(), options.engine, model, &options.interfaces)?;
        return Ok(Box::new(tap));
    }
    let mut kernel = Kernel::load(setup, options.allow.as_deref(), hook, model, folder, &options.interfaces)?;
    for interface in &options.interfaces {
        match kernel.attach(interface, setup.attach_options(options.clsact)) {
            Ok(notice) => notice.iter().for_each(|notice| say(notice)),
            Err(error) => {
                // What was there before, pinned, stays; what this run began, goes.
                kernel.give_up();
                return Err(error);
            }
        }
    }
    Ok(Box::new(kernel))
}

fn screen(options: &Run, client: Client) -> Result<Screen, String> {
    Screen::start(options.target() != Some(Target::Stdout), client)
}

/// The line that says that it runs.
fn announce(state: &State, options: &Run, metrics: &[SocketAddr]) {
    let places: Vec<_> = state.places.iter().map(|place| format!("{} ({})", place.name, place.how)).collect();
    let alerts = options.target().map_or(String::new(), |target| format!("; alerts to {target}"));
    let metrics: Vec<_> = metrics.iter().map(|address| format!("http://{address}/metrics")).collect();
    let metrics = if metrics.is_empty() { String::new() } else { format!("; metrics at {}", metrics.join(" and ")) };
    say(&format!("{} on {}, model {}{alerts}{metrics}", state.mode, places.join(", "), state.model_id()));
}

/// Detaches, and tells so whoever asked for it.
fn leave(server: &mut Server, end: End) -> Result<(), String> {
    let left = server.tap.detach(matches!(end, End::Detach(_)));
    if let End::Detach(leaver) = end {
        let answer = left.as_ref().map_or_else(|error| refusal(error), |()| json!({ "ok": true }));
        // The end of the process would cut the answer off.
        leaver.send(answer.to_string()).wait();
    }
    left
}

/// Empties the ring buffer, lets the output finish, says what it was.
fn finish(mut server: Server, is_deserted: bool, surveyor: &Surveyor, options: &Run, card: &Card) -> Result<ExitCode, String> {
    while !server.hand_over(1024) {}
    let closed = server.sink.as_mut().is_none_or(|sink| sink.close(CLOSE_MAX));
    let numbers = server.numbers(&*surveyor.ask(Query::default())?)?;
    if !closed {
        say("the output does not take its alerts; those that waited are lost");
    }
    if is_deserted {
        say("no interface is left");
    }
    // Where alerts do not get through, neither would a summary.
    let aside = options.target() == Some(Target::Stdout) && (!closed || options.format == Format::Text);
    let summary = match options.format {
        Format::Json => format!("{}\n", farewell_json(&server.state, &numbers, &server.flagged)),
        Format::Text => farewell(&server.state, &numbers),
    };
    let printed = if aside {
        // Where nobody takes that either, it is lost.
        let _ = std::io::stderr().write_all(summary.as_bytes());
        Ok(())
    } else {
        print(&summary)
    };
    match &card.pin {
        Some(pin) if is_deserted => {
            say(&format!("its flows stay pinned in {}; treeline detach removes them", pin.display()));
        }
        Some(pin) => {
            let hook = &card.hook;
            say(&format!(
                "pinned in {}: packets are still classified; run it again to go on, or treeline detach --hook {hook} to end",
                pin.display()
            ));
        }
        None => server.locks.remove(),
    }
    printed?;
    Ok(if is_deserted { ExitCode::from(EXIT_DESERTED) } else { ExitCode::SUCCESS })
}

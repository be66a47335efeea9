//! `treeline status`, `flows`, `swap`, `detach`: the commands that ask a running instance, or act on the pins of a dead one.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use treeline_sim::engine::Hook;

use super::instance::{self, Found, Interface, names, namespace};
use super::kernel::Kernel;
use super::listing::{self, Row};
use super::map::Pins;
use super::model::{Named, written};
use super::orphan::{self, Orphan};
use super::survey::{self, Query};
use super::{control, folder, interface};
use crate::options::{self, Format};
use crate::output::{print, say};

/// An instance that was told to end is waited for this long.
const END_MAX: Duration = Duration::from_secs(10);

/// Which instance.
#[derive(Debug, Args)]
pub struct Which {
    /// One of its interfaces; needed where several instances run.
    #[arg(short, long, value_name = "NAME")]
    pub iface: Option<String>,

    /// Its hook; likewise.
    #[arg(long, value_enum)]
    pub hook: Option<options::Hook>,

    /// The folder of lock files and control sockets.
    #[arg(long, value_name = "DIR", default_value = instance::FOLDER, hide_short_help = true)]
    pub state: PathBuf,
}

impl Which {
    /// The instance; what was left of others is reported on standard error.
    fn find(&self) -> Result<Found, String> {
        for orphan in self.orphans()? {
            let interface = &orphan.interface;
            say(&format!("{orphan} was left by an instance that is gone, and goes on; treeline detach --iface {interface} removes it"));
        }
        instance::find(&self.state, namespace()?, self.iface.as_deref(), self.hook.map(Hook::from))
    }

    /// The instances that are meant, however many.
    fn matching(&self) -> Result<Vec<Found>, String> {
        Ok(instance::matching(&self.state, namespace()?, self.iface.as_deref(), self.hook.map(Hook::from)))
    }

    /// What is left of instances that are gone.
    fn orphans(&self) -> Result<Vec<Orphan>, String> {
        if self.hook.is_some_and(|hook| Hook::from(hook) != Hook::Tc) {
            return Ok(vec![]);
        }
        let mut orphans =
            orphan::list(&instance::list(&self.state, namespace()?)).map_err(|error| format!("filters of clsact: {error}"))?;
        orphans.retain(|orphan| self.iface.as_ref().is_none_or(|interface| *interface == orphan.interface));
        Ok(orphans)
    }
}

/// Show the numbers of a running or pinned instance.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  treeline status\n  treeline status --iface eth0 --format json | jq .packets")]
pub struct Status {
    #[command(flatten)]
    pub which: Which,

    /// text for people, json for machines.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,
}

/// List the flow table of a running or pinned instance.
///
/// The flows with the most packets come first.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  treeline flows --list 10\n  treeline flows --format json | jq '.[] | select(.alerted)'")]
pub struct Flows {
    #[command(flatten)]
    pub which: Which,

    /// How many flows, at most 65536.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub list: usize,

    /// text for people, json for machines.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Swap the model of an instance, without losing a packet or flow.
///
/// Each packet is classified by the old model or the new one, whole, and flows go on.
///
/// The model is checked, loaded beside the old one and tested before it takes over; if anything is wrong, the old one goes on. A pinned instance whose
/// process is gone gets its new model too.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  treeline swap better.json\n  treeline swap better.json --iface eth0 --hook xdp")]
pub struct Swap {
    /// The model, a JSON file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub which: Which,
}

/// End an instance, and remove what it pinned.
///
/// Without an instance, remove the clsact filters that a killed one left.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  treeline detach\n  treeline detach --iface eth0 --hook xdp")]
pub struct Detach {
    #[command(flatten)]
    pub which: Which,
}

/// `treeline status`.
pub fn status(options: &Status) -> Result<ExitCode, String> {
    let found = options.which.find()?;
    let status = if found.alive {
        control::ask(&found.card.control, &json!({ "do": "status" }))?["status"].take()
    } else {
        let pins = Pins::open(pins_of(&found)?)?;
        let attached = folder::attached(pins_of(&found)?);
        let interfaces = found.card.interfaces.iter().map(|Interface { index, name }| {
            let there = attached.contains(index);
            let name = interface::name(*index).filter(|_| there).unwrap_or_else(|| name.clone());
            json!({ "name": name, "index": index, "attached": there.then_some("pinned") })
        });
        let mut status = json!({
            "pid": null,
            "interfaces": interfaces.collect::<Vec<_>>(),
            "hook": found.card.hook,
            "mode": found.card.setup.mode(),
            "tree": found.card.setup.tree(),
            "model": { "id": found.card.model },
        });
        let survey = survey::walk(pins.table(), found.card.setup.idle_timeout_ns, Query::default())?;
        let numbers = pins.numbers(&survey)?.to_json(&found.card.classes);
        if let (Some(status), Value::Object(numbers)) = (status.as_object_mut(), numbers) {
            status.extend(numbers);
        }
        status
    };
    match options.format {
        Format::Json => print(&format!("{status}\n"))?,
        Format::Text => print(&described(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The status for people: one line per field, those of an object side by side.
fn described(status: &Value) -> String {
    let mut text = String::new();
    for (name, value) in status.as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {name:<15}{}", brief(name, value));
    }
    text
}

/// Numbers that count nothing.
const NAMES: [&str; 2] = ["pid", "index"];

fn brief(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) if NAMES.contains(&name) => number.to_string(),
        Value::String(text) => crate::figure::plain(text),
        Value::Number(number) => number.as_u64().map_or_else(|| format!("{:.1}", number.as_f64().unwrap_or(0.0)), crate::report::number),
        Value::Array(values) => values.iter().map(|value| brief(name, value)).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            // Of an interface, that nothing is attached is worth telling.
            let shown = fields.iter().filter(|(name, value)| !value.is_null() || *name == "attached");
            shown.map(|(name, value)| format!("{name} {}", brief(name, value))).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(yes) => yes.to_string(),
    }
}

/// `treeline flows`.
pub fn flows(options: &Flows) -> Result<ExitCode, String> {
    let found = options.which.find()?;
    let rows: Vec<Row> = if found.alive {
        let mut answer = control::ask(&found.card.control, &json!({ "do": "flows", "top": options.list }))?;
        serde_json::from_value(answer["flows"].take()).map_err(|error| format!("{}: {error}", found.card.control.display()))?
    } else {
        let pins = Pins::open(pins_of(&found)?)?;
        survey::walk(pins.table(), found.card.setup.idle_timeout_ns, Query { top: options.list, ..Query::default() })?.top
    };
    match options.format {
        Format::Json => print(&format!("{}\n", json!(rows)))?,
        Format::Text => print(&listing::text(&rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `treeline swap`.
pub fn swap(options: &Swap) -> Result<ExitCode, String> {
    let found = options.which.find()?;
    let start = Instant::now();
    // Read here too, so that an error is about the file as the user sees it.
    let model = Named::read(&options.model)?;
    if found.alive {
        let request = json!({ "do": "swap", "model": model.model.to_json(), "source": model.source });
        let answer = control::ask(&found.card.control, &request)?;
        let ms = answer["ms"].as_f64().unwrap_or(0.0);
        print(&format!("model {} is in place on {} after {ms:.1} ms\n", written(model.id), names(&found.card.interfaces)))?;
    } else {
        check_attached(&found)?;
        Kernel::swap_pinned(&found.card, pins_of(&found)?, &model)?;
        instance::rewrite(&options.which.state, namespace()?, &found.card, &model)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        print(&format!("model {} is in place on the pinned {} after {ms:.1} ms\n", written(model.id), names(&found.card.interfaces)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `treeline detach`.
pub fn detach(options: &Detach) -> Result<ExitCode, String> {
    let orphans = options.which.orphans()?;
    for orphan in &orphans {
        orphan.remove().map_err(|error| format!("{orphan}: {error}"))?;
        print(&format!("removed {orphan}, which an instance that is gone had left\n"))?;
    }
    if !orphans.is_empty() && options.which.matching()?.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let found = options.which.find()?;
    let (named, namespace) = (names(&found.card.interfaces), namespace()?);
    if found.alive {
        control::ask(&found.card.control, &json!({ "do": "detach" }))?;
        let pid = found.card.pid;
        let ended = instance::wait(&options.which.state, namespace, &found.card, END_MAX)?;
        let rest = if ended { "has ended" } else { "still ends" };
        print(&format!("detached from {named}; process {pid} {rest}\n"))?;
    } else {
        folder::remove(pins_of(&found)?)?;
        let hook = Hook::ALL.into_iter().find(|hook| hook.name() == found.card.hook);
        for interface in &found.card.interfaces {
            let _ = hook.map(|hook| fs::remove_file(instance::path(&options.which.state, namespace, interface, hook, "lock")));
        }
        print(&format!("detached from {named}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The programs of a dead instance are given another model where they are, and attached nowhere else.
fn check_attached(found: &Found) -> Result<(), String> {
    let attached = folder::attached(pins_of(found)?);
    for Interface { index, name } in &found.card.interfaces {
        match interface::name(*index) {
            Some(now) if attached.contains(index) && now == *name => {}
            Some(now) if attached.contains(index) => {
                return Err(format!("interface {name} is called {now} now; treeline detach --iface {now}, and run it again"));
            }
            _ => return Err(format!("nothing is attached to {name} any more: the interface is gone; treeline detach, and run it again")),
        }
    }
    Ok(())
}

fn pins_of(found: &Found) -> Result<&std::path::Path, String> {
    found.card.pin.as_deref().ok_or_else(|| "the instance is gone and was not pinned".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_count_has_no_separators() {
        let status = json!({
            "pid": 18_546,
            "interfaces": [{ "name": "v1", "index": 12_345, "attached": "tcx" }, { "name": "v2", "index": 7, "attached": null }],
            "packets": 1_234_567,
            "program": null,
        });
        let expected = "  pid            18546\n  interfaces     name v1, index 12345, attached tcx; name v2, index 7, attached -\n  \
                        packets        1,234,567\n  program        -\n";
        assert_eq!(described(&status), expected);
    }
}

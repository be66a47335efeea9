//! What several commands take: hooks, trees, formats, the flow table, captures.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};
use treeline_ebpf::Config;
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_lab::guest::{Fleet, GuestError, Line};
use treeline_sim::replay;

/// The flow table's size, and what ends a flow.
#[derive(Debug, Args)]
pub struct FlowTable {
    /// Size of the flow table, 4096 to 67108864. Beyond it flows are evicted, and one that goes on counts as another.
    #[arg(long, value_name = "N", default_value_t = 262_144, value_parser = flows())]
    pub flows: u32,

    /// A flow ends after this many seconds without a packet.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    pub idle_timeout: f64,

    /// A flow ends when it is this many seconds old.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0)]
    pub active_timeout: f64,
}

impl FlowTable {
    /// The settings of a replay that detects; an error names the option that is out of range.
    pub fn config(&self) -> Result<Config, String> {
        let config = Config {
            idle_timeout_ns: nanoseconds("--idle-timeout", self.idle_timeout)?,
            active_timeout_ns: nanoseconds("--active-timeout", self.active_timeout)?,
            ..Config::default()
        };
        replay::check(&config, self.flows).map_err(|error| error.to_string())?;
        Ok(config)
    }
}

/// What `--flows` takes.
fn flows() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(replay::FLOWS_MIN)..=i64::from(replay::FLOWS_MAX))
}

/// The long help of an argument that takes captures, with `more` to say.
pub fn captures_help(more: &str) -> String {
    let supported = treeline_lab::capture::link::SUPPORTED;
    format!(
        "Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.{more}\n\n\
         Link types: {supported}. Frames of other link types are left out and counted."
    )
}

/// Refuses captures of which two are one file: its packets would count twice, and be learned from and tested on.
pub fn distinct<'a>(captures: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), String> {
    let mut known = HashMap::new();
    for path in captures {
        if let Some(first) = known.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()), path) {
            return Err(format!("{}: given twice, also as {}; give each capture once", path.display(), first.display()));
        }
    }
    Ok(())
}

/// The value of an option in seconds.
pub fn nanoseconds(option: &str, seconds: f64) -> Result<u64, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| format!("{option} {seconds}: not a time in seconds"))
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A report for people.
    Text,
    /// One JSON document for machines.
    Json,
}

/// How a replay is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Records {
    /// A report for people.
    Text,
    /// A summary.
    Json,
    /// One record per packet.
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The classifier's library on the host.
    Native,
    /// The kernel object's bytecode in a user-space VM.
    Vm,
    /// The same object in the kernel.
    Kernel,
    /// The same in another kernel, in QEMU.
    Guest(Line),
    /// A second implementation in real numbers.
    Reference,
    /// All but the guests.
    All,
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "native" => Self::Native,
            "vm" => Self::Vm,
            "kernel" => Self::Kernel,
            "reference" => Self::Reference,
            "all" => Self::All,
            _ => match text.strip_prefix("kernel@") {
                Some(line) => Self::Guest(line.parse().map_err(|error: GuestError| error.to_string())?),
                None => return Err("not an engine; there are native, vm, kernel, kernel@SERIES, reference, all".to_owned()),
            },
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// Express data path, ingress.
    Xdp,
    /// Traffic control, ingress and egress.
    Tc,
    /// A raw socket's filter.
    Socket,
}

impl Hook {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Socket => "socket",
        }
    }
}

impl Tree {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Compiled => "compiled",
        }
    }
}

impl From<Hook> for treeline_sim::engine::Hook {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Xdp => Self::Xdp,
            Hook::Tc => Self::Tc,
            Hook::Socket => Self::Socket,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tree {
    /// As data that they walk.
    Walk,
    /// As instructions, linked into them.
    Compiled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Pass every packet.
    Detect,
    /// Drop malicious packets (not on the socket hook, which sees copies).
    Enforce,
}

/// A capture; one that cannot be read is told of and left out.
pub fn open(path: &Path) -> Option<Capture> {
    Capture::open(path).inspect_err(|error| eprintln!("treeline: {}", explain(error))).ok()
}

/// The kernels in QEMU that are asked for, each booted once, with the guest init `guest` as their init.
pub fn guests(engines: &[Engine], guest: Option<&Path>) -> Result<Fleet, String> {
    let mut lines = vec![];
    for engine in engines {
        match engine {
            Engine::Guest(line) if !lines.contains(line) => lines.push(*line),
            _ => {}
        }
    }
    if lines.is_empty() {
        return Ok(Fleet::default());
    }
    Fleet::boot(&lines, guest, &mut |step| eprintln!("treeline: {step}")).map_err(|error| explain(&error))
}

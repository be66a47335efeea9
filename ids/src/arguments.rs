//! The command line.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use treeline_ebpf::Config;
use treeline_lab::guest::{GuestError, Line};
use treeline_sim::replay;

use crate::link::Link;

/// A decision tree in the kernel's packet path, proven to decide there what it decided on paper.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Replay(Replay),
    Link(Link),
    Verify(crate::verify::Verify),
    Bench(crate::bench::Bench),
    Evaluate(crate::evaluate::Evaluate),
    Explain(crate::explain::Explain),
    Features(crate::features::Features),
    Train(crate::train::Train),
    Import(crate::import::Import),
    Run(crate::live::Run),
    Status(crate::live::Status),
    Flows(crate::live::Flows),
    Swap(crate::live::Swap),
    Detach(crate::live::Detach),
}

/// Replay captures through the classifier's engines and compare them packet by packet.
///
/// Each capture starts with an empty flow table. native, vm and kernel must agree exactly (verdict, features, flow state, counters); the
/// reference, which computes in real numbers, within the bound that docs/classifier.md derives. The replay of a capture ends at its first
/// divergence.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(mut_arg("flows", |flows| flows.help(FLOWS_HELP)))]
pub struct Replay {
    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "CAPTURE", long_help = captures_help(""))]
    pub captures: Vec<PathBuf>,

    /// Engines, comma-separated: native, vm, reference, kernel (needs root, or `CAP_BPF` and `CAP_NET_ADMIN`), all (these four), and kernel@LINE, the
    /// newest of a line of Debian's kernels in QEMU, which needs no rights: kernel@5.10, kernel@6.1, kernel@7.x (docs/kernels.md). Default:
    /// native,vm,reference and, where the rights are there, kernel.
    #[arg(short, long, value_delimiter = ',', value_name = "ENGINE")]
    pub engine: Vec<Engine>,

    /// The hooks whose programs the vm and the kernel run, one replay each, comma-separated. Default: tc, where `treeline run` attaches.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "HOOK")]
    pub hook: Vec<Hooks>,

    /// The model, a JSON file. Default: the one built in.
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// How the programs of the vm and the kernel hold the tree, one replay each, comma-separated. native and the reference walk it in any
    /// case. Default: compiled, as `treeline run` does.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TREE")]
    pub tree: Vec<Trees>,

    /// text for people, json for one summary a capture, jsonl for one record a packet.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Stop after N frames of each capture.
    #[arg(short = 'n', long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub limit: u64,

    /// Show at most N malicious flows in text.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub list: usize,

    #[command(flatten)]
    pub table: FlowTable,

    /// What the programs do with malicious packets.
    #[arg(long, value_enum, default_value = "detect")]
    pub mode: Mode,

    /// The guest's program for kernel@LINE. Default: what the environment's `TREELINE_GUEST` names, or the source tree's, built on first use, or
    /// treeline-guest beside this program.
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,

    /// Whose packets pass unjudged: a file with an address or a network a line, and behind it its services, like `198.18.0.7 tcp/22`.
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,

    /// Run a program of this BPF object (ELF) in place of the classifier.
    #[arg(long, value_name = "FILE", help_heading = "Any program", conflicts_with_all = ["model", "allow", "hook", "tree", "mode"])]
    pub object: Option<PathBuf>,

    /// The program, by its function's name. Default: the only one of the object.
    #[arg(long, value_name = "NAME", help_heading = "Any program", requires = "object")]
    pub program: Option<String>,

    /// What a program is whose section's name does not say it.
    #[arg(long = "type", value_enum, help_heading = "Any program", requires = "object")]
    pub kind: Option<Hook>,

    /// Set a global constant before loading: a number, or bytes like 0a:00:00:01. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Any program", requires = "object")]
    pub set: Vec<String>,

    /// Give a map another number of entries: what programs of old leave to their loader. May be repeated.
    #[arg(long, value_name = "NAME=COUNT", help_heading = "Any program", requires = "object")]
    pub entries: Vec<String>,

    /// Fill a map first, from a JSON list of {"key": ..., "value": ...}; each a number or bytes like "0a:00:00:01". May be repeated.
    #[arg(long, value_name = "NAME=FILE", help_heading = "Any program", requires = "object")]
    pub map: Vec<String>,

    /// Write which lines and jumps of the program the packets reached, as lcov's tracefile, and list the jumps that never went one way. The vm counts.
    #[arg(long, value_name = "FILE", help_heading = "Any program", requires = "object")]
    pub coverage: Option<PathBuf>,

    /// What every packet shall return, a name like `XDP_DROP` or a number; if one does not, the exit code is 1.
    #[arg(long, value_name = "VALUE", help_heading = "Any program", requires = "object", allow_hyphen_values = true)]
    pub expect: Option<String>,
}

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
        replay::check(&config, self.flows)?;
        Ok(config)
    }
}

const FLOWS_HELP: &str = "Size of the flow table, 4096 to 67108864. Beyond it flows are evicted, and kernel and reference, which evict \
                          otherwise, stop being compared";

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// A report for people.
    Text,
    /// One document.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  treeline replay capture.pcap
  treeline replay --hook all --tree all capture.pcap
  treeline replay --engine native,vm --hook xdp *.pcap.gz
  treeline replay --engine native,kernel@5.10,kernel@6.1,kernel@7.x capture.pcap
  treeline replay --format jsonl --engine native capture.pcapng | jq 'select(.verdict == \"malicious\") | .index'
  treeline replay --object filter.bpf.o --program xdp_filter --set PORT=22 --expect XDP_DROP scan.pcap
  zstd -dc big.pcap.zst | treeline replay --engine native --limit 1000000 -

Exit codes: 0 all engines agree, 1 they do not or an expectation fails, 2 bad usage or input (a damaged capture is replayed up to the damage).";

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
                None => return Err("not an engine; there are native, vm, kernel, kernel@LINE, reference, all".to_owned()),
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

/// Hooks to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// Express data path, ingress.
    Xdp,
    /// Traffic control, ingress and egress.
    Tc,
    /// A raw socket's filter.
    Socket,
    /// Each of them.
    All,
}

/// Trees to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trees {
    /// As data that they walk.
    Walk,
    /// As instructions, linked into them.
    Compiled,
    /// Both.
    All,
}

impl Replay {
    /// The hooks asked for, each once.
    pub fn hooks(&self) -> Vec<Hook> {
        let all = [Hook::Tc, Hook::Xdp, Hook::Socket];
        distinct_of(&self.hook, Hook::Tc, |hooks| match hooks {
            Hooks::Xdp => vec![Hook::Xdp],
            Hooks::Tc => vec![Hook::Tc],
            Hooks::Socket => vec![Hook::Socket],
            Hooks::All => all.to_vec(),
        })
    }

    /// The trees asked for, each once.
    pub fn trees(&self) -> Vec<Tree> {
        distinct_of(&self.tree, Tree::Compiled, |trees| match trees {
            Trees::Walk => vec![Tree::Walk],
            Trees::Compiled => vec![Tree::Compiled],
            Trees::All => vec![Tree::Compiled, Tree::Walk],
        })
    }
}

/// What the values name, in their order, each once.
fn distinct_of<V: Copy, T: PartialEq>(values: &[V], default: T, named: impl Fn(V) -> Vec<T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values.iter().flat_map(|value| named(*value)) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    if found.is_empty() { vec![default] } else { found }
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
pub enum Format {
    /// A report for people.
    Text,
    /// A summary.
    Json,
    /// A record a packet.
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Pass every packet.
    Detect,
    /// Drop malicious packets (not on the socket hook, which sees copies).
    Enforce,
}

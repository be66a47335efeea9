//! The options of `treeline run`, and what they make together.

use std::path::PathBuf;

use clap::Args;
use treeline_lab::kernel::Features;
use treeline_sim::engine::Hook;

use super::engine::Engine;
use super::interface::Direction;
use super::setup::Setup;
use super::sink::Target;
use super::{exporter, folder, instance, link};
use crate::options::{self, FlowTable, Mode, Tree, nanoseconds};

/// Where pins go unless another folder is named.
const PINS: &str = "/sys/fs/bpf/treeline";
/// Where metrics listen unless told otherwise.
const METRICS: &str = "127.0.0.1:9464";

/// Bytes of Ethernet's usual packets, which one buffer holds.
const MTU: u32 = 1500;

/// Run a model on interfaces: alerts, metrics, enforcement.
///
/// Attaches a program to each interface (one flow table for all of them), runs until SIGINT or SIGTERM, detaches and prints a summary. SIGHUP opens
/// the file of alerts again. If the process dies, the kernel detaches the program, unless it is pinned; traffic goes on in any case.
/// With --engine user-recv or user-ring nothing is attached: this process classifies copies, to compare with, and cannot drop.
/// docs/live.md says what is promised when things go wrong.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Run {
    /// The interface; give it again for more.
    #[arg(short, long = "iface", required = true, value_name = "NAME")]
    pub interfaces: Vec<String>,

    /// Where in the kernel: tc sees both directions, xdp is the fastest and sees what comes in, socket sees copies. [default: tc]
    #[arg(long, value_enum)]
    pub hook: Option<options::Hook>,

    /// Who classifies: a program in the kernel, or this process over copies from a raw socket (--hook socket), to compare with.
    #[arg(long, value_enum, default_value = "kernel")]
    pub engine: Engine,

    /// The model, a JSON file. Default: the built-in one.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// How the programs hold the tree; in user space it is always walked.
    #[arg(long, value_enum, default_value = "compiled")]
    pub tree: Tree,

    /// What becomes of malicious packets.
    #[arg(long, value_enum, default_value = "detect")]
    pub mode: Mode,

    /// Endpoints whose packets pass unclassified, one per line: `198.18.0.0/24`, `2001:db8::/32`, `198.18.0.7 tcp/22 udp/53`.
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,

    /// Which packets. Default: both, and ingress at xdp, which sees no others.
    #[arg(long, value_enum)]
    pub direction: Option<Direction>,

    /// Pin links, maps and so the flows below DIR, so that they outlive the process; a restart adopts them, treeline detach removes them.
    /// [default DIR: /sys/fs/bpf/treeline]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = PINS)]
    pub pin: Option<PathBuf>,

    /// Where alerts go, one JSON document a line: a FILE, - for standard output, unix:PATH for a socket. Default: -, and nowhere with --summary.
    #[arg(long, value_name = "TARGET")]
    pub alerts: Option<Target>,

    /// A flow raises another alert after this many seconds at the earliest; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub alert_interval: f64,

    /// Bytes of the buffer between kernel and process for alerts (about 200 each): a power of two.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = ring_bytes)]
    pub ring: u32,

    /// Show a table that is redrawn each second, or a line each 10 s where standard output is no terminal.
    #[arg(long)]
    pub summary: bool,

    /// Serve metrics for Prometheus: at 9464 (a port of the loopback device), :9464 (all addresses), localhost:9464.
    /// [default ADDR: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = METRICS)]
    pub metrics: Option<exporter::Place>,

    /// Have the kernel measure the programs' run time (needs `CAP_SYS_ADMIN`; costs two readings of the clock a packet, in all BPF programs).
    #[arg(long)]
    pub stats: bool,

    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,

    /// The summary at the end: text for people, json for machines.
    #[arg(long, value_enum, default_value = "text")]
    pub format: options::Format,

    #[command(flatten)]
    pub table: FlowTable,

    /// Attach to tc by clsact even where tcx is there.
    #[arg(long, hide_short_help = true)]
    pub clsact: bool,

    /// Take the place of clsact filters that a killed instance left on the interfaces: they are removed once the new program is attached.
    #[arg(long, hide_short_help = true)]
    pub replace: bool,

    /// The folder of lock files and control sockets.
    #[arg(long, value_name = "DIR", default_value = instance::FOLDER, hide_short_help = true)]
    pub state: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  treeline run --iface eth0                                                 the built-in model, alerts to standard output
  treeline run --iface eth0 --model model.json --summary --metrics          watch it, and scrape it
  treeline run --iface eth0 --iface eth1 --hook xdp --mode enforce --allow allow.txt --model model.json --alerts /var/log/treeline.json
  treeline run --iface eth0 --pin --alerts unix:/run/eve.sock
  treeline run --iface eth0 | jq -c '[.src_ip, .dest_ip, .treeline.class]'
  treeline status; treeline flows; treeline swap better.json; treeline detach

Rights: root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (tc, xdp) or CAP_NET_RAW (socket); in user space CAP_NET_RAW alone.
Exit codes: 0 ended as asked, 1 no interface is left, 2 bad usage or input, or it could not start.";

fn ring_bytes(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err("a power of two, at least 4096".to_owned()),
    }
}

impl Run {
    /// Where packets are seen: with a user-space engine, at a socket.
    pub fn hook(&self) -> Result<Hook, String> {
        match (self.engine, self.hook) {
            (Engine::Kernel, hook) => Ok(hook.unwrap_or(options::Hook::Tc).into()),
            (_, None | Some(options::Hook::Socket)) => Ok(Hook::Socket),
            (engine, Some(_)) => {
                let engine = engine.name();
                Err(format!("--engine {engine} has packets from a raw socket; leave --hook out, or use --engine kernel"))
            }
        }
    }

    /// Refuses what only programs in the kernel can do.
    fn check_engine(&self) -> Result<(), String> {
        let engine = self.engine.name();
        if self.engine == Engine::Kernel {
            return Ok(());
        }
        if self.mode == Mode::Enforce {
            return Err(format!(
                "--mode enforce --engine {engine}: it classifies copies, and dropping a copy stops nothing; use --engine kernel with --hook tc or xdp"
            ));
        }
        for (given, option, why) in [
            (self.pin.is_some(), "--pin", "there is nothing that could outlive the process"),
            (self.stats, "--stats", "the kernel measures programs, and there is none"),
            (self.clsact, "--clsact", "nothing is attached"),
        ] {
            if given {
                return Err(format!("{option} --engine {engine}: {why}; leave {option} out, or use --engine kernel"));
            }
        }
        Ok(())
    }

    /// What is asked for, or why it cannot be.
    pub fn setup(&self, hook: Hook) -> Result<Setup, String> {
        self.check_engine()?;
        let enforce = self.mode == Mode::Enforce;
        if enforce && hook == Hook::Socket {
            return Err("--mode enforce --hook socket: a raw socket's filter only drops its own copy; use --hook tc or xdp".to_owned());
        }
        let direction = match (hook, self.direction) {
            (Hook::Xdp, None | Some(Direction::Ingress)) => Direction::Ingress,
            (Hook::Xdp, Some(_)) => return Err("--hook xdp sees only what comes in; use --hook tc for the other direction".to_owned()),
            (Hook::Socket, Some(Direction::Egress)) => return Err("--hook socket cannot see egress alone; use --hook tc".to_owned()),
            (_, direction) => direction.unwrap_or(Direction::Both),
        };
        if self.pin.is_some() && hook == Hook::Socket {
            return Err("--pin --hook socket: a raw socket closes with its process; use --hook tc or xdp".to_owned());
        }
        if self.pin.is_some() && self.clsact {
            return Err("--pin --clsact: clsact has no links to pin; leave one of them out".to_owned());
        }
        let interval_ns = nanoseconds("--alert-interval", self.alert_interval)?;
        let table = self.table.config()?;
        Ok(Setup {
            enforce,
            compiled: self.tree == Tree::Compiled && self.engine == Engine::Kernel,
            direction: direction.name().to_owned(),
            flows_max: self.table.flows,
            idle_timeout_ns: table.idle_timeout_ns,
            active_timeout_ns: table.active_timeout_ns,
            alert_interval_ns: if interval_ns == 0 { u64::MAX } else { interval_ns },
            allow: self.allow.is_some(),
            ring_bytes: self.ring,
            fragments: self.has_fragments(hook),
        })
    }

    /// Whether packets may come in several buffers at the hook: where one is longer than Ethernet's usual, and the kernel can (5.18). An interface
    /// that is not there is a matter of attaching.
    fn has_fragments(&self, hook: Hook) -> bool {
        let is_long = |interface: &String| link::mtu(interface).is_ok_and(|mtu| mtu > MTU);
        hook == Hook::Xdp && self.interfaces.iter().any(is_long) && Features::probe().fragments
    }

    /// The instance's folder of pins, absolute, if pins are asked for.
    pub fn pin_folder(&self, hook: Hook) -> Result<Option<PathBuf>, String> {
        let Some(folder) = &self.pin else { return Ok(None) };
        let folder = std::path::absolute(folder).map_err(|error| format!("--pin {}: {error}", folder.display()))?;
        Ok(Some(folder.join(folder::escaped(&format!("{}-{}", self.interfaces.join("+"), hook.name())))))
    }

    /// Where alerts go.
    pub fn target(&self) -> Option<Target> {
        self.alerts.clone().or_else(|| (!self.summary).then_some(Target::Stdout))
    }
}

//! An alternative is one way to start `treeline run` on the receiver's interface; its last JSON document says what it inspected.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use super::lab::Lab;

/// Nothing starts or ends more slowly.
const PATIENCE: Duration = Duration::from_secs(20);

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative {
    /// For machines.
    pub key: &'static str,
    /// For people.
    pub name: &'static str,
    /// The options of `treeline run`; none: nothing inspects.
    pub options: Option<&'static [&'static str]>,
}

const fn kernel(key: &'static str, name: &'static str, options: &'static [&'static str]) -> Alternative {
    Alternative { key, name, options: Some(options) }
}

/// The reference of all ratios.
pub const NONE: Alternative = Alternative { key: "none", name: "no IDS", options: None };
/// The user-space program of the paper: a `recv` a packet.
pub const USER_RECV: Alternative = kernel("user-recv", "user space, recv", &["--engine", "user-recv", "--direction", "ingress"]);
/// A user-space program with a mapped ring.
pub const USER_RING: Alternative = kernel("user-ring", "user space, ring", &["--engine", "user-ring", "--direction", "ingress"]);
/// Traffic control, compiled.
pub const TC: Alternative = kernel("tc-compiled", "TC, compiled", &["--hook", "tc", "--direction", "ingress", "--tree", "compiled"]);
/// XDP, compiled.
pub const XDP: Alternative = kernel("xdp-compiled", "XDP, compiled", &["--hook", "xdp", "--tree", "compiled"]);

/// All of them, in the table's order.
pub const ALL: [Alternative; 9] = [
    NONE,
    USER_RECV,
    USER_RING,
    kernel("socket-walk", "eBPF socket, walk", &["--hook", "socket", "--direction", "ingress", "--tree", "walk"]),
    kernel("socket-compiled", "eBPF socket, compiled", &["--hook", "socket", "--direction", "ingress", "--tree", "compiled"]),
    kernel("tc-walk", "TC, walk", &["--hook", "tc", "--direction", "ingress", "--tree", "walk"]),
    TC,
    kernel("xdp-walk", "XDP, walk", &["--hook", "xdp", "--tree", "walk"]),
    XDP,
];

/// A running alternative. Dropping it kills it.
pub struct Running {
    child: Option<Child>,
}

/// Why nothing runs.
pub enum Refusal {
    /// This alternative is not to be had here, and why.
    NotAvailable(String),
    /// All must end.
    Failed(String),
}

impl Alternative {
    /// Starts it on `interface` of h1, on one CPU if so asked; returns once it is attached.
    pub fn start(&self, lab: &Lab, interface: &str, cpu: Option<usize>, files: &Files) -> Result<Running, Refusal> {
        let Some(options) = self.options else { return Ok(Running { child: None }) };
        let own = std::env::current_exe().map_err(|error| Refusal::Failed(format!("no path of this program: {error}")))?;
        let mut command = lab.command("h1", cpu, &own.to_string_lossy());
        command.args(["run", "--iface", interface, "--format", "json", "--alerts", "/dev/null", "--model"]).arg(&files.model);
        command.arg("--state").arg(&files.state).args(options);
        let child = command.spawn().map_err(|error| Refusal::Failed(format!("nsenter: {error}")))?;
        let mut running = Running { child: Some(child) };
        running.attached(lab)?;
        Ok(running)
    }
}

/// What children are given.
pub struct Files {
    /// The model.
    pub model: PathBuf,
    /// The folder of lock files.
    pub state: PathBuf,
}

impl Running {
    /// Reads what the child says until it says that it runs.
    fn attached(&mut self, lab: &Lab) -> Result<(), Refusal> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let Some(mut errors) = child.stderr.take() else { return Err(Refusal::Failed("no standard error".to_owned())) };
        // The child writes few lines and each at once; a thread outlives a pipe that stays open.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut bytes) {
                // Nobody reads on once it runs, but the pipe is still emptied.
                let _ = sender.send(bytes[..count].to_vec());
            }
        });
        let mut said = Vec::new();
        let outcome = lab.wait(PATIENCE, "treeline runs", || {
            said.extend(receiver.try_iter().flatten());
            if String::from_utf8_lossy(&said).contains("treeline: detect on") {
                return Ok(Some(None));
            }
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            Ok(ended.map(|status: ExitStatus| Some(status)))
        });
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                said.extend(receiver.iter().flatten());
                let said = String::from_utf8_lossy(&said).into_owned();
                let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                Err(Refusal::NotAvailable(format!("{} ({status})", line.trim_start_matches("treeline: ").trim_start_matches("error: "))))
            }
            Err(error) => Err(Refusal::Failed(error)),
        }
    }

    /// Ends it; the packets that it has seen, none if nothing ran.
    pub fn stop(mut self, lab: &Lab) -> Result<Option<u64>, String> {
        let Some(child) = &mut self.child else { return Ok(None) };
        // SAFETY: a child of ours that has not been waited for.
        unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        lab.wait(PATIENCE, "treeline ends", || child.try_wait().map_err(|error| error.to_string()))?;
        let mut text = String::new();
        stdout.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let summary: Value = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let packets = summary["packets"].as_u64();
        packets.map(Some).ok_or_else(|| format!("treeline run ended without a summary that has packets: {text}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Errors say that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

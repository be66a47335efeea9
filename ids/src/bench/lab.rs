//! The paper's laboratory: hosts h0 and h1 on a switch, in network namespaces of this process, removed at the end however it comes.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Address of the sender.
pub const SENDER: &str = "198.18.0.1";
/// Address of the receiver, where the alternatives inspect.
pub const RECEIVER: &str = "198.18.0.2";
/// The receiver's interface.
pub const RECEIVING: &str = "h1";
/// The sender's interface on a wire past the switch, for the generator, and the receiver's.
pub const WIRE: [&str; 2] = ["g0", "g1"];
/// A step of a wait.
const STEP: Duration = Duration::from_millis(10);

/// The namespaces. Dropping it removes them, and with them all interfaces.
pub struct Lab {
    tag: String,
    interrupted: Arc<AtomicBool>,
}

impl Lab {
    /// Builds it: h0 - switch - h1, and a wire g0 - g1 between the hosts.
    pub fn new() -> Result<Self, String> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| format!("signal {signal}: {error}"))?;
        }
        let lab = Self { tag: format!("treeline-{}", std::process::id()), interrupted };
        for namespace in ["h0", "s", "h1"] {
            ip(&format!("netns add {}", lab.name(namespace)))?;
        }
        let [h0, switch, h1] = ["h0", "s", "h1"].map(|namespace| lab.name(namespace));
        ip(&format!("-n {switch} link add switch type bridge"))?;
        ip(&format!("-n {switch} link set switch addrgenmode none"))?;
        ip(&format!("-n {switch} link set switch up"))?;
        for (host, interface, port, address) in [(&h0, "h0", "p0", SENDER), (&h1, RECEIVING, "p1", RECEIVER)] {
            ip(&format!("link add {interface} netns {host} type veth peer name {port} netns {switch}"))?;
            for (namespace, end) in [(host, interface), (&switch, port)] {
                ip(&format!("-n {namespace} link set {end} addrgenmode none"))?;
                ip(&format!("-n {namespace} link set {end} up"))?;
            }
            ip(&format!("-n {switch} link set {port} master switch"))?;
            ip(&format!("-n {host} addr add {address}/24 dev {interface}"))?;
        }
        let [out, into] = WIRE;
        ip(&format!("link add {out} netns {h0} type veth peer name {into} netns {h1}"))?;
        for (host, end) in [(&h0, out), (&h1, into)] {
            ip(&format!("-n {host} link set {end} addrgenmode none"))?;
            ip(&format!("-n {host} link set {end} up"))?;
        }
        // The kernel gives a veth without XDP a queue for live frames only if it is to gather segments.
        output(lab.command("h1", None, "ethtool").args(["-K", into, "gro", "on"]))?;
        lab.thread_receiving()?;
        Ok(lab)
    }

    /// Gives the wire's reception a kernel thread of its own: else the kernel receives on the generator's CPU, within its sending.
    fn thread_receiving(&self) -> Result<(), String> {
        let file = format!("/sys/class/net/{}/threaded", WIRE[1]);
        // `ip netns exec` and not `nsenter`: it also shows the namespace's own /sys.
        output(Command::new("ip").args(["netns", "exec", &self.name("h1"), "sh", "-c", &format!("echo 1 > {file}")])).map(|_| ())
    }

    /// The full name of a namespace.
    fn name(&self, namespace: &str) -> String {
        format!("{}-{namespace}", self.tag)
    }

    /// Where the namespace `h0` or `h1` is found.
    pub fn path(&self, host: &str) -> String {
        format!("/run/netns/{}", self.name(host))
    }

    /// A program in a host's namespace, on one CPU if so asked; without input, its outputs read.
    pub fn command(&self, host: &str, cpu: Option<usize>, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(host)));
        if let Some(cpu) = cpu {
            command.args(["taskset", "-c", &cpu.to_string()]);
        }
        command.arg(program).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Switches segmentation offload of every interface on the way.
    pub fn offload(&self, on: bool) -> Result<(), String> {
        let state = if on { "on" } else { "off" };
        for (host, interface) in [("h0", "h0"), ("s", "p0"), ("s", "p1"), ("h1", RECEIVING)] {
            let mut command = self.command(host, None, "ethtool");
            output(command.args(["-K", interface, "tso", state, "gso", state, "gro", state]))?;
        }
        Ok(())
    }

    /// Packets that the receiver's interface has received.
    pub fn received(&self, interface: &str) -> Result<u64, String> {
        let text = ip(&format!("-n {} -j -s link show {interface}", self.name("h1")))?;
        let links: Value = serde_json::from_str(&text).map_err(|error| format!("ip -j: {error}"))?;
        links[0]["stats64"]["rx"]["packets"].as_u64().ok_or_else(|| "ip -j gives no packets received".to_owned())
    }

    /// Runs `act` on a thread of its own in a host's namespace, on one CPU.
    pub fn within<T: Send>(&self, host: &str, cpu: usize, act: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        let path = self.path(host);
        let file = File::open(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
        let work = move || {
            // SAFETY: moves this thread alone, which ends after `act`.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(format!("{path}: {}", std::io::Error::last_os_error()));
            }
            pin(0, cpu)?;
            act()
        };
        thread::scope(|scope| scope.spawn(work).join().map_err(|_| "the thread panicked".to_owned())?)
    }

    /// Waits until `is_there` gives something, at most so long. An error once a signal asks for the end.
    pub fn wait<T>(&self, time_max: Duration, what: &str, mut is_there: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
        let deadline = Instant::now() + time_max;
        loop {
            self.check()?;
            if let Some(found) = is_there()? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(format!("in {time_max:?} it did not come about that {what}"));
            }
            thread::sleep(STEP);
        }
    }

    /// An error once a signal has asked for the end.
    pub fn check(&self) -> Result<(), String> {
        if self.interrupted.load(Relaxed) { Err("interrupted; the namespaces are removed".to_owned()) } else { Ok(()) }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in ["h0", "h1", "s"] {
            // What was never made cannot be removed, and nobody is left to be told.
            let _ = ip(&format!("netns del {}", self.name(namespace)));
        }
    }
}

/// Receives the wire's packets on one CPU.
pub fn receive_on(cpu: usize) -> Result<(), String> {
    let named = format!("napi/{}-", WIRE[1]);
    let mut is_there = false;
    for entry in fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?.flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let (true, Ok(thread)) = (name.starts_with(&named), entry.file_name().to_string_lossy().parse()) {
            pin(thread, cpu)?;
            is_there = true;
        }
    }
    if is_there { Ok(()) } else { Err(format!("no kernel thread {named}*, which receives for {}: it wants Linux 5.12", WIRE[1])) }
}

/// Keeps a thread on one CPU; 0 is the calling thread.
fn pin(thread: libc::pid_t, cpu: usize) -> Result<(), String> {
    // SAFETY: a set of bits, for which zeros are valid.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set) != 0
    };
    if failed { Err(format!("CPU {cpu}: {}", std::io::Error::last_os_error())) } else { Ok(()) }
}

fn ip(arguments: &str) -> Result<String, String> {
    output(Command::new("ip").args(arguments.split(' ')))
}

/// What a command prints; an error with what it says if it fails.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let (program, errors) = (command.get_program().display(), String::from_utf8_lossy(&output.stderr));
    Err(format!("{program} {}: {}", arguments.join(" "), errors.trim()))
}

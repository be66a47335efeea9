//! The machine: what it is, what its CPUs have done, and which programs it lacks.

use std::env;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Programs that the table needs, and their packages in Debian.
const TOOLS: [(&str, &str); 5] =
    [("iperf3", "iperf3"), ("ethtool", "ethtool"), ("ip", "iproute2"), ("nsenter", "util-linux"), ("taskset", "util-linux")];

/// Names what is missing and its package.
pub fn check() -> Result<(), String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> =
        TOOLS.into_iter().filter(|(tool, _)| !env::split_paths(&path).any(|folder| folder.join(tool).is_file())).collect();
    if !missing.is_empty() {
        let named = |of: fn(&(&'static str, &'static str)) -> &'static str| missing.iter().map(of).collect::<Vec<_>>().join(" ");
        return Err(format!("it needs {}, not found in PATH: apt-get install {}", named(|(tool, _)| tool), named(|(_, package)| package)));
    }
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        return Err("it needs root, to make network namespaces".to_owned());
    }
    Ok(())
}

/// CPU seconds that all CPUs have spent on anything, since the start of the machine.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn busy_seconds() -> Result<f64, String> {
    let text = fs::read_to_string("/proc/stat").map_err(|error| format!("/proc/stat: {error}"))?;
    let numbers: Vec<u64> = text.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; the guests' are in user.
    let [user, nice, system, _, _, irq, softirq, ..] = numbers[..] else { return Err("/proc/stat: no line of all processors".to_owned()) };
    // SAFETY: no pointers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok((user + nice + system + irq + softirq) as f64 / ticks.max(1) as f64)
}

/// The share of its CPUs that the machine spends already, over half a second.
#[expect(clippy::cast_precision_loss, reason = "few processors")]
pub fn load() -> Result<f64, String> {
    let (start, before) = (Instant::now(), busy_seconds()?);
    thread::sleep(Duration::from_millis(500));
    Ok((busy_seconds()? - before) / start.elapsed().as_secs_f64() / online() as f64)
}

/// How many CPUs this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many there are.
fn online() -> libc::c_long {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1)
}

/// Kernel, CPU, how many.
pub fn describe() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, name)| name);
    json!({ "kernel": read("/proc/sys/kernel/osrelease").trim(), "processor": model, "processors": online(), "processors_used": processors() })
}

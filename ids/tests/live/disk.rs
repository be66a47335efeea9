//! Alerts into what takes no more of them: a full disk, a file as large as it may be. Where a line was cut short, the next one is not glued to it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bad_day::probe;
use crate::instance::Instance;
use crate::lab::{BAD, IN, Lab, Result, equal, eventually, holds, output, raw, text};

/// Mounts a disk of 64 KiB at the first argument, half of it taken, and runs the others.
const DISK: &str = r#"mount -t tmpfs -o size=64k,nr_inodes=20 tmpfs "$1" && head -c 32768 /dev/zero > "$1/ballast" || exit 1; shift; "#;

/// A file of alerts on a disk that is full for a while, opened again meanwhile.
pub fn file(lab: &Lab) -> Result {
    full(lab, "eve.json", r#"exec "$@""#, "disk/eve.json")
}

/// The same by standard output; standard error has no room there either.
pub fn stdout(lab: &Lab) -> Result {
    full(lab, "out", r#"exec "$@" >> "$DISK/out" 2>> "$DISK/err""#, "-")
}

fn full(lab: &Lab, name: &str, start: &str, target: &str) -> Result {
    let disk = lab.path("disk");
    fs::create_dir(&disk)?;
    let model = lab.model()?;
    let mut command = lab.within("unshare");
    command.args(["--mount", "sh", "-c", &[DISK, start].concat(), "sh"]).arg(&disk).arg(env!("CARGO_BIN_EXE_treeline"));
    command.args(["run", "--iface", IN, "--hook", "xdp", "--model", text(&model), "--alerts", target]);
    command.arg("--state").arg(lab.path("state")).env("DISK", &disk).current_dir(lab.folder.path());
    let instance = Instance::spawn(command)?;
    eventually("it runs", || Ok(lab.status().is_ok()))?;
    let seen = Path::new("/proc").join(instance.child.id().to_string()).join("root").join(disk.strip_prefix("/")?);
    alternate(lab, &instance, &seen.join(name), || Ok(fs::remove_file(seen.join("ballast"))?))?;
    equal("exit code", instance.stop()?.code, Some(0))
}

/// A file that may not grow beyond a limit, and later may.
pub fn limit(lab: &Lab) -> Result {
    let model = lab.model()?;
    let mut command = lab.within("prlimit");
    command.args(["--fsize=20000:unlimited", env!("CARGO_BIN_EXE_treeline")]);
    command.args(["run", "--iface", IN, "--hook", "xdp", "--model", text(&model), "--alerts", text(&lab.alerts())]);
    command.arg("--state").arg(lab.path("state"));
    let instance = Instance::start(command)?;
    let pid = instance.child.id().to_string();
    let room = || output(Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid])).map(|_| ());
    alternate(lab, &instance, &lab.alerts(), room)?;
    equal("exit code", instance.stop()?.code, Some(0))
}

/// Alerts until there is no room, then with the file opened again, then with room again.
fn alternate(lab: &Lab, instance: &Instance, path: &Path, room: impl Fn() -> Result) -> Result {
    let send = raw(lab, c"v0")?;
    let mut total = 0_u32;
    let mut alerts = |count: u32| -> Result<[u64; 2]> {
        for index in total..total + count {
            send(&probe(index, BAD))?;
        }
        total += count;
        let counts = || -> Result<[u64; 2]> {
            let status = lab.status()?;
            Ok(["written", "lost_output"].map(|field| status["alerts"][field].as_u64().unwrap_or(0)))
        };
        eventually("each alert is written or lost", || Ok(counts()?.iter().sum::<u64>() == u64::from(total)))?;
        counts()
    };
    let [_, lost] = alerts(200)?;
    holds("there is no room", lost > 0, &lost)?;
    instance.signal(libc::SIGHUP);
    let [written_before, lost] = alerts(20)?;
    room()?;
    let [written, lost_in_the_end] = alerts(10)?;
    equal("all are written where there is room", (written - written_before, lost_in_the_end - lost), (10, 0))?;
    let text = fs::read_to_string(path)?;
    let whole = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|alert| alert["event_type"] == "alert");
    let (whole, broken): (Vec<_>, Vec<_>) = text.lines().partition(whole);
    equal("whole lines", whole.len() as u64, written)?;
    holds("a line is broken, and each broken one is one alert's start", !broken.is_empty() && broken.len() as u64 <= lost, &broken)?;
    holds("alone on its line", broken.iter().all(|line| line.matches("\"timestamp\"").count() <= 1 && !line.is_empty()), &broken)?;
    holds("the file ends with a line's end", text.ends_with('\n'), &text.len())
}

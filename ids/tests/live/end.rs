//! How a run begins and ends.

use std::fs;
use std::process::{Command, Stdio};

use crate::instance::Instance;
use crate::lab::{BAD, GOOD, IN, Lab, Result, equal, eventually, holds, received, text, there};

pub fn second(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook])?;
    let output = lab.treeline(&["run", "--iface", IN, "--hook", hook, "--model", text(&lab.model()?)])?;
    equal("exit code", output.status.code(), Some(2))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let pid = instance.child.id();
    holds("it names the process and the hook", said.contains(&format!("{IN} at hook {hook}: process {pid}")), &said)?;
    equal("the first goes on", lab.status()?["pid"].as_u64(), Some(pid.into()))?;
    equal("exit code of the first", instance.stop()?.code, Some(0))
}

pub fn sigterm(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook])?;
    let expected: &[&str] = match hook {
        "tc" => &["tcx ingress", "tcx egress"],
        "xdp" => &["xdp"],
        _ => &[],
    };
    equal("attached while it runs", lab.attached()?, expected.iter().map(|&name| name.to_owned()).collect())?;
    equal("exit code", instance.stop()?.code, Some(0))?;
    equal("attached afterwards", lab.attached()?, vec![])?;
    equal("files left", fs::read_dir(lab.path("state"))?.count(), 0)?;
    lab.run(&["--hook", hook])?.stop().map(|_| ())
}

/// The self-test's canary: `otherwise.c` between the command and the kernel.
pub fn otherwise(lab: &Lab, hook: &str) -> Result {
    let library = lab.path("otherwise.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/otherwise.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", text(&library), source, "-ldl"]).output()?;
    holds("the C compiler, which Rust links by, builds it", built.status.success(), &built)?;
    let mut command = lab.command(&["run", "--iface", IN, "--hook", hook, "--model", text(&lab.model()?), "--duration", "1"]);
    let output = command.env("LD_PRELOAD", &library).output()?;
    equal("exit code", output.status.code(), Some(2))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = said.contains("self-test: the program in the kernel differs from the native engine on known packet 0: it returned");
    holds("it says in what the program differs", expected, &said)?;
    equal("attached", lab.attached()?, vec![])?;
    equal("files left", fs::read_dir(lab.path("state")).map_or(0, Iterator::count), 0)
}

pub fn clsact(lab: &Lab) -> Result {
    let instance = lab.run(&["--clsact"])?;
    equal("attached while it runs", lab.attached()?, vec!["clsact ingress".to_owned(), "clsact egress".to_owned()])?;
    let status = lab.treeline(&["status"])?;
    equal("what status warns of", String::from_utf8_lossy(&status.stderr).into_owned(), String::new())?;
    let output = lab.treeline(&["swap", text(&lab.constant(0)?)])?;
    holds("the swap succeeds", output.status.success(), &output)?;
    equal("attached after a swap", lab.attached()?, vec!["clsact ingress".to_owned(), "clsact egress".to_owned()])?;
    equal("exit code", instance.stop()?.code, Some(0))?;
    equal("attached afterwards", lab.attached()?, vec![])
}

/// Killed under enforce, clsact's filters go on dropping: each command reports them, and they can be replaced and removed.
pub fn orphans(lab: &Lab) -> Result {
    let start = ["--clsact", "--mode", "enforce", "--direction", "ingress"];
    lab.run(&start)?.kill()?;
    equal("attached after the kill", lab.attached()?, vec!["clsact ingress".to_owned()])?;
    let receiver = Lab::udp(&lab.there, BAD)?;
    let sender = Lab::udp(&lab.here, 0)?;
    sender.send_to(b"x", there(BAD))?;
    equal("what arrived past the orphan", received(&receiver).len(), 0)?;
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let status = lab.treeline(&["status"])?;
    let expected = format!("treeline_tc on {IN} (clsact ingress, program ");
    holds("status reports it", said(&status).contains(&expected) && said(&status).contains("no instance"), &status)?;
    let model = lab.model()?;
    let refused = lab.treeline(&["run", "--iface", IN, "--model", text(&model)])?;
    equal("exit code beside it", refused.status.code(), Some(2))?;
    holds("the refusal names it and the remedy", said(&refused).contains(&expected) && said(&refused).contains("--replace"), &refused)?;
    equal("attached after the refusal", lab.attached()?, vec!["clsact ingress".to_owned()])?;
    let instance = lab.run(&["--direction", "ingress", "--replace"])?;
    equal("attached after it was replaced", lab.attached()?, vec!["tcx ingress".to_owned()])?;
    sender.send_to(b"x", there(BAD))?;
    equal("what arrives", received(&receiver).len(), 1)?;
    equal("exit code", instance.stop()?.code, Some(0))?;
    lab.run(&start)?.kill()?;
    let detached = lab.treeline(&["detach", "--iface", IN])?;
    holds("detach removes it", detached.status.success() && lab.attached()?.is_empty(), &detached)?;
    equal("nothing is left to detach", lab.treeline(&["detach", "--iface", IN])?.status.code(), Some(2))
}

/// The terminal is one that `script` makes; killing that closes it.
pub fn terminal(lab: &Lab) -> Result {
    let mut window = in_terminal(lab, "")?;
    let pid = running(lab)?;
    fs::rename(lab.alerts(), lab.path("rotated"))?;
    signal(pid, libc::SIGHUP);
    eventually("another SIGHUP opens the file again", || Ok(lab.alerts().exists()))?;
    equal("it goes on", lab.status()?["pid"].as_u64(), Some(pid))?;
    window.kill()?;
    window.wait()?;
    eventually("the closed terminal detaches it", || Ok(lab.attached()?.is_empty()))?;
    eventually("no file is left", || Ok(fs::read_dir(lab.path("state"))?.count() == 0))
}

pub fn nohup(lab: &Lab) -> Result {
    let mut window = in_terminal(lab, "nohup ")?;
    let pid = running(lab)?;
    window.kill()?;
    window.wait()?;
    fs::rename(lab.alerts(), lab.path("rotated"))?;
    signal(pid, libc::SIGHUP);
    eventually("SIGHUP opens the file again", || Ok(lab.alerts().exists()))?;
    equal("it goes on", lab.status()?["pid"].as_u64(), Some(pid))?;
    signal(pid, libc::SIGTERM);
    eventually("SIGTERM detaches it", || Ok(lab.attached()?.is_empty()))
}

/// `treeline run` in a terminal of its own, after `before`.
fn in_terminal(lab: &Lab, before: &str) -> Result<std::process::Child> {
    let command = lab.command(&["run", "--iface", IN, "--model", text(&lab.model()?), "--alerts", text(&lab.alerts())]);
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    let mut script = Command::new("script");
    script.args(["-q", "-c", &format!("exec {before}{}", words.join(" ")), "/dev/null"]);
    script.current_dir(lab.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(script.spawn()?)
}

/// Waits until it runs; its process.
fn running(lab: &Lab) -> Result<u64> {
    eventually("it runs", || Ok(lab.status().is_ok()))?;
    Ok(lab.status()?["pid"].as_u64().ok_or("no pid")?)
}

fn signal(pid: u64, signal: i32) {
    // SAFETY: no pointers.
    unsafe { libc::kill(pid as i32, signal) };
}

pub fn killed(lab: &Lab, hook: &str) -> Result {
    lab.run(&["--hook", hook])?.kill()?;
    eventually("nothing is attached", || Ok(lab.attached()?.is_empty()))?;
    let output = lab.treeline(&["status"])?;
    holds("nothing is left to ask", String::from_utf8_lossy(&output.stderr).contains("no instance"), &output)?;
    equal("exit code of the next run", lab.run(&["--hook", hook])?.stop()?.code, Some(0))
}

/// The loopback device has no native XDP.
pub fn generic(lab: &Lab) -> Result {
    crate::lab::ip(&format!("-n {} link set lo up", lab.there))?;
    let instance = lab.run(&["--iface", "lo", "--hook", "xdp"])?;
    let said = instance.errors();
    holds("it says so", said.contains("lo: no native XDP") && said.contains("lo (generic xdp)"), &said)?;
    let receiver = Lab::udp(&lab.there, BAD)?;
    Lab::udp(&lab.there, 0)?.send_to(b"x", ("127.0.0.1", BAD))?;
    equal("what arrived", received(&receiver).len(), 1)?;
    equal("malicious", instance.stop()?.summary["malicious"].as_u64(), Some(1))
}

/// Without `--model`.
pub fn built_in(lab: &Lab) -> Result {
    let instance = Instance::start(lab.command(&["run", "--iface", IN, "--format", "json"]))?;
    let model = lab.status()?["model"].clone();
    equal("the model's source", &model["source"], &"built-in".into())?;
    equal("exit code", instance.stop()?.code, Some(0))
}

/// Longer packets than one buffer holds: native all the same, and counted whole.
pub fn jumbo(lab: &Lab) -> Result {
    for (namespace, name) in [(&lab.here, crate::lab::OUT), (&lab.there, IN)] {
        crate::lab::ip(&format!("-n {namespace} link set {name} mtu 9000"))?;
    }
    let instance = lab.run(&["--hook", "xdp", "--mode", "enforce"])?;
    let said = instance.errors();
    holds("it is native", said.contains(&format!("{IN} (native xdp)")), &said)?;
    let (good, bad) = (Lab::udp(&lab.there, GOOD)?, Lab::udp(&lab.there, BAD)?);
    let sender = Lab::udp(&lab.here, 0)?;
    for port in [GOOD, BAD] {
        sender.send_to(&[0; 8000], there(port))?;
    }
    equal("what arrived, good and bad", (received(&good).len(), received(&bad).len()), (1, 0))?;
    let output = lab.treeline(&["swap", text(&lab.constant(0)?)])?;
    holds("the swap succeeds", output.status.success(), &output)?;
    sender.send_to(&[0; 8000], there(BAD))?;
    equal("what arrives after the swap", received(&bad).len(), 1)?;
    let summary = instance.stop()?.summary;
    // Neighbours' questions are 42 bytes long.
    let bytes = summary["bytes"].as_u64().unwrap_or(0);
    holds("three packets of 8,042 bytes, and few others", (24_126..24_126 + 1000).contains(&bytes), &summary)
}

pub fn duration(lab: &Lab) -> Result {
    let ended = lab.run(&["--duration", "0.5"])?.wait()?;
    equal("exit code", ended.code, Some(0))?;
    equal("packets", ended.summary["packets"].as_u64(), Some(0))?;
    equal("attached afterwards", lab.attached()?, vec![])
}

/// As root without capabilities.
pub fn capabilities(lab: &Lab) -> Result {
    for (hook, last) in [("tc", "CAP_NET_ADMIN"), ("xdp", "CAP_NET_ADMIN"), ("socket", "CAP_NET_RAW")] {
        let mut command = lab.within("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all", env!("CARGO_BIN_EXE_treeline")]);
        command.args(["run", "--iface", IN, "--hook", hook, "--model", text(&lab.model()?)]);
        let output = command.output()?;
        equal("exit code", output.status.code(), Some(2))?;
        let said = String::from_utf8_lossy(&output.stderr);
        holds("each is named", ["CAP_BPF", "CAP_PERFMON", last].iter().all(|name| said.contains(name)), &said)?;
    }
    Ok(())
}

/// As nobody, with what the message names and no more.
pub fn enough(lab: &Lab) -> Result {
    let state = lab.path("state");
    fs::create_dir(&state)?;
    let folder = lab.folder.path();
    for path in [folder, &state] {
        std::os::unix::fs::chown(path, Some(65_534), Some(65_534))?;
    }
    let program = lab.path("treeline");
    fs::copy(env!("CARGO_BIN_EXE_treeline"), &program)?;
    for (option, named, set) in [
        ("--hook", "tc", "-all,+bpf,+perfmon,+net_admin"),
        ("--hook", "xdp", "-all,+bpf,+perfmon,+net_admin"),
        ("--hook", "socket", "-all,+bpf,+perfmon,+net_raw"),
        ("--engine", "user-recv", "-all,+net_raw"),
        ("--engine", "user-ring", "-all,+net_raw"),
    ] {
        let mut command = lab.within("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        for kind in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
            command.args([kind, set]);
        }
        command.arg(&program).args(["run", "--iface", IN, option, named, "--model", text(&lab.model()?), "--format", "json"]);
        command.arg("--state").arg(&state);
        equal("exit code", Instance::start(command)?.stop()?.code, Some(0))?;
    }
    Ok(())
}

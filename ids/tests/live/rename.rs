//! An interface that is called otherwise than when the run began, or that has been made again.

use crate::instance::Instance;
use crate::lab::{BAD, Bpffs, GOOD, IN, Lab, Result, equal, eventually, holds, ip, lines, text, there};

/// A name such as VLAN devices have, which a BPF file system takes no file by.
const OTHER: &str = "v1.5";

fn rename(lab: &Lab) -> Result {
    for change in [&["down"][..], &["name", OTHER]] {
        ip(&format!("-n {} link set {IN} {}", lab.there, change.join(" ")))?;
    }
    ip(&format!("-n {} link set {OTHER} up", lab.there))
}

/// Run goes on, and is found by the new name; the old one is free for another interface, with another instance.
pub fn hook(lab: &Lab, hook: &str) -> Result {
    renamed(lab, &["--hook", hook])
}

pub fn user(lab: &Lab, engine: &str) -> Result {
    renamed(lab, &["--engine", engine])
}

fn renamed(lab: &Lab, option: &[&str]) -> Result {
    let instance = lab.run(option)?;
    rename(lab)?;
    let by = |name: &str| lab.json(&["status", "--iface", name]);
    let pid = by(OTHER)?["pid"].as_u64();
    equal("the instance, as soon as it is called so", pid, Some(instance.child.id().into()))?;
    eventually("it is told", || Ok(instance.errors().contains("interface v1 is called v1.5 now")))?;
    let sender = Lab::udp(&lab.here, 0)?;
    sender.send_to(b"x", there(BAD))?;
    eventually("an alert is there", || Ok(!lines(&lab.alerts())?.is_empty()))?;
    equal("its interface", &lines(&lab.alerts())?[0]["in_iface"], &OTHER.into())?;
    let interface = by(OTHER)?["interfaces"][0].clone();
    equal("the status's", (&interface["name"], interface["attached"].is_string()), (&OTHER.into(), true))?;
    let model = lab.model()?;
    let second = lab.treeline(&[&["run", "--iface", OTHER, "--model", text(&model)], option].concat())?;
    let said = String::from_utf8_lossy(&second.stderr);
    holds("a second one is refused", said.contains("treeline already runs on v1.5"), &said)?;

    lab.wire("w0", IN, 1)?;
    let other = Instance::start(lab.command(&[&["run", "--iface", IN, "--model", text(&model), "--format", "json"], option].concat()))?;
    equal("the instance of the old name", by(IN)?["pid"].as_u64(), Some(other.child.id().into()))?;
    equal("the instance of the new name", by(OTHER)?["pid"].as_u64(), pid)?;
    equal("exit code of the other", other.stop()?.code, Some(0))?;
    let output = lab.treeline(&["detach", "--iface", OTHER])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("exit code", instance.wait()?.code, Some(0))
}

/// By a name with a dot, over a BPF file system.
pub fn pinned(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    rename(lab)?;
    let sender = Lab::udp(&lab.here, 0)?;
    let _receiver = Lab::udp(&lab.there, GOOD)?;
    for packets in 1..=2 {
        let instance = lab.run(&["--iface", OTHER, "--hook", hook, &bpffs.pin()])?;
        sender.send_to(b"x", there(GOOD))?;
        instance.kill()?;
        equal("packets in all", lab.status()?["judged"].as_u64(), Some(packets))?;
    }
    equal("it is attached", &lab.status()?["interfaces"][0]["attached"], &"pinned".into())?;
    let output = lab.treeline(&["detach", "--iface", OTHER])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("pins left", bpffs.0.join("treeline").exists(), false)
}

/// What is pinned of an interface that is gone is not attached to one that has its name.
pub fn made_again(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    lab.run(&["--hook", hook, &bpffs.pin(), "--mode", "enforce"])?.kill()?;
    equal("attached", &lab.status()?["interfaces"][0]["attached"], &"pinned".into())?;
    ip(&format!("-n {} link del {IN}", lab.there))?;
    lab.wire("v0", IN, 0)?;
    holds("nothing is attached", lab.status()?["interfaces"][0]["attached"].is_null(), &lab.status()?)?;
    let swapped = lab.treeline(&["swap", text(&lab.constant(1)?)])?;
    let said = String::from_utf8_lossy(&swapped.stderr);
    holds("nothing takes a model", said.contains("nothing is attached to v1 any more"), &said)?;
    equal("attached", lab.attached()?, vec![])?;
    // The flows are taken over, and the one instance that there is then is the new one.
    let instance = lab.run(&["--hook", hook, &bpffs.pin()])?;
    equal("the instance", lab.status()?["pid"].as_u64(), Some(instance.child.id().into()))?;
    holds("it is attached", !lab.attached()?.is_empty(), &lab.attached()?)?;
    instance.kill()?;
    equal("attached", &lab.status()?["interfaces"][0]["attached"], &"pinned".into())?;
    let output = lab.treeline(&["detach"])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("attached afterwards", lab.attached()?, vec![])?;
    equal("pins left", bpffs.0.join("treeline").exists(), false)
}

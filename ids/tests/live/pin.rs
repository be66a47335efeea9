//! Pins: what outlives the process, and who takes it over.

use std::fs;
use std::path::PathBuf;

use crate::lab::{BAD, Bpffs, GOOD, HERE, IN, Lab, Result, THERE, equal, eventually, holds, lines, received, text, there};

pub fn restart(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    let pin = bpffs.pin();
    let _receiver = Lab::udp(&lab.there, BAD)?;
    let sender = Lab::udp(&lab.here, 0)?;
    let instance = lab.run(&["--hook", hook, &pin])?;
    sender.send_to(b"one", there(BAD))?;
    let attached = lab.attached()?;
    holds("it is attached", !attached.is_empty(), &attached)?;
    instance.kill()?;
    equal("attached after the kill", lab.attached()?, attached.clone())?;
    sender.send_to(b"two", there(BAD))?;

    let other = lab.treeline(&["run", "--iface", IN, "--hook", hook, "--model", text(&lab.model()?)])?;
    holds("a run beside the pins is refused", String::from_utf8_lossy(&other.stderr).contains("treeline detach first"), &other)?;
    let other = lab.treeline(&["run", "--iface", IN, "--hook", hook, &pin, "--flows", "5000", "--model", text(&lab.model()?)])?;
    holds("another size is refused", String::from_utf8_lossy(&other.stderr).contains("give --flows 262144"), &other)?;
    let instance = lab.run(&["--hook", hook, &pin])?;
    equal("attached after the restart", lab.attached()?, attached.clone())?;
    sender.send_to(b"three", there(BAD))?;
    let flow = lab.json(&["flows"])?[0].clone();
    equal("packets of the flow, before, between and after", flow["packets"].as_u64(), Some(3))?;
    equal("judged in all", lab.status()?["judged"].as_u64(), Some(3))?;
    eventually("the one alert of the flow is there", || Ok(lines(&lab.alerts())?.len() == 1))?;

    equal("exit code", instance.stop()?.code, Some(0))?;
    equal("attached after SIGTERM", lab.attached()?, attached)?;
    let output = lab.treeline(&["detach"])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("attached after detach", lab.attached()?, vec![])?;
    equal("pins left", bpffs.0.join("treeline").exists(), false)
}

pub fn allow(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    let pin = bpffs.pin();
    let list = |name: &str, port: u16| -> Result<PathBuf> {
        let path = lab.path(name);
        fs::write(&path, format!("{THERE} udp/{port}\n"))?;
        Ok(path)
    };
    let (first, second) = (list("first", BAD)?, list("second", BAD - 1)?);
    let receiver = Lab::udp(&lab.there, BAD)?;
    let sender = Lab::udp(&lab.here, 0)?;
    // The model calls every datagram malicious: what arrives is on the list.
    let model = lab.constant(1)?;
    let run = |list: &[&str]| lab.run(&[&["--hook", hook, &pin, "--mode", "enforce", "--model", text(&model)], list].concat());
    let arrives = || -> Result<usize> {
        sender.send_to(b"ten bytes.", there(BAD))?;
        Ok(received(&receiver).len())
    };
    run(&["--allow", text(&first)])?.kill()?;
    equal("arrives by the first list, whose process is gone", arrives()?, 1)?;
    run(&["--allow", text(&second)])?.kill()?;
    equal("arrives after a restart with the second", arrives()?, 0)?;
    run(&["--allow", text(&first)])?.kill()?;
    let swapped = lab.treeline(&["swap", text(&lab.constant(1)?)])?;
    holds("swap succeeds", swapped.status.success(), &swapped)?;
    equal("arrives by the first again, after a swap without a process", arrives()?, 1)?;
    let instance = run(&[])?;
    equal("arrives after a restart without a list", arrives()?, 0)?;
    instance.stop()?;
    let output = lab.treeline(&["detach"])?;
    holds("detach succeeds", output.status.success(), &output)
}

pub fn dead(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    let pin = bpffs.pin();
    let _receiver = Lab::udp(&lab.there, GOOD)?;
    let sender = Lab::udp(&lab.here, 0)?;
    let instance = lab.run(&["--hook", hook, &pin, "--mode", "enforce"])?;
    sender.send_to(b"one", there(GOOD))?;
    instance.kill()?;
    let status = lab.status()?;
    equal("status of the pins", (status["pid"].is_null(), status["judged"].as_u64()), (true, Some(1)))?;
    let model = lab.constant(1)?;
    let output = lab.treeline(&["swap", text(&model)])?;
    holds("swap succeeds", output.status.success(), &output)?;
    sender.send_to(b"two", there(GOOD))?;
    let status = lab.status()?;
    equal("judged, malicious, dropped", [&status["judged"], &status["malicious"], &status["dropped"]], [&2.into(), &1.into(), &1.into()])?;
    let flows = lab.json(&["flows"])?;
    equal("the flow", (&flows[0]["originator"], flows[0]["packets"].as_u64()), (&HERE.to_string().into(), Some(2)))?;
    let output = lab.treeline(&["detach"])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("attached afterwards", lab.attached()?, vec![])
}

pub fn detach(lab: &Lab) -> Result {
    let bpffs = Bpffs::new(lab)?;
    let instance = lab.run(&[&bpffs.pin()])?;
    let output = lab.treeline(&["detach"])?;
    holds("detach succeeds", output.status.success(), &output)?;
    equal("exit code of the instance", instance.wait()?.code, Some(0))?;
    equal("attached afterwards", lab.attached()?, vec![])?;
    equal("pins left", bpffs.0.join("treeline").exists(), false)?;
    equal("files left", fs::read_dir(lab.path("state"))?.count(), 0)
}

/// What was there stays, and nothing comes to it.
pub fn elsewhere(lab: &Lab) -> Result {
    let there = lab.path("there/treeline/v1-tc");
    fs::create_dir_all(&there)?;
    for (folder, mount) in [("there/treeline", "(mount -t bpf bpf"), ("pins", "(mkdir -p")] {
        let folder = lab.path(folder);
        let pin = format!("--pin={}", folder.display());
        let output = lab.treeline(&["run", "--iface", IN, "--model", text(&lab.model()?), &pin])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = said.contains(mount) && said.contains(&format!("mount -t bpf bpf {})", folder.display()));
        holds("it says what to mount", output.status.code() == Some(2) && expected, &said)?;
    }
    equal("what is there", (there.exists(), lab.path("pins").exists()), (true, false))
}

/// As often as is asked, nothing is attached and nobody is there when `detach` returns.
pub fn returns(lab: &Lab, hook: &str) -> Result {
    let bpffs = Bpffs::new(lab)?;
    for (pin, alive) in [(None, true), (Some(bpffs.pin()), true), (Some(bpffs.pin()), false)] {
        for _ in 0..3 {
            let instance = lab.run(&[&["--hook", hook][..], &pin.iter().map(String::as_str).collect::<Vec<_>>()].concat())?;
            let living = if alive { Some(instance) } else { instance.kill().map(|()| None)? };
            let output = lab.treeline(&["detach"])?;
            drop(living);
            equal("attached", lab.attached()?, vec![])?;
            holds("detach succeeds", output.status.success(), &output)?;
            let next = lab.treeline(&["status"])?;
            holds("nobody is there", String::from_utf8_lossy(&next.stderr).contains("no instance"), &next)?;
            let said = String::from_utf8_lossy(&output.stdout);
            holds("it says so", said.starts_with("detached from v1") && (!alive || said.contains("has ended")), &said)?;
        }
    }
    Ok(())
}

//! The user-space engines beside the kernel's: the same frames, the same alerts; nothing lost without being counted.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::instance::Ended;
use crate::lab::{BAD, GOOD, IN, Lab, Result, equal, eventually, holds, lines, raw, text};

const KERNEL: [&str; 2] = ["--hook", "tc"];
const ENGINES: [[&str; 2]; 2] = [["--engine", "user-recv"], ["--engine", "user-ring"]];

/// Each engine sees the same frames; alerts and verdicts are the kernel's.
pub fn same(lab: &Lab) -> Result {
    let allow = lab.path("allow.txt");
    fs::write(&allow, "198.18.0.77\n")?;
    let mut before = None;
    for engine in [KERNEL, ENGINES[0], ENGINES[1]] {
        let _ = fs::remove_file(lab.alerts());
        let instance = lab.run(&[&engine[..], &["--direction", "ingress", "--allow", text(&allow)]].concat())?;
        let send = raw(lab, c"v0")?;
        let frames = frames();
        for frame in &frames {
            send(frame)?;
        }
        eventually("all packets are seen", || Ok(lab.status()?["packets"].as_u64() == Some(frames.len() as u64)))?;
        let flows = flows(&lab.json(&["flows"])?);
        let ended = instance.stop()?;
        let seen = (alerts(&lines(&lab.alerts())?), flows, numbers(&ended));
        holds("there are alerts", seen.0.len() == 5, &seen)?;
        equal("uninspected", ended.summary["uninspected"].as_u64(), Some(0))?;
        let before = before.get_or_insert_with(|| seen.clone());
        equal(&format!("{engine:?}: alerts, flows and numbers"), &seen, &*before)?;
    }
    Ok(())
}

/// An alert's flow, class, packet, model, and the features that time does not change.
fn alerts(alerts: &[Value]) -> BTreeSet<String> {
    let of = |alert: &Value| {
        let ours = &alert["treeline"];
        let still = [0, 1, 2, 3, 5, 6, 8].map(|index| ours["features_fixed"][index].to_string());
        format!(
            "{} {} {} {} {} {} {} {} {} {still:?}",
            alert["in_iface"],
            alert["src_ip"],
            alert["src_port"],
            alert["dest_ip"],
            alert["dest_port"],
            alert["direction"],
            alert["community_id"],
            ours["class"],
            ours["packet"]
        )
    };
    alerts.iter().map(of).collect()
}

fn flows(flows: &Value) -> BTreeSet<String> {
    let of = |flow: &Value| {
        ["originator", "originator_port", "responder", "responder_port", "packets", "alerted"].map(|name| flow[name].to_string()).join(" ")
    };
    flows.as_array().into_iter().flatten().map(of).collect()
}

fn numbers(ended: &Ended) -> Vec<String> {
    ["packets", "judged", "malicious", "verdicts", "skips", "alerts"].map(|name| ended.summary[name].to_string()).to_vec()
}

/// Three packets of each flow: IPv4, IPv6, behind one and two VLAN tags, allowed, and one that is no IP.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = vec![];
    for (source, tags) in [(9, &[][..]), (10, &[[0x81, 0x00]]), (11, &[[0x88, 0xa8], [0x81, 0x00]]), (77, &[])] {
        for port in [BAD, GOOD] {
            let mut frame = header(tags, 0x0800);
            frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, source, 198, 18, 0, 2]);
            frame.extend(udp(port));
            frames.push(frame);
        }
    }
    for tags in [&[][..], &[[0x81, 0x00]]] {
        let mut frame = header(tags, 0x86dd);
        frame.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
        for host in [1 + tags.len() as u8, 9] {
            frame.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
        frame.extend(udp(BAD));
        frames.push(frame);
    }
    frames.push([header(&[], 0x0806), vec![0; 46]].concat());
    [frames.clone(), frames.clone(), frames].concat()
}

/// An Ethernet header, with tags for VLAN 5.
fn header(tags: &[[u8; 2]], kind: u16) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    for tag in tags {
        frame.extend(tag);
        frame.extend([0, 5]);
    }
    frame.extend(kind.to_be_bytes());
    frame
}

fn udp(port: u16) -> Vec<u8> {
    [&4096_u16.to_be_bytes()[..], &port.to_be_bytes(), &[0, 8, 0, 0]].concat()
}

/// Both directions, each packet once; a bridge between two interfaces is seen at both.
pub fn directions(lab: &Lab, engine: &str) -> Result {
    lab.wire("w0", "w1", 1)?;
    let instance = lab.run(&["--engine", engine, "--iface", IN, "--iface", "w1"])?;
    let server = Lab::udp(&lab.there, GOOD)?;
    let client = Lab::udp(&lab.here, 0)?;
    for _ in 0..5 {
        client.send_to(b"there", crate::lab::there(GOOD))?;
        let mut bytes = [0; 16];
        let (_, from) = server.recv_from(&mut bytes)?;
        server.send_to(b"back", from)?;
    }
    Lab::udp(&lab.here, 0)?.send_to(b"x", ("198.18.1.2", GOOD))?;
    eventually("all are judged", || Ok(lab.status()?["judged"].as_u64() == Some(11)))?;
    let flows = lab.json(&["flows"])?;
    let packets: Vec<_> = flows.as_array().into_iter().flatten().filter_map(|flow| flow["packets"].as_u64()).collect();
    equal("packets of the flows of both interfaces", packets, vec![10, 1])?;
    crate::lab::ip(&format!("-n {} link del w1", lab.there))?;
    eventually("the interface is missed", || Ok(instance.errors().contains("interface w1 is gone")))?;
    client.send_to(b"x", crate::lab::there(GOOD))?;
    eventually("the other one goes on", || Ok(lab.status()?["judged"].as_u64() == Some(12)))?;
    equal("exit code", instance.stop()?.code, Some(0))
}

/// The process is stopped while more comes than its buffer holds.
pub fn overrun(lab: &Lab, engine: &str) -> Result {
    let instance = lab.run(&["--engine", engine, "--direction", "ingress"])?;
    let send = raw(lab, c"v0")?;
    let mut frame = frames().remove(0);
    frame.resize(1400, 0);
    let count = 30_000_u64;
    instance.signal(libc::SIGSTOP);
    for _ in 0..count {
        send(&frame)?;
    }
    instance.signal(libc::SIGCONT);
    let total = |status: &Value| Some(status["packets"].as_u64()? + status["uninspected"].as_u64()?);
    eventually("packets and those that passed uninspected are what was sent", || Ok(total(&lab.status()?) == Some(count)))?;
    let ended = instance.stop()?;
    holds("some passed uninspected", ended.summary["uninspected"].as_u64().is_some_and(|count| count > 0), &ended.summary)?;
    equal("the same at the end", total(&ended.summary), Some(count))?;
    equal(
        "the one flow's alert, and what was held back",
        ended.summary["alerts"]["held"].as_u64().map(|held| held + 1),
        ended.summary["malicious"].as_u64(),
    )
}

/// What only programs in the kernel can do.
pub fn refused(lab: &Lab) -> Result {
    for engine in ["user-recv", "user-ring"] {
        for (option, said) in [
            (&["--mode", "enforce"][..], "dropping a copy stops nothing"),
            (&["--hook", "xdp"], "leave --hook out"),
            (&["--pin"], "--pin --engine"),
            (&["--stats"], "--stats --engine"),
        ] {
            let model = lab.model()?;
            let output = lab.treeline(&[&["run", "--iface", IN, "--engine", engine, "--model", text(&model)], option].concat())?;
            let errors = String::from_utf8_lossy(&output.stderr);
            holds("it is refused and says what to do", output.status.code() == Some(2) && errors.contains(said), &errors)?;
        }
    }
    let instance = lab.run(&ENGINES[1])?;
    let output = lab.treeline(&["run", "--iface", IN, "--hook", "socket", "--model", text(&lab.model()?)])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    holds("a second instance is refused", errors.contains(&format!("process {}", instance.child.id())), &errors)?;
    equal("exit code", instance.stop()?.code, Some(0))
}

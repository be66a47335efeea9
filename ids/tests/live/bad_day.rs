//! What docs/live.md promises when things go wrong.

use std::path::Path;
use std::time::Instant;

use treeline_lab::Frame;
use treeline_lab::capture::Capture;

use crate::instance::Instance;
use crate::lab::{BAD, GOOD, IN, Lab, Result, equal, eventually, holds, ip, lines, raw, text, there};

pub fn interface(lab: &Lab) -> Result {
    lab.wire("w0", "w1", 1)?;
    let instance = lab.run(&["--iface", IN, "--iface", "w1"])?;
    ip(&format!("-n {} link del w1", lab.there))?;
    eventually("the interface is missed", || Ok(instance.errors().contains("interface w1 is gone")))?;
    Lab::udp(&lab.here, 0)?.send_to(b"x", there(BAD))?;
    eventually("the other one goes on", || Ok(lines(&lab.alerts())?.len() == 1))?;
    let interfaces = lab.status()?["interfaces"].clone();
    equal("attached", (interfaces[0]["attached"].is_string(), interfaces[1]["attached"].is_null()), (true, true))?;
    ip(&format!("-n {} link del {IN}", lab.there))?;
    let ended = instance.wait()?;
    equal("exit code", ended.code, Some(1))?;
    holds("it says why it ends", ended.errors.contains("no interface is left"), &ended)?;
    equal("its summary", ended.summary["malicious"].as_u64(), Some(1))
}

/// Three times as many flows as there is room for.
pub fn table(lab: &Lab) -> Result {
    let instance = lab.run(&["--flows", "4096", "--hook", "xdp"])?;
    let send = raw(lab, c"v0")?;
    let count = 12_000_u32;
    for index in 0..count {
        send(&probe(index, GOOD))?;
    }
    let status = lab.status()?;
    equal("packets", status["packets"].as_u64(), Some(count.into()))?;
    let passed = status["skips"]["table-full"].as_u64().unwrap_or(0);
    equal("judged, or passed for want of room", status["judged"].as_u64(), Some(u64::from(count) - passed))?;
    let entries = status["flows"]["active"].as_u64().unwrap_or(0);
    holds("the table is full, and no fuller", (1000..=4096).contains(&entries), &status)?;
    holds("evictions are counted", status["flows"]["evictions"].as_u64().is_some_and(|count| count >= 12_000 - 4096 - passed), &status)?;
    instance.stop().map(|_| ())
}

/// Four times as many flows as there is room for by default, each of one packet, half of them malicious.
pub fn million(lab: &Lab) -> Result {
    let instance = lab.run(&["--hook", "xdp"])?;
    let send = raw(lab, c"v0")?;
    let count = 1_000_000_u32;
    let start = Instant::now();
    for index in 0..count {
        send(&probe(index, if index % 2 == 0 { GOOD } else { BAD }))?;
    }
    holds("they were sent in a minute", start.elapsed().as_secs() < 60, &start.elapsed())?;
    let status = lab.status()?;
    equal("packets", status["packets"].as_u64(), Some(count.into()))?;
    let passed = status["skips"]["table-full"].as_u64().unwrap_or(0);
    equal("judged, or passed for want of room", status["judged"].as_u64(), Some(u64::from(count) - passed))?;
    let alerts = |field: &str| status["alerts"][field].as_u64().unwrap_or(0);
    equal("an alert a malicious flow, sent or lost", Some(alerts("sent") + alerts("lost")), status["malicious"].as_u64())?;
    let ended = instance.stop()?;
    let alerts = |field: &str| ended.summary["alerts"][field].as_u64().unwrap_or(0);
    equal("what was sent was written, or lost at the output", alerts("written") + alerts("lost_output"), alerts("sent"))
}

/// A UDP packet of a flow of its own.
pub fn probe(index: u32, port: u16) -> Vec<u8> {
    let [_, net, high, low] = index.to_be_bytes();
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 19, high, low, 198, 18, 0, 2]);
    frame.extend([0x10, net]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    frame
}

/// The process is stopped while alerts come; then it goes on.
pub fn reader(lab: &Lab) -> Result {
    let instance = lab.run(&["--hook", "xdp", "--ring", "4096"])?;
    let send = raw(lab, c"v0")?;
    instance.signal(libc::SIGSTOP);
    let count = 500_u32;
    for index in 0..count {
        send(&probe(index, BAD))?;
    }
    instance.signal(libc::SIGCONT);
    eventually("it goes on", || Ok(lab.status()?["packets"].as_u64() == Some(count.into())))?;
    let status = lab.status()?;
    let [handed, lost] = ["sent", "lost"].map(|field| status["alerts"][field].as_u64().unwrap_or(0));
    holds("some are lost, and each is counted", handed > 0 && lost > 0 && handed + lost == u64::from(count), &status)?;
    send(&probe(count, BAD))?;
    eventually("the next alert comes", || Ok(lines(&lab.alerts())?.len() as u64 == handed + 1))?;
    instance.stop().map(|_| ())
}

/// Alerts go to a pipe that is full.
pub fn output(lab: &Lab) -> Result {
    let model = lab.model()?;
    let instance = Instance::start(lab.command(&["run", "--iface", IN, "--model", text(&model), "--hook", "xdp", "--format", "json"]))?;
    let send = raw(lab, c"v0")?;
    for index in 0..2_000 {
        send(&probe(index, BAD))?;
    }
    eventually("all are judged", || Ok(lab.status()?["malicious"].as_u64() == Some(2_000)))?;
    let start = Instant::now();
    instance.signal(libc::SIGTERM);
    let mut child = instance;
    eventually("it ends", || Ok(child.child.try_wait()?.is_some()))?;
    holds("it ends within five seconds", start.elapsed().as_secs() < 5, &start.elapsed())?;
    equal("attached afterwards", lab.attached()?, vec![])
}

/// A ring buffer for a few alerts, a reader that stands still, more flows than there is room for: each of them alerts once the reader goes on, whether
/// alerts come again or not.
pub fn due_again(lab: &Lab, engine: &str) -> Result {
    const FLOWS: u32 = 400;
    let option = if engine.starts_with("user") { "--engine" } else { "--hook" };
    for interval in ["0", "3600"] {
        let _ = std::fs::remove_file(lab.alerts());
        let arguments = [option, engine, "--direction", "ingress", "--ring", "4096", "--alert-interval", interval];
        let instance = lab.run(&arguments)?;
        let send = raw(lab, c"v0")?;
        instance.signal(libc::SIGSTOP);
        for index in 0..FLOWS {
            send(&probe(index, BAD))?;
        }
        instance.signal(libc::SIGCONT);
        if engine == "tc" {
            let lost = lab.status()?["alerts"]["lost"].as_u64();
            holds("alerts were lost", lost > Some(u64::from(FLOWS / 2)), &lost)?;
        }
        eventually("every flow alerts", || {
            for index in 0..FLOWS {
                send(&probe(index, BAD))?;
            }
            Ok(lines(&lab.alerts())?.len() == FLOWS as usize)
        })?;
        let ended = instance.stop()?;
        let alerts = lines(&lab.alerts())?;
        let ports: std::collections::BTreeSet<_> = alerts.iter().map(|alert| alert["flow_id"].to_string()).collect();
        equal("alerts, and flows with one", (alerts.len(), ports.len()), (FLOWS as usize, FLOWS as usize))?;
        let fates = ["sent", "lost", "held"].map(|fate| ended.summary["alerts"][fate].as_u64().unwrap_or_default());
        equal("sent, lost and held", Some(fates.iter().sum()), ended.summary["malicious"].as_u64())?;
    }
    Ok(())
}

/// The frames of the edges, most of which break a rule, one by one over the wire.
pub fn malformed(lab: &Lab, hook: &str) -> Result {
    let arguments: &[&str] = if hook == "xdp" { &["--hook", hook] } else { &["--hook", hook, "--direction", "ingress"] };
    let instance = lab.run(arguments)?;
    let send = raw(lab, c"v0")?;
    let mut count = 0_u64;
    for path in captures()? {
        let mut capture = Capture::open(&path)?;
        let mut frame = Frame::default();
        while count < 20_000 && capture.next_into(&mut frame)? {
            // The wire takes no less than a header and no more than its MTU, and the kernel drops half a VLAN tag before tc.
            let tagged = frame.bytes.get(12..14).is_some_and(|kind| matches!(kind, [0x81, 0x00] | [0x88, 0xa8]));
            let least = if tagged { 20 } else { 14 };
            if (least..=1514).contains(&frame.bytes.len()) && send(&frame.bytes).is_ok() {
                count += 1;
            }
        }
    }
    holds("there are frames", count > 100, &count)?;
    let status = lab.status()?;
    equal("packets", status["packets"].as_u64(), Some(count))?;
    let skipped: u64 = status["skips"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    equal("judged or skipped with a reason", status["judged"].as_u64().map(|judged| judged + skipped), Some(count))?;
    holds("some are malformed", status["skips"]["malformed"].as_u64().is_some_and(|count| count > 0), &status)?;
    equal("exit code", instance.stop()?.code, Some(0))
}

/// Frames of the captures with bytes changed at random, as fast as the wire takes them.
pub fn damaged(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook, "--direction", "ingress"])?;
    let send = raw(lab, c"v0")?;
    let mut frames = vec![];
    for path in captures()? {
        let mut capture = Capture::open(&path)?;
        let mut frame = Frame::default();
        while frames.len() < 500 && capture.next_into(&mut frame)? {
            frames.push(frame.bytes.clone());
        }
    }
    frames.retain(|frame| (20..=1514).contains(&frame.len()));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut count = 0_u64;
    for _ in 0..100_000 {
        let mut frame = frames[random() % frames.len()].clone();
        for _ in 0..=random() % 4 {
            // The addresses of the Ethernet header decide who the kernel thinks it is for; half a tag it drops itself.
            let place = 12 + random() % (frame.len() - 12);
            frame[place] = random() as u8;
        }
        frame.truncate(20 + random() % frame.len());
        count += u64::from(send(&frame).is_ok());
    }
    let status = lab.status()?;
    equal("packets", status["packets"].as_u64(), Some(count))?;
    let skipped: u64 = status["skips"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    equal("judged or skipped with a reason", status["judged"].as_u64().map(|judged| judged + skipped), Some(count))?;
    equal("exit code", instance.stop()?.code, Some(0))
}

fn captures() -> Result<Vec<std::path::PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("edge")));
    paths.sort();
    Ok(paths)
}

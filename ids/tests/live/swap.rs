//! Swaps: while packets come, and with models that are none.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::instance::Instance;
use crate::lab::{BAD, GOOD, Lab, Result, equal, eventually, holds, text, there};

/// A sender that does not pause while models come and go. Each packet it sent is classified, none is undecided, all arrive.
pub fn under_load(lab: &Lab, hook: &str) -> Result {
    swaps(lab, lab.run(&["--hook", hook])?)
}

pub fn user(lab: &Lab, engine: &str) -> Result {
    swaps(lab, lab.run(&["--engine", engine])?)
}

pub fn walk(lab: &Lab) -> Result {
    swaps(lab, lab.run(&["--tree", "walk"])?)
}

fn swaps(lab: &Lab, instance: Instance) -> Result {
    let receiver = Lab::udp(&lab.there, GOOD)?;
    let sender = Lab::udp(&lab.here, 0)?;
    let done = AtomicBool::new(false);
    let (sent, arrived, swapped) = thread::scope(|scope| -> Result<_> {
        let sending = scope.spawn(|| -> std::io::Result<u64> {
            let mut sent = 0;
            while !done.load(Relaxed) {
                for _ in 0..50 {
                    sender.send_to(b"x", there(GOOD))?;
                    sent += 1;
                }
                // Room for the receiver, on two cores.
                thread::sleep(Duration::from_millis(1));
            }
            Ok(sent)
        });
        let receiving = scope.spawn(|| {
            let mut arrived = 0_u64;
            let mut bytes = [0; 16];
            while receiver.recv(&mut bytes).is_ok() {
                arrived += 1;
            }
            arrived
        });
        let swap = || -> Result {
            for round in 0..6 {
                let model = lab.constant(1 - round % 2)?;
                let output = lab.treeline(&["swap", text(&model)])?;
                holds("the swap succeeds", output.status.success(), &output)?;
            }
            Ok(())
        };
        let swapped = swap();
        done.store(true, Relaxed);
        Ok((sending.join().expect("no panic")?, receiving.join().expect("no panic"), swapped))
    })?;
    swapped?;
    // A user-space engine may have some before it still.
    eventually("all are seen", || Ok(lab.status()?["packets"].as_u64() >= Some(sent)))?;
    let status = lab.status()?;
    equal("swaps", status["swaps"].as_u64(), Some(6))?;
    equal("uninspected", status["uninspected"].as_u64(), Some(0))?;
    equal("judged", status["judged"].as_u64(), Some(sent))?;
    equal("undecided", status["skips"]["undecided"].as_u64(), Some(0))?;
    equal("arrived", arrived, sent)?;
    let malicious = status["malicious"].as_u64().unwrap_or(0);
    holds("both kinds of models judged", malicious > 0 && malicious < sent, &status)?;
    let flows = lab.json(&["flows"])?;
    equal("packets of the one flow, through all models", flows[0]["packets"].as_u64(), Some(sent))?;
    equal("exit code", instance.stop()?.code, Some(0))
}

pub fn broken(lab: &Lab) -> Result {
    let instance = lab.run(&[])?;
    let before = lab.status()?["model"]["id"].clone();
    let path = lab.path("broken.json");
    for broken in ["{", r#"{"format": "treeline-model", "version": 1}"#] {
        fs::write(&path, broken)?;
        let output = lab.treeline(&["swap", text(&path)])?;
        equal("exit code", output.status.code(), Some(2))?;
        let said = String::from_utf8_lossy(&output.stderr);
        holds("the file is named", said.contains("broken.json"), &said)?;
    }
    // Not through the command, which checks first.
    let mut stream = std::os::unix::net::UnixStream::connect(lab.socket()?)?;
    std::io::Write::write_all(&mut stream, b"{\"do\": \"swap\", \"model\": \"{\"}\n")?;
    let answer = std::io::read_to_string(stream)?;
    holds("the instance refuses it too", answer.contains("\"ok\":false"), &answer)?;
    let status = lab.status()?;
    equal("the model in use", &status["model"]["id"], &before)?;
    Lab::udp(&lab.here, 0)?.send_to(b"x", there(BAD))?;
    eventually("the old model raises an alert", || Ok(lab.status()?["alerts"]["sent"] == 1))?;
    equal("exit code", instance.stop()?.code, Some(0))
}

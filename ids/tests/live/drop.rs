//! What arrives: everything under detect, what is benign or allowed under enforce.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use treeline_model::{Model, Precondition};

use crate::lab::{BAD, GOOD, Lab, Result, equal, holds, lines, received, text, there, within};

/// Datagrams of all lengths, to both ports in turn; what arrived at each.
fn exchange(lab: &Lab, count: usize) -> Result<[Vec<Vec<u8>>; 2]> {
    let receivers = [Lab::udp(&lab.there, BAD)?, Lab::udp(&lab.there, GOOD)?];
    let sender = Lab::udp(&lab.here, 0)?;
    for datagram in datagrams(count) {
        sender.send_to(&datagram, there(BAD))?;
        sender.send_to(&datagram, there(GOOD))?;
    }
    Ok(receivers.map(|receiver| received(&receiver)))
}

fn datagrams(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| (0..index * 7 % 1400).map(|byte| (byte ^ index) as u8).collect()).collect()
}

pub fn detect(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook])?;
    let sent = datagrams(150);
    equal("what arrived", exchange(lab, sent.len())? == [sent.clone(), sent.clone()], true)?;
    let ended = instance.stop()?;
    equal("dropped", ended.summary["dropped"].as_u64(), Some(0))?;
    equal("malicious", ended.summary["malicious"].as_u64(), Some(sent.len() as u64))
}

pub fn enforce(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook, "--mode", "enforce"])?;
    let sent = datagrams(150);
    let [bad, good] = exchange(lab, sent.len())?;
    equal("malicious datagrams that arrived", bad.len(), 0)?;
    equal("the benign ones arrived", good == sent, true)?;
    let ended = instance.stop()?;
    equal("dropped", ended.summary["dropped"].as_u64(), Some(sent.len() as u64))?;
    let alerts = lines(&lab.alerts())?;
    equal("alerts", alerts.len(), 1)?;
    equal("action", &alerts[0]["alert"]["action"], &"blocked".into())?;
    let [bad, _] = exchange(lab, 3)?;
    equal("malicious datagrams that arrive afterwards", bad.len(), 3)
}

pub fn allow(lab: &Lab, hook: &str) -> Result {
    let path = lab.path("allow.txt");
    fs::write(&path, format!("# the receiver\n198.18.0.2 udp/{BAD}\n"))?;
    let instance = lab.run(&["--hook", hook, "--mode", "enforce", "--allow", text(&path)])?;
    let sent = datagrams(20);
    equal("what arrived", exchange(lab, sent.len())? == [sent.clone(), sent.clone()], true)?;
    let status = lab.status()?;
    equal("allowed", status["skips"]["allowed"].as_u64(), Some(sent.len() as u64))?;
    equal("judged", status["judged"].as_u64(), Some(sent.len() as u64))?;
    let swapped = lab.treeline(&["swap", text(&lab.constant(1)?)])?;
    holds("the swap succeeds", swapped.status.success(), &swapped)?;
    let [bad, good] = exchange(lab, 5)?;
    equal("allowed and judged datagrams that arrive after a swap", (bad.len(), good.len()), (5, 0))?;
    instance.stop().map(|_| ())
}

/// The model calls everything malicious but passes what is midstream: what was open when treeline came goes on, what opens then does not.
pub fn before(lab: &Lab, hook: &str) -> Result {
    let server = within(&lab.there, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, GOOD)))??;
    let mut ours = within(&lab.here, || TcpStream::connect(there(GOOD)))??;
    let (mut theirs, _) = server.accept()?;
    theirs.set_read_timeout(Some(Duration::from_secs(5)))?;
    let model = lab.path("midstream.json");
    Model::read(lab.constant(1)?)?.with_precondition(Precondition::new(1, true).expect("a precondition"))?.write(&model)?;
    let instance = lab.run(&["--hook", hook, "--mode", "enforce", "--model", text(&model)])?;
    ours.write_all(b"still there")?;
    let mut heard = [0; 11];
    theirs.read_exact(&mut heard)?;
    equal("what an open connection brings", &heard, b"still there")?;
    let opened = within(&lab.here, || TcpStream::connect_timeout(&there(GOOD).into(), Duration::from_millis(300)))?;
    holds("a new connection is not let in", opened.is_err(), &opened)?;
    let status = lab.status()?;
    holds("the SYN was dropped", status["dropped"].as_u64() > Some(0), &status)?;
    holds("the open connection was judged", status["judged"].as_u64() > status["dropped"].as_u64(), &status)?;
    instance.stop().map(|_| ())
}

pub fn socket(lab: &Lab) -> Result {
    let output = lab.treeline(&["run", "--iface", "v1", "--hook", "socket", "--mode", "enforce", "--model", text(&lab.model()?)])?;
    equal("exit code", output.status.code(), Some(2))?;
    let said = String::from_utf8_lossy(&output.stderr);
    holds("it says why and what to do", said.contains("only drops its own copy") && said.contains("--hook tc or xdp"), &said)
}

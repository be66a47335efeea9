//! Many flows of small packets past the switch: the generator (`ebpf/src/paper/flood.rs`) on one CPU, and on the next one all that
//! receives: the kernel's reception, with the programs in it, and the user-space program. So receiving and classifying are the limit.
//!
//! The frames are UDP without payload to a MAC address that h1 does not have: its stack drops them as soon as they have been classified.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use treeline_lab::bpf::ReadOptions;
use treeline_lab::cause::explain;
use treeline_lab::kernel::run::live;

use super::alternative::{Alternative, Files, Refusal, TC, USER_RECV, XDP};
use super::lab::{self, Lab, WIRE};
use super::{machine, paper};

/// Who is measured.
pub const ALTERNATIVES: [Alternative; 3] = [USER_RECV, XDP, TC];
/// Frames a system call.
const CHUNK: u32 = 65_536;
/// Frames that the kernel sends at once.
const BATCH: u32 = 64;
/// The CPU of the generator; the next one receives.
const CPU: usize = 0;
/// Time for a user-space program to read what its socket holds.
const SETTLE: Duration = Duration::from_millis(300);

/// One measurement.
#[derive(Debug, Clone)]
pub struct Flood {
    pub alternative: Alternative,
    pub flows: u32,
    /// Packets sent, arrived and inspected, each a second; or why there are none.
    pub rates: Result<[f64; 3], String>,
}

/// Sends for so long and counts what `alternative` inspects.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn measure(lab: &Lab, alternative: Alternative, flows: u32, seconds: u32, files: &Files) -> Result<Flood, String> {
    let [out, into] = WIRE;
    let receiving = (CPU + 1) % machine::processors();
    let running = match alternative.start(lab, into, Some(receiving), files) {
        Ok(running) => running,
        Err(Refusal::NotAvailable(reason)) => return Ok(Flood { alternative, flows, rates: Err(reason) }),
        Err(Refusal::Failed(error)) => return Err(error),
    };
    lab::receive_on(receiving)?;
    let before = lab.received(into)?;
    let (sent, took) = lab.within("h0", CPU, || send(out, flows, Duration::from_secs(seconds.into()), lab))?;
    std::thread::sleep(SETTLE);
    let arrived = lab.received(into)? - before;
    let inspected = running.stop(lab)?.unwrap_or_default();
    let rates = [sent, arrived, inspected].map(|count| count as f64 / took.as_secs_f64());
    Ok(Flood { alternative, flows, rates: Ok(rates) })
}

/// Frames sent, and the time it took.
fn send(interface: &str, flows: u32, time: Duration, lab: &Lab) -> Result<(u64, Duration), String> {
    let index = interface_index(interface).ok_or_else(|| format!("no interface {interface}"))?;
    let number = |name: &str, value: u32| (name.to_owned(), value.to_ne_bytes().to_vec());
    let globals = [number("SENT_FLOWS", flows), number("SENT_INTERFACE", index)].into();
    let mut programs = paper::programs(&ReadOptions { globals, ..ReadOptions::default() }).map_err(|error| explain(&error))?;
    let program = programs.load("flood_xdp").map_err(|error| explain(&error))?;
    let frame = frame();
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        lab.check()?;
        live(program.fd.as_fd(), &frame, CHUNK, BATCH).map_err(|error| format!("live frames (Linux 5.18): {error}"))?;
        sent += u64::from(CHUNK);
    }
    Ok((sent, start.elapsed()))
}

fn interface_index(interface: &str) -> Option<u32> {
    let name = std::ffi::CString::new(interface).ok()?;
    // SAFETY: a string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Ethernet, IPv4, UDP without a checksum, padded to 60 bytes.
fn frame() -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[198, 18, 1, 1, 198, 18, 1, 2]);
    frame[38..40].copy_from_slice(&[0, 26]);
    frame
}

/// For people, in Markdown.
pub fn markdown(floods: &[Flood]) -> String {
    let lines = floods.iter().map(|Flood { alternative, flows, rates }| {
        let cells = match rates {
            Ok(rates) => rates.map(|rate| format!("{rate:.0}")).join(" | "),
            Err(reason) => format!("not available: {reason} | | "),
        };
        format!("| {flows} | {} | {cells} |\n", alternative.name)
    });
    "| flows | alternative | sent/s | arrived/s | inspected/s |\n|---:|---|---:|---:|---:|\n".to_owned() + &lines.collect::<String>()
}

/// For machines.
pub fn to_json(flood: &Flood) -> Value {
    let [sent, arrived, inspected] = flood.rates.clone().map_or([None; 3], |rates| rates.map(Some));
    json!({
        "flows": flood.flows,
        "alternative": flood.alternative.key,
        "sent_per_second": sent,
        "arrived_per_second": arrived,
        "inspected_per_second": inspected,
        "not_available": flood.rates.as_ref().err(),
    })
}

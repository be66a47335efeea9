//! What a run tells: metrics, the flow table, the screen.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::instance::Instance;
use crate::lab::{BAD, GOOD, IN, Lab, Result, equal, eventually, holds, output, text, there, within};

/// Where it says that it serves metrics.
pub fn address(instance: &Instance) -> Result<SocketAddr> {
    let said = instance.errors();
    Ok(said.split("http://").nth(1).and_then(|rest| rest.split("/metrics").next()).ok_or("no address of the metrics")?.parse()?)
}

pub fn metrics(lab: &Lab) -> Result {
    ip_lo(lab)?;
    let instance = lab.run(&["--metrics=127.0.0.1:0", "--stats"])?;
    let address = address(&instance)?;
    let _receivers = [Lab::udp(&lab.there, GOOD)?, Lab::udp(&lab.there, BAD)?];
    let sender = Lab::udp(&lab.here, 0)?;
    for _ in 0..7 {
        sender.send_to(b"x", there(GOOD))?;
    }
    Lab::udp(&lab.here, 0)?.send_to(b"x", there(BAD))?;
    let page = within(&lab.there, move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    })??;
    let (head, body) = page.split_once("\r\n\r\n").ok_or("no body")?;
    holds("the head is HTTP's", head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), &head)?;
    let samples = parse(body)?;
    let status = lab.status()?;
    for (sample, expected) in [
        ("treeline_verdicts_total{class=\"benign\",class_id=\"0\"}", 7.0),
        ("treeline_verdicts_total{class=\"malicious\",class_id=\"1\"}", 1.0),
        ("treeline_skipped_packets_total{reason=\"undecided\"}", 0.0),
        ("treeline_flows{state=\"active\"}", 2.0),
        ("treeline_flows_max", 262_144.0),
        ("treeline_alerts_sent_total", 1.0),
        ("treeline_alerts_lost_total{at=\"ring\"}", 0.0),
        ("treeline_flow_evictions_total", 0.0),
        ("treeline_flow_insert_failures_total", 0.0),
        ("treeline_flows_expired_total{kind=\"idle\"}", 0.0),
        ("treeline_model_swaps_total", 0.0),
        ("treeline_interface_attached{interface=\"v1\"}", 1.0),
    ] {
        equal(sample, samples.get(sample).copied(), Some(expected))?;
    }
    let of = |name: &str| samples.iter().filter(|(sample, _)| sample.split('{').next() == Some(name)).map(|(_, value)| value).sum::<f64>();
    equal(
        "packets have a verdict or a reason",
        of("treeline_packets_total"),
        of("treeline_verdicts_total") + of("treeline_skipped_packets_total"),
    )?;
    holds("bytes are those of eight frames and more", of("treeline_bytes_total") >= 8.0 * 43.0, &of("treeline_bytes_total"))?;
    holds("programs ran", of("treeline_program_runs_total") >= 8.0 && of("treeline_program_run_seconds_total") > 0.0, &samples)?;
    let id = format!("model=\"{}\"", status["model"]["id"].as_str().unwrap_or_default());
    holds(
        "the model is named",
        samples.iter().any(|(sample, value)| sample.contains("model_info") && sample.contains(&id) && *value > 0.0),
        &samples,
    )?;
    instance.stop().map(|_| ())
}

fn ip_lo(lab: &Lab) -> Result {
    crate::lab::ip(&format!("-n {} link set lo up", lab.there))
}

/// Samples by name and labels. Strict: help and type come first and once, a counter's name ends in `_total`, nothing comes twice.
fn parse(page: &str) -> Result<BTreeMap<String, f64>> {
    let mut samples = BTreeMap::new();
    let mut current: Option<(String, String)> = None;
    let mut helped = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split(' ').next().map(str::to_owned);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("a type without its kind")?;
            equal("help comes before type", helped.take().as_deref(), Some(name))?;
            equal("a counter's name", kind == "counter", name.ends_with("_total"))?;
            current = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (sample, value) = line.rsplit_once(' ').ok_or_else(|| format!("no sample: {line}"))?;
            let name = sample.split('{').next().unwrap_or_default();
            equal("a sample follows its type", current.as_ref().map(|(name, _)| name.as_str()), Some(name))?;
            equal("labels are closed", sample.contains('{'), sample.ends_with('}'))?;
            holds("a sample comes once", samples.insert(sample.to_owned(), value.parse()?).is_none(), &sample)?;
        }
    }
    holds("the page ends with a line", page.ends_with('\n'), &page)?;
    Ok(samples)
}

pub fn flows(lab: &Lab) -> Result {
    let instance = lab.run(&[])?;
    let _receivers = [Lab::udp(&lab.there, GOOD)?, Lab::udp(&lab.there, BAD)?];
    for count in [1, 5, 3] {
        let sender = Lab::udp(&lab.here, 0)?;
        for _ in 0..count {
            sender.send_to(b"x", there(GOOD))?;
        }
    }
    Lab::udp(&lab.here, 0)?.send_to(b"x", (Ipv4Addr::new(198, 18, 0, 2), BAD))?;
    let flows = lab.json(&["flows", "--list", "2"])?;
    let packets: Vec<_> = flows.as_array().into_iter().flatten().filter_map(|flow| flow["packets"].as_u64()).collect();
    equal("packets of the first two", packets, vec![5, 3])?;
    let flows = lab.json(&["flows"])?;
    let alerted: Vec<_> = flows.as_array().into_iter().flatten().filter(|flow| flow["alerted"] == true).collect();
    equal("flows with an alert", alerted.len(), 1)?;
    equal("its port", alerted[0]["responder_port"].as_u64(), Some(BAD.into()))?;
    let table = String::from_utf8(lab.treeline(&["flows"])?.stdout)?;
    holds("the table names them", table.contains("198.18.0.2:8888") && table.lines().count() == 5, &table)?;
    instance.stop().map(|_| ())
}

/// On a terminal of `script`, whose width is set from inside.
pub fn screen(lab: &Lab) -> Result {
    for columns in [80, 160] {
        let record = lab.path("screen");
        let command = format!(
            "stty cols {columns} rows 40; exec {} run --iface {IN} --model {} --summary --duration 2.6 --state {}",
            env!("CARGO_BIN_EXE_treeline"),
            text(&lab.model()?),
            text(&lab.path("state")),
        );
        let mut script =
            lab.within("script").args(["-q", "-f", "-c", &command]).arg(&record).stdout(std::process::Stdio::null()).spawn()?;
        eventually("it is attached", || Ok(!lab.attached()?.is_empty()))?;
        let sender = Lab::udp(&lab.here, 0)?;
        sender.send_to(b"x", there(BAD))?;
        script.wait()?;
        let shown = std::fs::read(&record)?;
        let shown = String::from_utf8_lossy(&shown);
        for word in ["packets", "verdicts", "skipped", "flows", "alerts", "malicious", "198.18.0.2:9999"] {
            holds(word, shown.contains(word), &shown)?;
        }
        let widest = shown.lines().filter(|line| line.starts_with(' ')).map(|line| line.trim_end().chars().count()).max();
        holds("no line is wider than the terminal", widest.is_some_and(|widest| widest <= columns), &(widest, shown))?;
    }
    output(lab.within("true").args::<_, &str>([])).map(|_| ())
}

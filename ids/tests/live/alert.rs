//! Alerts: which, when, and what they say.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::lab::{BAD, GOOD, HERE, IN, Lab, Result, THERE, equal, eventually, holds, lines, there};

pub fn once(lab: &Lab, hook: &str) -> Result {
    let instance = lab.run(&["--hook", hook])?;
    let _receivers = [Lab::udp(&lab.there, BAD)?, Lab::udp(&lab.there, GOOD)?];
    let (bad, good) = (Lab::udp(&lab.here, 0)?, Lab::udp(&lab.here, 0)?);
    for _ in 0..5 {
        bad.send_to(b"malicious", there(BAD))?;
        good.send_to(b"benign", there(GOOD))?;
    }
    eventually("an alert is there", || Ok(!lines(&lab.alerts())?.is_empty()))?;
    let status = lab.status()?;
    equal("malicious packets", status["malicious"].as_u64(), Some(5))?;
    equal("judged packets", status["judged"].as_u64(), Some(10))?;
    equal("verdicts", &status["verdicts"], &serde_json::json!({ "benign": 5, "malicious": 5 }))?;
    let ended = instance.stop()?;
    equal("exit code", ended.code, Some(0))?;
    equal("alerts held back", ended.summary["alerts"]["held"].as_u64(), Some(4))?;
    let alerts = lines(&lab.alerts())?;
    equal("alerts", alerts.len(), 1)?;
    let alert = &alerts[0];
    let port = bad.local_addr()?.port();
    for (field, expected) in [
        ("event_type", serde_json::json!("alert")),
        ("in_iface", IN.into()),
        ("src_ip", HERE.to_string().into()),
        ("src_port", port.into()),
        ("dest_ip", THERE.to_string().into()),
        ("dest_port", BAD.into()),
        ("proto", "UDP".into()),
        ("direction", "to_server".into()),
    ] {
        equal(field, &alert[field], &expected)?;
    }
    equal("action", &alert["alert"]["action"], &"allowed".into())?;
    holds("the Community ID is one", alert["community_id"].as_str().is_some_and(|id| id.starts_with("1:") && id.len() == 30), alert)?;
    let ours = &alert["treeline"];
    equal("class", (&ours["class"], ours["class_id"].as_u64(), ours["packet"].as_u64()), (&"malicious".into(), Some(1), Some(1)))?;
    equal("model", &ours["model"], &status["model"]["id"])?;
    equal("originator's port", ours["features"]["originator_port"].as_f64(), Some(f64::from(port)))?;
    equal("length", ours["features_fixed"][3].as_u64(), Some((20 + 8 + 9) << 16))?;
    let time = alert["timestamp"].as_str().unwrap_or_default();
    let now = jiff::Timestamp::now();
    let then = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", time)?.to_timestamp()?;
    holds("the alert's time is now", (now.as_second() - then.as_second()).abs() < 60, alert)
}

pub fn again(lab: &Lab) -> Result {
    let instance = lab.run(&["--alert-interval", "0.3"])?;
    let sender = Lab::udp(&lab.here, 0)?;
    let _receiver = Lab::udp(&lab.there, BAD)?;
    for _ in 0..50 {
        sender.send_to(b"x", there(BAD))?;
        thread::sleep(Duration::from_millis(20));
    }
    let ended = instance.stop()?;
    let alerts = lines(&lab.alerts())?;
    holds("there are about four", (3..=8).contains(&alerts.len()), &alerts.len())?;
    let numbers: Vec<_> = alerts.iter().filter_map(|alert| alert["treeline"]["packet"].as_u64()).collect();
    holds("packets go up", numbers.is_sorted_by(|one, next| one < next), &numbers)?;
    holds("they are one flow's", alerts.iter().all(|alert| alert["flow_id"] == alerts[0]["flow_id"]), &alerts)?;
    equal("sent and held back", ended.summary["alerts"]["held"].as_u64(), Some(50 - alerts.len() as u64))
}

/// The same flow over one wire and then over the other.
pub fn shared(lab: &Lab) -> Result {
    lab.wire("w0", "w1", 1)?;
    let instance = lab.run(&["--iface", IN, "--iface", "w1", "--hook", "xdp"])?;
    let frame = |identification: u8| -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00]);
        frame.extend([0x45, 0, 0, 28, 0, identification, 0, 0, 64, 17, 0, 0, 198, 18, 0, 9, 198, 18, 0, 10]);
        frame.extend([0x10, 0x00]);
        frame.extend(GOOD.to_be_bytes());
        frame.extend([0, 8, 0, 0]);
        frame
    };
    crate::lab::raw(lab, c"v0")?(&frame(1))?;
    crate::lab::raw(lab, c"w0")?(&frame(2))?;
    let flows = lab.json(&["flows"])?;
    let flow = flows.as_array().and_then(|flows| flows.iter().find(|flow| flow["originator"] == "198.18.0.9"));
    equal("packets of the flow", flow.and_then(|flow| flow["packets"].as_u64()), Some(2))?;
    instance.stop().map(|_| ())
}

pub fn rotation(lab: &Lab) -> Result {
    let instance = lab.run(&[])?;
    let alerted = |count: usize| -> Result {
        Lab::udp(&lab.here, 0)?.send_to(b"x", there(BAD))?;
        eventually("the alert is there", || Ok(lab.alerts().exists() && lines(&lab.alerts())?.len() == count))
    };
    alerted(1)?;
    fs::rename(lab.alerts(), lab.path("eve.json.1"))?;
    instance.signal(libc::SIGHUP);
    eventually("the file is there again", || Ok(lab.alerts().exists()))?;
    alerted(1)?;
    equal("exit code", instance.stop()?.code, Some(0))?;
    equal("alerts in the old file", lines(&lab.path("eve.json.1"))?.len(), 1)
}

//! `treeline bench table1` in its quick form, and interrupted.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{Lab, Result, equal, eventually, holds, output};

/// Rows under each setting of offload.
const ROWS: usize = 9;

pub fn quick(lab: &Lab) -> Result {
    let (json, svg) = (lab.path("table1.json"), lab.path("table1.svg"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_treeline"));
    let text = output(command.args(["bench", "table1", "--quick", "--flows", "100", "--json"]).arg(&json).arg("--svg").arg(&svg))?;
    let report: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
    let rows = report["rows"].as_array().ok_or("no rows")?;
    equal("rows", rows.len(), 2 * ROWS)?;
    for row in rows {
        let inspects = row["alternative"] != "none";
        equal("it is available", &row["not_available"], &Value::Null)?;
        holds("packets are inspected, if anything inspects", (row["inspected"].as_u64() > Some(0)) == inspects, row)?;
        holds("iperf3 got through", row["goodput_bits_per_second"]["mean"].as_f64() > Some(0.0), row)?;
        let name = row["name"].as_str().unwrap_or_default();
        holds("the table has the row", text.contains(&format!("| {name} |")), &text)?;
        // In the kernel no packet passes unseen; a raw socket's reader may be too slow.
        let kernel = inspects && !row["alternative"].as_str().is_some_and(|key| key.starts_with("user"));
        holds("the kernel's programs miss nothing", !kernel || row["uninspected"]["mean"].as_f64() == Some(0.0), row)?;
    }
    let floods = report["flows"].as_array().ok_or("no flows")?;
    equal("measurements of many flows", floods.len(), 3)?;
    for flood in floods {
        holds("small packets are inspected", flood["inspected_per_second"].as_f64() > Some(0.0), flood)?;
    }
    let svg = std::fs::read_to_string(&svg)?;
    let plot = roxmltree::Document::parse(&svg)?;
    let bars = plot.descendants().filter(|node| node.has_tag_name("rect")).count();
    // Two a row, and the background.
    equal("bars", bars, 2 * 2 * ROWS + 1)
}

pub fn interrupted(_lab: &Lab) -> Result {
    let mut command = Command::new(env!("CARGO_BIN_EXE_treeline"));
    command.args(["bench", "table1", "--quick"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let prefix = format!("treeline-{}-", child.id());
    let there = || Ok(output(Command::new("ip").args(["netns", "list"]))?.contains(&prefix));
    eventually("its namespaces are there", there)?;
    std::thread::sleep(std::time::Duration::from_millis(1500));
    // SAFETY: a child of ours that has not been waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    eventually("it ends", || Ok(child.try_wait()?.is_some()))?;
    equal("the exit code", child.wait()?.code(), Some(2))?;
    holds("its namespaces are gone", !there()?, &prefix)
}

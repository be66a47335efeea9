//! What a program did with a capture, as text and as JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use treeline_lab::Frame;
use treeline_lab::lab::origin::Origin;
use treeline_lab::lab::{Coverage, Outcome, Summary, report, verdict};
use treeline_lab::vm::{Hook, Redirect};

use super::divergence;
use crate::report::{agreement, link_types};

/// The instructions that made a difference, or why they are not known.
type Origins = Result<Vec<Origin>, String>;

/// The report for people.
pub fn text(path: &Path, program: &str, hook: Hook, summary: &Summary, findings: &str, notes: &[String]) -> String {
    let mut text = format!("{}: {program}, {} of {} frames run\n", path.display(), summary.packets, summary.frames);
    for (reason, count) in &summary.untaken {
        let _ = writeln!(text, "  {count} frames not run: {reason}");
    }
    for (_, name, count) in summary.unsupported.iter() {
        let _ = writeln!(text, "  {count} frames not run: {name} is not supported");
    }
    for (returned, count) in &summary.returned {
        let _ = writeln!(text, "  {:<16} {count}", verdict::name(hook, *returned));
    }
    if summary.changed > 0 {
        let _ = writeln!(text, "  packets changed  {}", summary.changed);
    }
    for (map, count) in &summary.records {
        let _ = writeln!(text, "  {map}: {count} records");
    }
    for map in &summary.maps {
        let entries = map.entries.map(|count| format!(", {count} of {} entries", map.map.max_entries)).unwrap_or_default();
        let note = map.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        let _ = writeln!(text, "  map {}: {}{entries}{note}", map.map.name, map.map.kind_name());
    }
    for engine in &summary.engines {
        let _ = writeln!(text, "  {}: {:.1} ms", engine.name, engine.time.as_secs_f64() * 1e3);
    }
    for note in notes {
        let _ = writeln!(text, "  note: {note}");
    }
    if summary.divergence.is_none() && summary.stop.is_none() {
        let engines: Vec<&str> = summary.engines.iter().map(|engine| engine.name.as_str()).collect();
        let _ = writeln!(text, "{}", agreement(&engines, summary.packets));
    }
    text + findings
}

/// What speaks against the program or the engines: nothing, if all is well.
pub fn findings(hook: Hook, summary: &Summary, origins: &Origins) -> String {
    let mut text = String::new();
    let name = |value| verdict::name(hook, value);
    match (summary.expected.map(name), summary.unexpected_first) {
        (Some(expected), Some((index, returned))) => {
            let (count, returned) = (summary.unexpected, name(returned));
            let _ = writeln!(text, "EXPECTED {expected}: {count} packets returned something else, first frame {index}: {returned}");
        }
        (Some(expected), None) if summary.expects_in_vain() => {
            let _ = writeln!(text, "EXPECTED {expected}: no packet was run");
        }
        _ => {}
    }
    if let Some(stop) = &summary.stop {
        text += &report::stop(stop, origins);
    }
    if let Some(found) = &summary.divergence {
        text += &report::divergence(found, origins);
    }
    text
}

/// One packet, for `--format jsonl`.
pub fn record(path: &Path, hook: Hook, frame: &Frame, outcome: &Outcome) -> Value {
    let records: Vec<Value> = outcome.records.iter().map(|record| json!({"map": record.map, "bytes": digits(&record.bytes)})).collect();
    json!({
        "capture": path.display().to_string(),
        "index": frame.index,
        "time_ns": frame.time_ns,
        "returned": outcome.returned,
        "verdict": verdict::name(hook, outcome.returned),
        "packet": if outcome.packet == frame.bytes { Value::Null } else { json!(digits(&outcome.packet)) },
        "meta": outcome.meta.as_ref().filter(|meta| !meta.is_empty()).map(|meta| digits(meta)),
        "context": outcome.context,
        "records": records,
        "redirect": outcome.shown.redirect.as_ref().map(redirect),
        "printed": outcome.shown.printed,
    })
}

/// The record after the last packet's: why there are no more. `None`, if the capture was replayed to its end.
pub fn last(path: &Path, summary: &Summary, origins: &Origins) -> Option<Value> {
    let (divergence, stop) = (&summary.divergence, &summary.stop);
    (divergence.is_some() || stop.is_some()).then(|| {
        json!({
            "capture": path.display().to_string(),
            "divergence": divergence.as_ref().map(|found| divergence::json(found, origins)),
            "stop": stop.as_ref().map(|stop| divergence::stop_json(stop, origins)),
        })
    })
}

fn redirect(redirect: &Redirect) -> Value {
    match redirect {
        Redirect::Interface { index, flags } => json!({"interface": index, "flags": flags}),
        Redirect::Peer { index } => json!({"peer": index}),
        Redirect::Neighbour { index, next_hop } => json!({"neighbour": index, "next_hop": digits(next_hop)}),
        Redirect::Map { map, key, flags } => json!({"map": map, "key": key, "flags": flags}),
    }
}

pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The summary of one capture.
pub fn json(path: &Path, program: &str, hook: Hook, summary: &Summary, origins: &Origins, notes: &[String]) -> Value {
    let returned: serde_json::Map<String, Value> =
        summary.returned.iter().map(|(returned, count)| (verdict::name(hook, *returned), json!(count))).collect();
    let maps: Vec<Value> = summary
        .maps
        .iter()
        .map(|map| json!({"name": map.map.name, "kind": map.map.kind_name(), "entries": map.entries, "note": map.note}))
        .collect();
    json!({
        "capture": path.display().to_string(),
        "program": program,
        "engines": summary.engines.iter().map(|engine| &engine.name).collect::<Vec<_>>(),
        "frames": summary.frames,
        "packets": summary.packets,
        "untaken": summary.untaken,
        "unsupported_link_types": link_types(&summary.unsupported),
        "returned": returned,
        "changed": summary.changed,
        "records": summary.records,
        "maps": maps,
        "unexpected": summary.unexpected,
        "unexpected_first": summary.unexpected_first.map(|(index, returned)| json!({"index": index, "verdict": verdict::name(hook, returned)})),
        "stop": summary.stop.as_ref().map(|stop| divergence::stop_json(stop, origins)),
        "divergence": summary.divergence.as_ref().map(|found| divergence::json(found, origins)),
        "notes": notes,
        "damage": summary.damage,
        "warning": summary.warning,
    })
}

/// What was reached, and the jumps that never went one of their ways.
pub fn coverage(coverage: &Coverage) -> String {
    let (lines, branches) = (coverage.lines(), coverage.branches());
    let mut text = format!("coverage\n  lines     {} of {}\n  branches  {} of {} ways\n", lines.0, lines.1, branches.0, branches.1);
    for missed in coverage.missed() {
        let place = if missed.file.is_empty() { String::new() } else { format!("{}:{}: ", missed.file, missed.line) };
        let what = match missed.counts {
            [0, 0] => "never reached",
            [0, _] => "always jumps",
            _ => "never jumps",
        };
        let _ = writeln!(text, "  {place}{} instruction {} {what}", missed.program, missed.instruction);
    }
    text
}

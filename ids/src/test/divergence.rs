//! A packet on which two engines differ, or at which the vm stopped, as text and as JSON: what differs and what made it.

use std::fmt::Write;

use serde_json::{Value, json};
use treeline_lab::lab::difference::hex;
use treeline_lab::lab::origin::{Decision, Origin, Role};
use treeline_lab::lab::summary::{Divergence, Stop};
use treeline_lab::lab::{Outcome, Place};

use super::outcome::digits;

/// The differences between two engines, and where in the program they come from.
pub fn text(divergence: &Divergence, origins: &Result<Vec<Origin>, String>) -> String {
    let [first, second] = &divergence.engines;
    let mut text = format!("DIVERGENCE of {first} and {second} at frame {}\n", divergence.frame.index);
    for one in &divergence.differences {
        let _ = writeln!(text, "  {}: {first} {}, {second} {}", one.what, one.first, one.second);
    }
    for entry in &divergence.entries {
        let show = |value: &Option<Vec<u8>>| value.as_ref().map_or_else(|| "none".to_owned(), |value| hex(value));
        let (key, one, two) = (hex(&entry.key), show(&entry.first), show(&entry.second));
        let _ = writeln!(text, "  map {}, key {key}: {first} {one}, {second} {two}", entry.map);
    }
    if let Some(since) = divergence.since {
        let _ = writeln!(text, "  the entries came to differ after packet {since}: whole maps are not compared after each");
    }
    for note in &divergence.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text += &origins_text(origins);
    let _ = writeln!(text, "  the frame: {}", hex(&divergence.frame.bytes));
    text
}

/// An engine that broke, and how the vm came there.
pub fn stop_text(stop: &Stop, origins: &Result<Vec<Origin>, String>) -> String {
    let mut text = format!("STOPPED at frame {}: {}\n", stop.frame.index, stop.reason);
    if stop.place.is_some() {
        text += &origins_text(origins);
    }
    text
}

fn origins_text(origins: &Result<Vec<Origin>, String>) -> String {
    let mut text = String::new();
    match origins {
        Ok(origins) if origins.is_empty() => {}
        Ok(origins) => {
            text += "  in the vm\n";
            for origin in origins {
                one(&mut text, origin);
            }
        }
        Err(reason) => {
            let _ = writeln!(text, "  the instruction is not known: {reason}");
        }
    }
    text
}

fn one(text: &mut String, origin: &Origin) {
    let done = match (origin.role, &origin.place) {
        (Role::Returned, Some(_)) => "made by",
        (Role::Returned, None) => "made by an instruction that is not known",
        (Role::Wrote, Some(_)) => "last written by",
        (Role::Wrote, None) => "this run did not write it",
        (Role::Stopped, _) => "by",
    };
    let _ = write!(text, "    {} {done}", origin.what);
    match &origin.place {
        Some(place) => line(text, " ", place, "", &origin.registers),
        None => text.push('\n'),
    }
    if let Some(Decision { place, is_taken, registers }) = &origin.branch {
        line(text, "      after ", place, if *is_taken { " jumped" } else { " did not jump" }, registers);
    }
    if let Some(exit) = origin.exit.as_ref().filter(|exit| origin.place.as_ref() != Some(exit)) {
        line(text, "      ended by ", exit, "", &[]);
    }
    if let Some(note) = &origin.note {
        let _ = writeln!(text, "      note: {note}");
    }
}

/// A place, what its registers held, and its source in a line of its own.
fn line(text: &mut String, before: &str, place: &Place, after: &str, registers: &[(u8, String)]) {
    let values = registers.iter().fold(String::new(), |values, (register, value)| values + &format!(", r{register} = {value}"));
    let _ = writeln!(text, "{before}{place}{after}{values}");
    if let Some(source) = place.source() {
        let _ = writeln!(text, "        {source}");
    }
}

/// The same for programs that read it.
pub fn json(divergence: &Divergence, origins: &Result<Vec<Origin>, String>) -> Value {
    let [first, second] = &divergence.engines;
    let differences: Vec<Value> =
        divergence.differences.iter().map(|one| json!({"what": one.what, first: one.first, second: one.second})).collect();
    let bytes = |value: &Option<Vec<u8>>| value.as_ref().map(|value| digits(value));
    let entries = divergence
        .entries
        .iter()
        .map(|entry| json!({"map": entry.map, "key": digits(&entry.key), first: bytes(&entry.first), second: bytes(&entry.second)}));
    let returned = |outcome: &Outcome| outcome.returned;
    json!({
        "index": divergence.frame.index,
        "time_ns": divergence.frame.time_ns,
        "engines": divergence.engines,
        "returned": if divergence.differences.is_empty() { Value::Null } else { json!(divergence.outcomes.each_ref().map(returned)) },
        "differences": differences,
        "entries": entries.collect::<Vec<_>>(),
        "entries_since": divergence.since,
        "notes": divergence.notes,
        "origins": origins_json(origins),
        "origins_missing": origins.as_ref().err(),
        "frame": digits(&divergence.frame.bytes),
    })
}

/// An engine that broke.
pub fn stop_json(stop: &Stop, origins: &Result<Vec<Origin>, String>) -> Value {
    let origins = if stop.place.is_some() { origins_json(origins) } else { json!([]) };
    json!({"index": stop.frame.index, "reason": stop.reason, "place": stop.place.as_ref().map(place), "origins": origins})
}

fn origins_json(origins: &Result<Vec<Origin>, String>) -> Value {
    let origin = |origin: &Origin| {
        json!({
            "what": origin.what,
            "role": match origin.role { Role::Returned => "returned", Role::Wrote => "wrote", Role::Stopped => "stopped" },
            "place": origin.place.as_ref().map(place),
            "registers": registers(&origin.registers),
            "branch": origin.branch.as_ref().map(|branch| {
                json!({"place": place(&branch.place), "taken": branch.is_taken, "registers": registers(&branch.registers)})
            }),
            "exit": origin.exit.as_ref().map(place),
            "note": origin.note,
        })
    };
    json!(origins.as_deref().unwrap_or_default().iter().map(origin).collect::<Vec<_>>())
}

fn place(place: &Place) -> Value {
    let line = place.line.as_ref();
    json!({
        "program": place.program,
        "function": place.function,
        "instruction": place.instruction,
        "assembly": place.text,
        "file": line.map(|line| &line.file),
        "line": line.map(|line| line.line),
        "column": line.map(|line| line.column),
        "source": line.map(|line| line.text.trim()),
    })
}

fn registers(registers: &[(u8, String)]) -> Value {
    registers.iter().map(|(register, value)| (format!("r{register}"), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

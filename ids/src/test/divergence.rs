//! A packet on which two engines differ, or at which the vm stopped, as JSON: what differs and what made it.

use serde_json::{Value, json};
use treeline_lab::lab::origin::{Origin, Role};
use treeline_lab::lab::summary::{Divergence, Stop};
use treeline_lab::lab::{Outcome, Place};

use super::outcome::digits;

/// The differences between two engines, and where in the program they come from.
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

//! Numbers against those of an earlier run.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::KERNEL;

/// What may not grow. Times and sizes of machine code differ from run to run and from machine to machine.
const COMPARED: [&str; 4] = ["total_insns", "total_states", "peak_states", "prog_size"];

/// A sentence for each number that grew by more than `growth_percent`, for each program refused that was accepted, and for each that is gone.
pub fn compare(path: &Path, records: &[Map<String, Value>], growth_percent: f64) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let before = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
    } else {
        csv(&text).ok_or_else(|| format!("{}: no table of `treeline verify --format csv`, nor json", path.display()))?
    };
    let mut sentences = Vec::new();
    for old in &before {
        let (file, name) = (string(old, "file_name"), string(old, "prog_name"));
        let is_same =
            |new: &&Map<String, Value>| ["file_name", "prog_name", KERNEL].iter().all(|column| string(new, column) == string(old, column));
        let Some(new) = records.iter().find(is_same) else {
            sentences.push(format!("{file}: {name} is in the baseline and was not verified"));
            continue;
        };
        if string(old, "verdict") == "success" && string(new, "verdict") != "success" {
            sentences.push(format!("{file}: {name} was accepted and is refused"));
            continue;
        }
        for column in COMPARED {
            let (Some(was), Some(is)) = (number(old, column), number(new, column)) else { continue };
            if is > was * (1.0 + growth_percent / 100.0) {
                sentences.push(format!("{file}: {name}: {column} grew from {was} to {is}, by more than {growth_percent} %"));
            }
        }
    }
    Ok(sentences)
}

fn string(record: &Map<String, Value>, column: &str) -> String {
    record.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(record: &Map<String, Value>, column: &str) -> Option<f64> {
    match record.get(column)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    }
}

/// Rows of plain cells, which is what the compared columns are; the last column, the reason, may be quoted and is not read.
fn csv(text: &str) -> Option<Vec<Map<String, Value>>> {
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next()?.split(',').collect();
    if !columns.contains(&"prog_name") {
        return None;
    }
    let cells = |line: &str| {
        columns.iter().map(|column| (*column).to_owned()).zip(line.split(',').map(|cell| Value::String(cell.to_owned()))).collect()
    };
    // Continued reasons have fewer cells.
    Some(lines.filter(|line| line.split(',').count() >= columns.len()).map(cells).collect())
}

//! A packet on which two engines differ, or at which the vm stopped, in words: what differs and what made it.

use std::fmt::Write;

use super::Place;
use super::difference::hex;
use super::origin::{Decision, Origin, Role};
use super::summary::{Divergence, Stop};

/// The differences between two engines, and where in the program they come from.
#[must_use]
pub fn divergence(divergence: &Divergence, origins: &Result<Vec<Origin>, String>) -> String {
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
#[must_use]
pub fn stop(stop: &Stop, origins: &Result<Vec<Origin>, String>) -> String {
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

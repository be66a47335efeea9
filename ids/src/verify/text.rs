//! Reports for people; a refusal as a compiler shows an error.

use console::Term;

use super::time;
use treeline_lab::verifier::{Refusal, Report, Row, Source, Step, Unloaded};

/// All programs of a file.
pub fn text(file: &str, rows: &[Row], log: bool) -> String {
    let width = width();
    let mut lines = Vec::new();
    for row in rows {
        match row {
            Err(unloaded) => lines.extend(self::unloaded(file, unloaded, width)),
            Ok(report) => {
                lines.extend(match &report.refusal {
                    None => accepted(file, report),
                    Some(refusal) => refused(file, report, refusal, width),
                });
                lines.extend(report.notices.iter().map(|notice| format!("  note          {notice}")));
                lines.extend(report.log.clone().filter(|_| log));
            }
        }
        lines.push(String::new());
    }
    // The last line ends, too.
    lines.push(String::new());
    lines.join("\n")
}

/// Columns to keep to; what is no terminal takes lines of any length.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))).unwrap_or(usize::MAX).max(40)
}

fn accepted(file: &str, report: &Report) -> Vec<String> {
    let statistics = &report.statistics;
    let stacks: Vec<String> = report.stacks.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
    let mut lines = vec![
        format!("{file}: {} ({}) accepted", report.program, report.section),
        format!("  instructions  {} verified, of a program of {}", statistics.instructions, report.program_instructions),
        format!(
            "  states        {} in total, {} at most at a time, {} for one instruction",
            statistics.states, statistics.peak_states, statistics.states_per_instruction
        ),
    ];
    lines.extend(report.longest_path.map(|longest| format!("  longest path  {longest} instructions, up to a state already seen")));
    lines.extend([
        format!("  stack         {}", if stacks.is_empty() { "not told".to_owned() } else { stacks.join(", ") }),
        format!("  size          {} bytes translated, {} compiled", report.xlated_bytes, report.jited_bytes),
        format!("  time          {} to verify, {} to load", time(statistics.duration_us), time(report.load_us)),
    ]);
    lines
}

fn unloaded(file: &str, unloaded: &Unloaded, width: usize) -> Vec<String> {
    let head = head(unloaded.rule.as_ref());
    if unloaded.program.is_empty() {
        return vec![wrapped_by(&head, 4, &format!("{file}: {}", unloaded.reason), width)];
    }
    let named = format!("{file}: {} ({}) is not loaded: {}", unloaded.program, unloaded.section, unloaded.reason);
    let mut lines = vec![wrapped_by(&head, 4, &named, width)];
    if let Some(place) = &unloaded.place {
        lines.push(stopped(place.instruction, place.function.as_ref(), &place.text));
        if let Some((path, line, column, text)) = &place.source {
            lines.extend(excerpt(path, *line, *column, text, width));
        }
    }
    lines
}

fn head(rule: Option<&String>) -> String {
    rule.map_or_else(|| "error: ".to_owned(), |name| format!("error[{name}]: "))
}

fn stopped(instruction: usize, function: Option<&String>, text: &str) -> String {
    let function = function.map_or_else(String::new, |function| format!(" of function `{function}`"));
    format!("  --> instruction {instruction}{function}: {text}")
}

fn refused(file: &str, report: &Report, refusal: &Refusal, width: usize) -> Vec<String> {
    let head = head(refusal.name.as_ref());
    let rule = refusal.rule.as_deref().unwrap_or("the verifier says");
    let mut lines = vec![wrapped_by(&head, 4, &format!("{file}: {} ({}) is refused: {rule}", report.program, report.section), width)];
    if let Some(instruction) = refusal.instruction {
        lines.push(stopped(instruction, refusal.function.as_ref(), &refusal.text));
    }
    if let Some((path, line, column, text)) = &refusal.source {
        lines.extend(excerpt(path, *line, *column, text, width));
    }
    let fact = |text: &str| wrapped("   = ", text, width);
    lines.extend(refusal.registers.iter().map(|(name, state)| fact(&format!("{name} is {state}"))));
    if let Some((instruction, source)) = &refusal.acquired {
        lines.push(cut(&format!("   = acquired at instruction {instruction}{}", plain(source.as_ref())), width));
    }
    if let Some(cause) = &refusal.cause {
        lines.push(fact(&cause.text));
        lines.extend(cause.source.as_ref().map(|source| cut(&format!("    {}", plain(Some(source))), width)));
    }
    lines.extend(way(&refusal.branches, width));
    lines.extend(refusal.message.lines().map(|line| fact(&format!("the verifier: {line}"))));
    if refusal.message.is_empty() {
        lines.push(fact(&format!("the kernel: {}", std::io::Error::from_raw_os_error(refusal.errno))));
    }
    if let Some(diagnosis) = refusal.diagnosis.as_ref().filter(|diagnosis| !diagnosis.reason.is_empty()) {
        lines.push(fact(&format!("the kernel explains: {}", diagnosis.reason)));
    }
    if refusal.is_cut {
        lines.push(fact("the log was too long and is cut: the way there is not all of it"));
    }
    lines.extend(refusal.remedy.as_ref().map(|remedy| wrapped("help: ", remedy, width)));
    lines
}

/// The source line with its place above it and a caret below, cut to what is around the column.
fn excerpt(path: &str, line: u32, column: u32, text: &str, width: usize) -> Vec<String> {
    // Tabs would stand elsewhere behind the margin; the column counts bytes.
    let plain = |text: &str| text.replace('\t', "    ");
    let before = (0..=(column.saturating_sub(1) as usize).min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let (mut caret, mut shown) = (plain(&text[..before]).chars().count(), plain(text.trim_end()));
    let margin = line.to_string().len().max(3);
    let room = width.saturating_sub(margin + 3);
    if shown.chars().count() > room {
        let skipped = if caret + 10 > room { caret + 20 - room.min(caret + 20) } else { 0 };
        let kept: String = shown.chars().skip(skipped).take(room.saturating_sub(3)).collect();
        (shown, caret) = (kept, caret - skipped);
    }
    let mut lines = vec![format!("  --> {path}:{line}:{column}"), format!("{:margin$}|", ""), format!("{line:>margin$}| {shown}")];
    if column > 0 {
        lines.push(format!("{:margin$}| {:caret$}^", "", ""));
    }
    lines
}

fn way(branches: &[Step], width: usize) -> Vec<String> {
    let skipped = branches.len().saturating_sub(BRANCHES_MAX);
    let mut lines = Vec::new();
    if !branches.is_empty() {
        lines.push("   = the way there:".to_owned());
    }
    if skipped > 0 {
        lines.push(format!("       ... {skipped} branches before"));
    }
    for step in &branches[skipped..] {
        let way = if step.taken { "taken" } else { "not taken" };
        let times = if step.times > 1 { format!(", {} times", step.times) } else { String::new() };
        lines.push(cut(&format!("       {}: {} [{way}{times}]{}", step.instruction, step.text, plain(step.source.as_ref())), width));
    }
    lines
}

/// A source line on the line that it belongs to.
fn plain(source: Option<&Source>) -> String {
    source.map_or_else(String::new, |(path, line, text)| format!("   {path}:{line}: {}", text.trim()))
}

/// Branches shown at most: the last before the error.
const BRANCHES_MAX: usize = 12;

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width { line.to_owned() } else { line.chars().take(width.saturating_sub(3)).chain("...".chars()).collect() }
}

/// Text behind a head, its further lines below its first.
fn wrapped(head: &str, text: &str, width: usize) -> String {
    wrapped_by(head, head.len(), text, width)
}

/// The same with an indentation of the further lines.
fn wrapped_by(head: &str, indentation: usize, text: &str, width: usize) -> String {
    let mut lines = vec![head.to_owned()];
    let mut is_first = true;
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if !is_first && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{:indentation$}{word}", ""));
            continue;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_its_letter() {
        for (text, column, letter) in [("\t\treturn data[23];", 10, 'd'), ("x = ü + y;", 10, 'y'), ("plain", 1, 'p')] {
            let lines = excerpt("a.c", 1234, column, text, usize::MAX);
            let place = lines[3].chars().position(|found| found == '^').expect("a caret");
            assert_eq!(lines[2].chars().nth(place), Some(letter), "{lines:#?}");
        }
        assert_eq!(excerpt("a.c", 7, 0, "text", 80).len(), 3, "no column, no caret");
    }

    #[test]
    fn a_long_line_is_cut_around_its_column() {
        let text = format!("{}x{}", "a ".repeat(200), "b ".repeat(200));
        for column in [1, 30, 401, 800] {
            let lines = excerpt("a.c", 7, column, &text, 80);
            let place = lines[3].chars().position(|found| found == '^').expect("a caret");
            assert_eq!(lines[2].chars().nth(place), text.chars().nth(column as usize - 1));
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        }
    }

    #[test]
    fn words_are_wrapped_below_the_first() {
        assert_eq!(wrapped("help: ", "one two three", 12), "help: one\n      two\n      three");
        assert_eq!(wrapped("   = ", "one two", usize::MAX), "   = one two");
    }
}

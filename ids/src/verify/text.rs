//! Reports for people; a refusal as a compiler shows an error.

use super::time;
use treeline_sim::verifier::{Refusal, Report, Row};

/// Prints all programs of a file.
pub fn print(file: &str, rows: &[Row], log: bool) {
    for row in rows {
        match row {
            Err((_, reason)) => println!("{file}: {reason}\n"),
            Ok(report) => {
                match &report.refusal {
                    None => accepted(file, report),
                    Some(refusal) => refused(file, report, refusal),
                }
                for notice in &report.notices {
                    println!("  note          {notice}");
                }
                if let Some(text) = report.log.as_ref().filter(|_| log) {
                    println!("{text}");
                }
                println!();
            }
        }
    }
}

fn accepted(file: &str, report: &Report) {
    let statistics = &report.statistics;
    println!("{file}: {} ({}) accepted", report.program, report.section);
    println!("  instructions  {} verified, of a program of {}", statistics.instructions, report.program_instructions);
    println!(
        "  states        {} in total, {} at most at a time, {} for one instruction",
        statistics.states, statistics.peak_states, statistics.states_per_instruction
    );
    if let Some(longest) = report.longest_path {
        println!("  longest path  {longest} instructions, up to a state already seen");
    }
    let stacks: Vec<String> = report.stacks.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
    println!("  stack         {}", if stacks.is_empty() { "not told".to_owned() } else { stacks.join(", ") });
    println!("  size          {} bytes translated, {} compiled", report.xlated_bytes, report.jited_bytes);
    println!("  time          {} to verify, {} to load", time(statistics.duration_us), time(report.load_us));
}

fn refused(file: &str, report: &Report, refusal: &Refusal) {
    println!(
        "error: {file}: {} ({}) is refused: {}",
        report.program,
        report.section,
        refusal.rule.as_deref().unwrap_or("the verifier says")
    );
    if let Some(instruction) = refusal.instruction {
        println!("  --> instruction {instruction}: {}", refusal.text);
    }
    if let Some((path, line, column, text)) = &refusal.source {
        println!("  --> {path}:{line}:{column}");
        println!("   |");
        println!("{line:>3}| {text}");
        let blanks: String =
            text.chars().take(column.saturating_sub(1) as usize).map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        println!("   | {blanks}^");
    }
    for (name, state) in &refusal.registers {
        println!("   = {name} is {state}");
    }
    if !refusal.branches.is_empty() {
        println!("   = the way there:");
    }
    let skipped = refusal.branches.len().saturating_sub(BRANCHES_MAX);
    if skipped > 0 {
        println!("       ... {skipped} branches before");
    }
    for step in &refusal.branches[skipped..] {
        let way = if step.taken { "taken" } else { "not taken" };
        let source = step.source.as_ref().map_or_else(String::new, |(path, line, text)| format!("   {path}:{line}: {}", text.trim()));
        let times = if step.times > 1 { format!(", {} times", step.times) } else { String::new() };
        println!("       {}: {} [{way}{times}]{source}", step.instruction, step.text);
    }
    for line in refusal.message.lines() {
        println!("   = the verifier: {line}");
    }
    if refusal.message.is_empty() {
        println!("   = the kernel: {}", std::io::Error::from_raw_os_error(refusal.errno));
    }
    if let Some(remedy) = &refusal.remedy {
        println!("help: {remedy}");
    }
}

/// Branches shown at most: the last before the error.
const BRANCHES_MAX: usize = 12;

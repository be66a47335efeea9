//! What became of the rows of a labels file.

use std::path::PathBuf;

/// Lines named for one reason.
pub const LINES_MAX: usize = 5;

/// How many rows labelled a flow, and why the others did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file, or the name of built-in labels.
    pub source: PathBuf,
    /// The kind of labels: `rules`, `windows` or `flow table`.
    pub kind: &'static str,
    /// Rows after the header.
    pub rows: u64,
    /// Rows that labelled at least one flow.
    pub matched: u64,
    /// The others by reason; together with `matched` they add up to `rows`.
    pub unmatched: Vec<Unmatched>,
}

/// Rows that labelled no flow, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub rows: u64,
    /// The lines of the first of them, at most [`LINES_MAX`].
    pub lines: Vec<u64>,
}

/// Kind, rows, matched rows and the others, as each kind of labels counts them.
pub(super) type Parts = (&'static str, u64, u64, Vec<Unmatched>);

/// Adds the row at `line` to those of `reason`. Reasons are few: they are found by looking at each.
pub(super) fn add(unmatched: &mut Vec<Unmatched>, reason: &'static str, line: u64) {
    if !unmatched.iter().any(|known| known.reason == reason) {
        unmatched.push(Unmatched { reason, rows: 0, lines: Vec::new() });
    }
    if let Some(known) = unmatched.iter_mut().find(|known| known.reason == reason) {
        known.rows += 1;
        known.lines.push(line);
        known.lines.sort_unstable();
        known.lines.truncate(LINES_MAX);
    }
}

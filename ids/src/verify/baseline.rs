//! Numbers against those of an earlier run.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::KERNEL;

/// What may not grow. Times and sizes of machine code differ from run to run and from machine to machine.
const COMPARED: [&str; 4] = ["total_insns", "total_states", "peak_states", "prog_size"];

/// What is asked now: rows of the baseline beyond that are of no concern.
pub struct Asked<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Only this program.
    pub program: Option<&'a str>,
    /// The kernels' series; empty for the running one.
    pub kernels: Vec<String>,
}

/// What a comparison finds, a sentence each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Numbers that grew by more than allowed, programs refused that were accepted, programs that are gone.
    pub failures: Vec<String>,
    /// Programs that the baseline does not have.
    pub notes: Vec<String>,
}

/// Compares with the table in a file. The error is one of the file, or that it has nothing to compare with.
pub fn compare(path: &Path, asked: &Asked, records: &[Map<String, Value>], growth_percent: f64) -> Result<Comparison, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let before = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
    } else {
        csv(&text).ok_or_else(|| format!("{}: no table of `treeline verify --format csv`, nor json", path.display()))?
    };
    let before: Vec<Map<String, Value>> = before.into_iter().filter(|row| asked.concerns(row)).collect();
    if before.is_empty() {
        return Err(format!("{}: nothing of {} is in it, by its name and kernel", path.display(), asked.file));
    }
    Ok(against(&before, records, growth_percent))
}

impl Asked<'_> {
    fn concerns(&self, row: &Map<String, Value>) -> bool {
        let kernel = string(row, KERNEL);
        self.kernels.contains(&kernel)
            && string(row, "file_name") == self.file
            && self.program.is_none_or(|program| string(row, "prog_name") == program)
    }
}

fn against(before: &[Map<String, Value>], records: &[Map<String, Value>], growth_percent: f64) -> Comparison {
    let mut comparison = Comparison::default();
    let is_same = |old: &Map<String, Value>, new: &Map<String, Value>| {
        ["prog_name", KERNEL].iter().all(|column| string(new, column) == string(old, column))
    };
    for old in before {
        let name = named(old);
        let Some(new) = records.iter().find(|new| is_same(old, new)) else {
            comparison.failures.push(format!("{name} is in the baseline and was not verified"));
            continue;
        };
        if string(old, "verdict") != "success" {
            continue;
        }
        if string(new, "verdict") != "success" {
            comparison.failures.push(format!("{name} was accepted and is refused"));
            continue;
        }
        for column in COMPARED {
            let (Some(was), Some(is)) = (number(old, column), number(new, column)) else { continue };
            if is > was * (1.0 + growth_percent / 100.0) {
                comparison.failures.push(format!("{name}: {column} grew from {was} to {is}, by more than {growth_percent} %"));
            }
        }
    }
    let fresh = records.iter().filter(|new| !before.iter().any(|old| is_same(old, new)));
    comparison.notes.extend(fresh.map(|new| format!("{} is not in the baseline", named(new))));
    comparison
}

/// File and program, and the kernel where there are several.
fn named(row: &Map<String, Value>) -> String {
    let kernel = string(row, KERNEL);
    let kernel = if kernel.is_empty() { kernel } else { format!(" on {kernel}") };
    format!("{}: {}{kernel}", string(row, "file_name"), string(row, "prog_name"))
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

/// The rows of a table with a line of columns (RFC 4180); `None` for what is no such table.
fn csv(text: &str) -> Option<Vec<Map<String, Value>>> {
    let mut rows = cells(text)?.into_iter();
    let columns = rows.next().filter(|columns| columns.iter().any(|column| column == "prog_name"))?;
    // veristat ends its lines as it begins them, and a reason over several lines is one cell.
    let record = |row: Vec<String>| columns.iter().cloned().zip(row.into_iter().map(Value::String)).collect();
    Some(rows.filter(|row| row.iter().any(|cell| !cell.is_empty())).map(record).collect())
}

/// Cells by row. Quoted ones hold commas, line ends, and quotes twice. `None` where a quote is not closed.
fn cells(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    (!is_quoted).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Map<String, Value>> {
        csv(&format!("file_name,prog_name,verdict,total_insns\n{text}")).expect("a table")
    }

    #[test]
    fn what_grew_what_is_refused_and_what_is_gone_are_failures_and_what_is_new_is_a_note() {
        let before = rows("a.o,grown,success,100\na.o,better,success,100\na.o,broken,success,5\na.o,gone,success,5\na.o,never,failure,5\n");
        let now = rows("a.o,grown,success,106\na.o,better,success,50\na.o,broken,failure,5\na.o,never,failure,500\na.o,new,success,1\n");
        let found = against(&before, &now, 5.0);
        let expected = [
            "a.o: grown: total_insns grew from 100 to 106, by more than 5 %",
            "a.o: broken was accepted and is refused",
            "a.o: gone is in the baseline and was not verified",
        ];
        assert_eq!(found.failures, expected);
        assert_eq!(found.notes, ["a.o: new is not in the baseline"]);
        assert_eq!(against(&before[..2], &now[..2], 6.0), Comparison::default());
    }

    #[test]
    fn rows_of_other_files_programs_and_kernels_are_of_no_concern() {
        let asked = |program, kernels: &[&str]| Asked { file: "a.o", program, kernels: kernels.iter().map(ToString::to_string).collect() };
        let row = |text: &str| csv(&format!("file_name,prog_name,kernel\n{text}\n")).expect("a table").remove(0);
        assert!(asked(None, &[""]).concerns(&row("a.o,one,")));
        assert!(!asked(None, &[""]).concerns(&row("b.o,one,")));
        assert!(!asked(Some("two"), &[""]).concerns(&row("a.o,one,")));
        assert!(!asked(None, &[""]).concerns(&row("a.o,one,6.1")));
        assert!(asked(None, &["5.10", "6.1"]).concerns(&row("a.o,one,6.1")));
        assert!(!asked(None, &["5.10", "6.1"]).concerns(&row("a.o,one,")));
        assert!(asked(None, &["", "6.1"]).concerns(&row("a.o,one,")));
    }

    #[test]
    fn cells_with_commas_quotes_and_line_ends_are_read_as_written() {
        let text = "file_name,prog_name,reason\n\"a,b.o\",one,\"say \"\"no\"\"\ntwice\"\r\nc.o,two,\n";
        let rows = csv(text).expect("a table");
        let cells = |row: &Map<String, Value>| ["file_name", "prog_name", "reason"].map(|column| string(row, column));
        assert_eq!(rows.iter().map(cells).collect::<Vec<_>>(), [["a,b.o", "one", "say \"no\"\ntwice"], ["c.o", "two", ""]]);
        assert!(csv("a,b\n1,2\n").is_none());
        assert!(csv("file_name,prog_name\n\"open\n").is_none());
    }
}

//! Rows into a CSV file: the columns of the Parquet file under a header line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::column::names;
use super::schema::Names;
use super::{TableError, real};
use crate::Row;

/// Writes CSV. Text is quoted as RFC 4180 says, where it must be.
pub struct CsvWriter<W: Write> {
    path: PathBuf,
    output: W,
    captures: Vec<String>,
    classes: Vec<String>,
    rows_written: u64,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the header; `path` stands for the file in errors, `names` must have a name for each capture and class of its rows.
    pub fn new(mut output: W, path: &Path, captures_and_classes: &Names) -> Result<Self, TableError> {
        let header = writeln!(output, "{}", names().join(","));
        header.map_err(|source| TableError::Write { path: path.to_owned(), row: 0, source })?;
        let quoted = |names: &[String]| names.iter().map(|name| quote(name)).collect();
        Ok(Self {
            path: path.to_owned(),
            output,
            captures: quoted(&captures_and_classes.captures),
            classes: quoted(&captures_and_classes.classes),
            rows_written: 0,
        })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &Row) -> Result<(), TableError> {
        self.line(row).map_err(|source| TableError::Write { path: self.path.clone(), row: self.rows_written, source })?;
        self.rows_written += 1;
        Ok(())
    }

    /// Flushes, and gives back the output.
    pub fn finish(mut self) -> Result<W, TableError> {
        let flushed = self.output.flush();
        flushed.map_err(|source| TableError::Write { path: self.path, row: self.rows_written, source })?;
        Ok(self.output)
    }

    fn line(&mut self, row: &Row) -> io::Result<()> {
        let output = &mut self.output;
        let capture = &self.captures[row.capture as usize];
        write!(output, "{capture},{},{},{},{},{}", row.index, row.time_ns, row.flow, row.packet, u8::from(row.midstream))?;
        for value in row.features {
            write!(output, ",{}", real(value))?;
        }
        for value in row.features {
            write!(output, ",{value}")?;
        }
        let class = row.class.map_or("", |class| &self.classes[usize::from(class)]);
        writeln!(output, ",{class}")
    }
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

//! Lines of a CSV file with bounded memory, and its header by column name.
//!
//! The crate `csv-core` splits and unquotes into buffers of fixed size, so that a file without a line break or with a quote that never closes
//! costs no more than [`RECORD_BYTES_MAX`].

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv_core::ReadRecordResult;

use super::LabelError;

/// Longest line, bytes without quotes and commas.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most fields of a line.
pub const COLUMNS_MAX: usize = 4096;

/// Characters of a field or header that an error shows.
const SHOWN_MAX: usize = 80;

/// The records of a file after its header.
pub(super) struct Records {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    parser: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    fields_count: usize,
    line: u64,
    header: Header,
}

impl Records {
    /// Reads the header line.
    pub(super) fn new(reader: impl Read + 'static, path: &Path) -> Result<Self, LabelError> {
        let mut records = Self {
            path: path.to_owned(),
            reader: Box::new(BufReader::with_capacity(1 << 16, reader)),
            parser: csv_core::Reader::new(),
            bytes: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            fields_count: 0,
            line: 1,
            header: Header { path: path.to_owned(), columns: Vec::new() },
        };
        if !records.advance()? {
            return Err(LabelError::Empty { path: records.path });
        }
        records.header.columns = (0..records.fields_count).map(|at| records.field(at).to_lowercase()).collect();
        Ok(records)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Moves to the next record; `false` at the end. Lines without any character are skipped.
    pub(super) fn advance(&mut self) -> Result<bool, LabelError> {
        let (mut bytes_count, mut ends_count) = (0, 0);
        self.line = self.parser.line();
        loop {
            let input = self.reader.fill_buf();
            let input = input.map_err(|source| LabelError::Read { path: self.path.clone(), line: self.line, source })?;
            let (result, taken, written, ended) =
                self.parser.read_record(input, &mut self.bytes[bytes_count..], &mut self.ends[ends_count..]);
            self.reader.consume(taken);
            bytes_count += written;
            ends_count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    return Err(LabelError::RecordTooLong { path: self.path(), line: self.line, bytes_max: RECORD_BYTES_MAX });
                }
                ReadRecordResult::OutputEndsFull => {
                    return Err(LabelError::TooManyColumns { path: self.path(), line: self.line, columns_max: COLUMNS_MAX });
                }
                ReadRecordResult::Record => {
                    self.fields_count = ends_count;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The line of the record, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn fields_count(&self) -> usize {
        self.fields_count
    }

    /// Field `at` of the record without blanks around it; empty if the line ends before. Bytes that are not UTF-8 become U+FFFD.
    pub(super) fn field(&self, at: usize) -> Cow<'_, str> {
        if at >= self.fields_count {
            return Cow::Borrowed("");
        }
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        String::from_utf8_lossy(self.bytes[start..self.ends[at]].trim_ascii())
    }

    /// The value of field `at`, or `None` if it is empty.
    pub(super) fn parsed<T>(
        &self,
        column: &'static str,
        at: usize,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, LabelError> {
        let text = self.field(at);
        if text.is_empty() {
            return Ok(None);
        }
        parse(&text).map(Some).ok_or_else(|| self.unclear(column, &text, expected))
    }

    /// The error that a field of this record says nothing clear.
    pub(super) fn unclear(&self, column: &'static str, text: &str, expected: &'static str) -> LabelError {
        LabelError::Field { path: self.path(), line: self.line, column, text: shown(text), expected }
    }
}

/// The columns of a file, in lower case and without blanks around them.
pub(super) struct Header {
    path: PathBuf,
    columns: Vec<String>,
}

impl Header {
    /// The place of the first column with one of these names, which are in lower case.
    pub(super) fn place(&self, names: &[&str]) -> Option<usize> {
        self.columns.iter().position(|column| names.contains(&column.as_str()))
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.place(names).is_some()
    }

    pub(super) fn columns_count(&self) -> usize {
        self.columns.len()
    }

    /// The place of a column that must be there.
    pub(super) fn needed(&self, column: &'static str) -> Result<usize, LabelError> {
        self.place(&[column]).ok_or_else(|| LabelError::MissingColumn { path: self.path.clone(), column })
    }

    /// Refuses columns that are unknown or there twice. A name without a character, as a comma at the line's end gives, is no column.
    pub(super) fn check(&self, known: &'static [&'static str]) -> Result<(), LabelError> {
        for (at, column) in self.columns.iter().enumerate().filter(|(_, column)| !column.is_empty()) {
            if !known.contains(&column.as_str()) {
                return Err(LabelError::UnknownColumn { path: self.path.clone(), column: shown(column), known });
            }
            if self.columns[..at].contains(column) {
                return Err(LabelError::ColumnTwice { path: self.path.clone(), column: column.clone() });
            }
        }
        Ok(())
    }

    /// How the header begins, for an error.
    pub(super) fn text(&self) -> String {
        let columns: Vec<_> = self.columns.iter().take(SHOWN_MAX).map(String::as_str).collect();
        shown(&columns.join(","))
    }
}

/// The beginning of a text, safe for a terminal.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

//! What can be wrong with labels, and where. Lines count from 1, the header's.

use std::io;
use std::path::PathBuf;

/// Why labels could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file cannot be opened.
    #[error("{}: cannot open the labels (a CSV file, `cic-ids-2017` or `cic-ids-2017-paper`)", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// The file cannot be read, or its compression is damaged or cut.
    #[error("{}: line {line}: cannot read on", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The line that could not be read.
        line: u64,
        /// What the operating system or the decompressor says.
        source: io::Error,
    },

    /// There is not even a header.
    #[error("{}: the file has no header line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },

    /// The header is of none of the kinds.
    #[error(
        "{}: line 1: not a labels file: the header is `{header}`; a rules file has the columns capture and class, \
         a windows file class and address_from, a flow table Label and addresses", path.display()
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// How the header begins.
        header: String,
    },

    /// A flow table whose publisher left the addresses out.
    #[error(
        "{}: line 1: a flow table without addresses and times (no column `{column}`) cannot be matched to packets; \
         CIC-IDS-2017's MachineLearningCVE files are such, its GeneratedLabelledFlows files have the columns", path.display()
    )]
    NoAddresses {
        /// The file.
        path: PathBuf,
        /// The first column that is missing.
        column: &'static str,
    },

    /// A column is missing.
    #[error("{}: line 1: there is no column `{column}`", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },

    /// A column that means nothing, which would widen every row if it were ignored.
    #[error("{}: line 1: unknown column `{column}`; known are {}", path.display(), known.join(", "))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns that there may be.
        known: &'static [&'static str],
    },

    /// A column is there twice.
    #[error("{}: line 1: the column `{column}` is there twice", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },

    /// A line has more fields than the header, or fewer: a rule that is cut off would cover more.
    #[error("{}: line {line}: {found} fields, but the header has {columns}; write a comma for each field that is left empty", path.display())]
    FieldsCount {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Fields of the line.
        found: usize,
        /// Fields of the header.
        columns: usize,
    },

    /// A field says nothing clear.
    #[error("{}: line {line}: {column} `{text}` is not {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column.
        column: &'static str,
        /// How the field begins.
        text: String,
        /// What it should be.
        expected: &'static str,
    },

    /// A row's end lies before its start.
    #[error("{}: line {line}: the end lies before the start", path.display())]
    Backwards {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },

    /// A line, quoted line breaks included, is longer than any label.
    #[error("{}: line {line}: longer than {bytes_max} bytes; is a quote not closed?", path.display())]
    RecordTooLong {
        /// The file.
        path: PathBuf,
        /// The line it begins on.
        line: u64,
        /// The limit.
        bytes_max: usize,
    },

    /// A line has more fields than any label.
    #[error("{}: line {line}: more than {columns_max} fields", path.display())]
    TooManyColumns {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The limit.
        columns_max: usize,
    },

    /// More rows than are held in memory.
    #[error("{}: line {line}: more than {rows_max} rows; split the file", path.display())]
    TooManyRows {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The limit.
        rows_max: usize,
    },

    /// More classes than a model can have.
    #[error("{}: line {line}: more than {} classes", path.display(), treeline_model::CLASSES_MAX)]
    TooManyClasses {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },

    /// A flow table of which no row can be used.
    #[error("{}: none of {rows} rows can be used; the first: line {line}: {reason}", path.display())]
    NoUsableRow {
        /// The file.
        path: PathBuf,
        /// How many rows there are.
        rows: u64,
        /// The first row's line.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

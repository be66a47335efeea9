//! What can be wrong with a table, and where.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;
use treeline_ebpf::feature::FRACTION_BITS;

use super::schema::{FORMAT, VERSION};

/// Why a table could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The name says no format.
    #[error("{}: rows are written to names that end in .parquet or .csv, or as CSV to `-`, standard output", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened, created or renamed.
    #[error("{}: cannot {what}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// CSV cannot be written.
    #[error("{}: cannot write row {row}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// Parquet cannot be written, or what is read is damaged or no Parquet.
    #[error("{}: {what}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What was tried, and where.
        what: String,
        /// What the library says.
        source: ParquetError,
    },
    /// The file says nothing about its columns.
    #[error(
        "{}: no metadata `{FORMAT}`: the units of its columns are unknown; give a file that `treeline features` wrote, \
         not a copy by a program that drops metadata", path.display()
    )]
    NoSchema {
        /// The file.
        path: PathBuf,
    },
    /// The metadata are not what this version writes.
    #[error("{}: metadata `{FORMAT}`: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another version of the format.
    #[error("{}: version {found} of the format, expected {VERSION}; write the table again with this version of treeline", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Another grid.
    #[error("{}: {found} fraction bits, expected {FRACTION_BITS}; write the table again with this version of treeline", path.display())]
    FractionBits {
        /// The file.
        path: PathBuf,
        /// Its fraction bits.
        found: u64,
    },
    /// A feature that the classifier does not compute.
    #[error("{}: column {column:?}: no feature of the classifier", path.display())]
    UnknownFeature {
        /// The file.
        path: PathBuf,
        /// The feature.
        column: String,
    },
    /// A feature in another unit.
    #[error("{}: column {column:?}: the unit is {found:?}, expected {expected:?}", path.display())]
    Unit {
        /// The file.
        path: PathBuf,
        /// The feature.
        column: &'static str,
        /// Its unit in the file.
        found: String,
        /// The classifier's.
        expected: &'static str,
    },
    /// A column is missing.
    #[error("{}: there is no column {column:?}; write the table with the `treeline features` of this version", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// The column of captures is missing.
    #[error(
        "{}: there is no column \"capture\": a flow's number is its own within its capture only, and a table of several runs has each number \
         several times; write the table again with `treeline features`, or keep the column", path.display()
    )]
    NoCapture {
        /// The file.
        path: PathBuf,
    },
    /// What rows say of one flow cannot be true of one flow.
    #[error(
        "{}: capture {capture:?}, flow {flow}: {found}: these are rows of two flows, or copies; \
         captures of one name have been put together: write them under different paths, each once", path.display()
    )]
    TwoFlows {
        /// The file.
        path: PathBuf,
        /// The capture's name.
        capture: String,
        /// The flow's number.
        flow: u64,
        /// What contradicts.
        found: String,
    },
    /// A column of another type.
    #[error("{}: column {column:?}: the type is {found}, expected {expected}", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
        /// The format's.
        expected: &'static str,
    },
    /// A value that cannot be.
    #[error("{}: row {row}: column {column:?}: {found} is not {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: u64,
        /// The column.
        column: String,
        /// The value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A column ends before the others.
    #[error("{}: column {column:?}: {found} rows from row {row} on, expected {expected}", path.display())]
    ShortColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The first row that was asked for, from 0.
        row: u64,
        /// Rows that are there.
        found: usize,
        /// Rows that the file announces.
        expected: usize,
    },
}

impl TableError {
    /// Whether whoever read the output has stopped, as `| head` does.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

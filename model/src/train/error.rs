//! Why no tree is grown.

use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX};

use super::{CLASSES_MAX, ROWS_MAX};

/// A table or settings that give no tree. Rows count from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The table is empty.
    #[error("the table has no rows; give labelled rows")]
    NoRows,
    /// More rows than a row number holds.
    #[error("{found} rows, expected at most {ROWS_MAX}; train on a sample")]
    TooManyRows {
        /// How many there are.
        found: usize,
    },
    /// A column is longer or shorter than the first.
    #[error("column {column}: {found} rows, expected {expected} as in the other columns")]
    Length {
        /// The column: a feature's name, `class` or `weight`.
        column: &'static str,
        /// How many rows it has.
        found: usize,
        /// How many the first column has.
        expected: usize,
    },
    /// A class number beyond the greatest.
    #[error("row {row}: class {found}, expected below {CLASSES_MAX}; number the classes from 0 without gaps, or merge classes")]
    Class {
        /// The row.
        row: usize,
        /// Its class.
        found: u16,
    },
    /// A weight that is negative or no number.
    #[error("row {row}: weight {found}, expected a number of 0 or more")]
    Weight {
        /// The row.
        row: usize,
        /// Its weight.
        found: f32,
    },
    /// No row counts.
    #[error("all {rows} rows have weight 0; give at least one row a weight")]
    NoWeight {
        /// How many rows there are.
        rows: usize,
    },
    /// A depth that the kernel does not walk.
    #[error("depth of {found}, expected at most {DEPTH_MAX}")]
    Depth {
        /// The depth asked for.
        found: usize,
    },
    /// No leaf, or more than the kernel's array holds.
    #[error("{found} leaves, expected 1 to {}", NODES_MAX / 2)]
    Leaves {
        /// The number of leaves asked for.
        found: usize,
    },
    /// Leaves without rows.
    #[error("0 rows a leaf, expected at least 1")]
    LeafRows,
    /// The caller's `progress` said so.
    #[error("the training was cancelled")]
    Cancelled,
}

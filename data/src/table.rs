//! Rows in files: Parquet, written and read, and CSV, written.
//!
//! Parquet because Spark, DuckDB, Polars, pandas and Dask read it. A file is a sequence of row groups of at most [`GROUP_ROWS`] rows; one of them
//! is in memory at a time. Its metadata has the schema (names, units, fraction bits), and a file of another schema is refused by column name.
//!
//! | column | type | |
//! |---|---|---|
//! | `capture` | string | path as given |
//! | `index`, `time_ns`, `flow`, `packet` | INT64 | as in [`Row`](crate::Row) |
//! | each feature | DOUBLE | in its unit |
//! | each feature with `_fixed` | INT64 | the same in 16 fractional bits, exact |
//! | `class` | string or null | |
//!
//! Not here: the rows' making ([`crate::row`]).

mod column;
mod csv;
mod error;
mod reader;
mod schema;
mod writer;

pub use column::{Column, Columns};
pub use csv::CsvWriter;
pub use error::TableError;
pub use reader::{Chunk, Reader};
pub use schema::{FORMAT, VERSION};
pub use writer::{ParquetWriter, Writer};

/// Most rows of a row group: in memory about 40 MB, and enough for columns to compress.
pub const GROUP_ROWS: usize = 1 << 18;

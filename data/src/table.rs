//! Rows in files: Parquet, written and read, and CSV, written.
//!
//! Parquet because Spark, `DuckDB`, Polars, pandas and Dask read it. A file is a sequence of row groups of at most [`GROUP_ROWS`] rows; one of them
//! is in memory at a time. Its metadata has the schema (names, units, fraction bits), and a file of another schema is refused by column name.
//!
//! | column | type | |
//! |---|---|---|
//! | `capture` | string | the capture's path, absolute |
//! | `index`, `time_ns`, `flow`, `packet`, `midstream` | INT64 | as in [`Row`](crate::Row) |
//! | each feature | DOUBLE | in its unit |
//! | each feature with `_fixed` | INT64 | the same in 16 fractional bits, exact |
//! | `class` | string or null | |
//!
//! A flow is known by its capture and its number: tables of several runs may be put together, and their rows come in any order. [`Identity`] refuses a
//! table in which that key means two flows.
//!
//! Not here: the rows' making ([`crate::row`]).

mod column;
mod csv;
mod error;
mod guard;
mod identity;
mod output;
mod parquet;
mod reader;
mod schema;

use treeline_ebpf::feature::FRACTION_BITS;

pub use self::column::Column;
pub use self::csv::CsvWriter;
pub use self::error::TableError;
pub use self::identity::Identity;
pub use self::output::Output;
pub use self::parquet::ParquetWriter;
pub use self::reader::{Chunk, Chunks, Reader};
pub use self::schema::{FORMAT, Names, VERSION};

/// Most rows of a row group: about 40 MB in memory, and enough for columns to compress.
pub const GROUP_ROWS: usize = 1 << 18;

/// A fixed-point value as a number in its feature's unit, exact below 2^53 in fixed point.
#[expect(clippy::cast_precision_loss, reason = "the exact value stands in the column beside it")]
fn real(fixed: i64) -> f64 {
    fixed as f64 / f64::from(1_u32 << FRACTION_BITS)
}

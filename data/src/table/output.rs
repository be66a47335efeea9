//! A file of rows under a name: its extension decides the format, and it has the name only when it is complete.

use std::io::{self, BufWriter, Stdout};
use std::path::{Path, PathBuf};

use treeline_model::Draft;

use super::csv::CsvWriter;
use super::parquet::ParquetWriter;
use super::schema::Names;
use super::{GROUP_ROWS, TableError};
use crate::Row;

/// Rows on their way into a file, or as CSV to standard output.
pub struct Output {
    path: PathBuf,
    writer: Writer,
}

enum Writer {
    Parquet(Box<ParquetWriter<BufWriter<Draft>>>),
    Csv(CsvWriter<BufWriter<Draft>>),
    Standard(CsvWriter<BufWriter<Stdout>>),
}

impl Output {
    /// Begins the file at `path`, which ends in `.parquet` or `.csv`, or is `-`. Until it is finished, the file has no name ([`Draft`]).
    pub fn create(path: &Path, names: &Names) -> Result<Self, TableError> {
        let writer = match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => Writer::Parquet(Box::new(ParquetWriter::new(draft(path)?, path, names, GROUP_ROWS)?)),
            Some("csv") => Writer::Csv(CsvWriter::new(draft(path)?, path, names)?),
            _ if path == Path::new("-") => {
                Writer::Standard(CsvWriter::new(BufWriter::with_capacity(1 << 16, io::stdout()), Path::new("standard output"), names)?)
            }
            _ => return Err(TableError::Extension { path: path.to_owned() }),
        };
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &Row) -> Result<(), TableError> {
        match &mut self.writer {
            Writer::Parquet(writer) => writer.write(row),
            Writer::Csv(writer) => writer.write(row),
            Writer::Standard(writer) => writer.write(row),
        }
    }

    /// Writes the rest and gives the file its name, replacing one that is there.
    pub fn finish(self) -> Result<(), TableError> {
        let output = match self.writer {
            Writer::Parquet(writer) => writer.finish()?,
            Writer::Csv(writer) => writer.finish()?,
            Writer::Standard(writer) => return writer.finish().map(drop),
        };
        let flushed = output.into_inner().map_err(io::IntoInnerError::into_error);
        let named = flushed.and_then(Draft::finish);
        named.map_err(|source| TableError::Open { path: self.path, what: "write the table", source })
    }
}

fn draft(path: &Path) -> Result<BufWriter<Draft>, TableError> {
    let open = |source| TableError::Open { path: path.to_owned(), what: "create the table", source };
    Draft::create(path).map(|file| BufWriter::with_capacity(1 << 16, file)).map_err(open)
}

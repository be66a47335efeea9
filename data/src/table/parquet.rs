//! Rows into a Parquet file, a row group at a time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;
use treeline_ebpf::FEATURES;

use super::column::Column;
use super::schema::{self, FORMAT, Names};
use super::{GROUP_ROWS, TableError, real};
use crate::Row;

/// Writes Parquet, compressed with zstd.
pub struct ParquetWriter<W: Write + Send> {
    path: PathBuf,
    file: SerializedFileWriter<W>,
    captures: Vec<ByteArray>,
    classes: Vec<ByteArray>,
    /// The rows of the next row group.
    rows: Vec<Row>,
    group_rows: usize,
    rows_written: u64,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file; `path` stands for it in errors, `names` must have a name for each capture and class of its rows, and `group_rows` is how
    /// many rows a group has, usually [`GROUP_ROWS`].
    pub fn new(output: W, path: &Path, names: &Names, group_rows: usize) -> Result<Self, TableError> {
        let file = begin(output, names).map_err(|source| broken(path, 0, source))?;
        let strings = |names: &[String]| names.iter().map(|name| ByteArray::from(name.as_str())).collect();
        Ok(Self {
            path: path.to_owned(),
            file,
            captures: strings(&names.captures),
            classes: strings(&names.classes),
            rows: Vec::new(),
            group_rows: group_rows.clamp(1, GROUP_ROWS),
            rows_written: 0,
        })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &Row) -> Result<(), TableError> {
        self.rows.push(*row);
        if self.rows.len() < self.group_rows { Ok(()) } else { self.flush() }
    }

    /// Writes the last row group and the metadata, and gives back the output.
    pub fn finish(mut self) -> Result<W, TableError> {
        self.flush()?;
        let row = self.rows_written;
        self.file.into_inner().map_err(|source| broken(&self.path, row, source))
    }

    fn flush(&mut self) -> Result<(), TableError> {
        if !self.rows.is_empty() {
            self.group().map_err(|source| broken(&self.path, self.rows_written, source))?;
            self.rows_written += self.rows.len() as u64;
            self.rows.clear();
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        let rows = &self.rows;
        let mut group = self.file.next_row_group()?;
        let captures: Vec<_> = rows.iter().map(|row| self.captures[row.capture as usize].clone()).collect();
        strings(&mut group, &captures, None)?;
        for column in Column::COUNTERS {
            integers(&mut group, rows.iter().map(|row| counter(row, column)))?;
        }
        for feature in 0..FEATURES {
            let values: Vec<_> = rows.iter().map(|row| real(row.features[feature])).collect();
            let mut writer = next(&mut group)?;
            writer.typed::<DoubleType>().write_batch(&values, None, None)?;
            writer.close()?;
        }
        for feature in 0..FEATURES {
            integers(&mut group, rows.iter().map(|row| row.features[feature]))?;
        }
        let classes: Vec<_> = rows.iter().filter_map(|row| row.class).map(|class| self.classes[usize::from(class)].clone()).collect();
        let defined: Vec<_> = rows.iter().map(|row| i16::from(row.class.is_some())).collect();
        strings(&mut group, &classes, Some(&defined))?;
        group.close()?;
        Ok(())
    }
}

fn begin<W: Write + Send>(output: W, names: &Names) -> Result<SerializedFileWriter<W>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("treeline ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(FORMAT.to_owned(), schema::document(names))]));
    // Numbers that mostly rise by little: smaller as differences than in a dictionary.
    for column in Column::COUNTERS.map(|column| ColumnPath::from(column.name())) {
        properties = properties.set_column_dictionary_enabled(column.clone(), false);
        properties = properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    SerializedFileWriter::new(output, schema::parquet()?, Arc::new(properties.build()))
}

/// A row's value in one of [`Column::COUNTERS`].
fn counter(row: &Row, column: Column) -> i64 {
    let value = match column {
        Column::Index => row.index,
        Column::Time => row.time_ns,
        Column::Flow => row.flow,
        Column::Midstream => row.midstream.into(),
        _ => row.packet,
    };
    // Times after 2262 only.
    i64::try_from(value).unwrap_or(i64::MAX)
}

type Group<'a, W> = SerializedRowGroupWriter<'a, W>;

fn integers<W: Write + Send>(group: &mut Group<'_, W>, values: impl Iterator<Item = i64>) -> Result<(), ParquetError> {
    let values: Vec<_> = values.collect();
    let mut writer = next(group)?;
    writer.typed::<Int64Type>().write_batch(&values, None, None)?;
    writer.close()
}

fn strings<W: Write + Send>(group: &mut Group<'_, W>, values: &[ByteArray], defined: Option<&[i16]>) -> Result<(), ParquetError> {
    let mut writer = next(group)?;
    writer.typed::<ByteArrayType>().write_batch(values, defined, None)?;
    writer.close()
}

fn next<'a, W: Write + Send>(group: &'a mut Group<'_, W>) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has fewer columns than a row".to_owned()))
}

fn broken(path: &Path, row: u64, source: ParquetError) -> TableError {
    TableError::Parquet { path: path.to_owned(), what: format!("cannot write the row group that begins with row {row}"), source }
}

//! Rows back from a Parquet file: the columns that are asked for, a chunk at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use treeline_ebpf::FEATURES;

use super::column::Column;
use super::guard::guarded;
use super::schema::{self, FORMAT, Names};
use super::{GROUP_ROWS, TableError};

/// A Parquet file of rows, its schema checked.
pub struct Reader {
    path: PathBuf,
    file: SerializedFileReader<File>,
    names: Names,
}

/// Some rows, column by column. Columns that were not asked for are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// How many rows, at most [`GROUP_ROWS`].
    pub rows: usize,
    /// Indices into [`Reader::captures`].
    pub capture: Vec<u32>,
    /// Frame indices.
    pub index: Vec<u64>,
    /// Times, nanoseconds since 1970.
    pub time_ns: Vec<u64>,
    /// Flow numbers.
    pub flow: Vec<u64>,
    /// Packet numbers within their flows, from 1.
    pub packet: Vec<u64>,
    /// Whether their flows are midstream.
    pub midstream: Vec<bool>,
    /// The features in fixed point.
    pub features: [Vec<i64>; FEATURES],
    /// Indices into [`Reader::classes`]; `None` without a class.
    pub class: Vec<Option<u16>>,
}

impl Reader {
    /// Opens the file at `path` and checks its metadata and columns. No row is read yet.
    ///
    /// Fails if it is no Parquet file, was not written by `treeline features`, or has other features, units, fraction bits or types. [`Column::Midstream`] may be missing, until it is read.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|source| TableError::Open { path: path.to_owned(), what: "open the table", source })?;
        let file = guarded(|| SerializedFileReader::new(file)).map_err(|source| TableError::Parquet {
            path: path.to_owned(),
            what: "not a Parquet file, or damaged at its end".to_owned(),
            source,
        })?;
        let metadata = file.metadata().file_metadata().key_value_metadata();
        let document = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == FORMAT)?.value.as_deref());
        let names = schema::check(path, document.ok_or_else(|| TableError::NoSchema { path: path.to_owned() })?)?;
        let reader = Self { path: path.to_owned(), file, names };
        for column in Column::all().into_iter().filter(|column| *column != Column::Midstream) {
            reader.place(column)?;
        }
        Ok(reader)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows of the file.
    #[must_use]
    pub fn rows_count(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// The captures' paths, by number.
    #[must_use]
    pub fn captures(&self) -> &[String] {
        &self.names.captures
    }

    /// The classes' names, by number; 0 is `benign`.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.names.classes
    }

    /// The rows from the beginning, only `columns` of them, in chunks of at most [`GROUP_ROWS`] rows. The iteration ends after an error.
    #[must_use]
    pub fn chunks(&self, columns: &[Column]) -> Chunks<'_> {
        Chunks { reader: self, columns: columns.to_vec(), next_group: 0, open: Vec::new(), left: 0, row: 0, ended: false }
    }

    /// Where a column is in the file, if it has the right type.
    fn place(&self, column: Column) -> Result<usize, TableError> {
        let name = column.name();
        let columns = self.file.metadata().file_metadata().schema_descr().columns();
        let place = columns.iter().position(|descriptor| descriptor.path().parts() == [name.as_str()]);
        let path = || self.path.clone();
        let place = place.ok_or_else(|| match column {
            Column::Capture => TableError::NoCapture { path: path() },
            _ => TableError::MissingColumn { path: path(), column: name.clone() },
        })?;
        let descriptor = &columns[place];
        let (physical, levels, expected) = match column {
            Column::Capture => (Physical::BYTE_ARRAY, 0..=1, "one string a row"),
            Column::Class => (Physical::BYTE_ARRAY, 0..=1, "at most one string a row"),
            _ => (Physical::INT64, 0..=1, "one INT64 a row"),
        };
        if descriptor.physical_type() != physical || descriptor.max_rep_level() > 0 || !levels.contains(&descriptor.max_def_level()) {
            let found =
                format!("{} of {}", descriptor.physical_type(), descriptor.logical_type_ref().map_or("numbers", |_| "logical type"));
            return Err(TableError::ColumnType { path: self.path.clone(), column: name, found, expected });
        }
        Ok(place)
    }
}

/// The chunks of a table.
pub struct Chunks<'a> {
    reader: &'a Reader,
    columns: Vec<Column>,
    next_group: usize,
    /// The columns of the row group being read.
    open: Vec<ColumnReader>,
    /// Rows of the group that have not been read.
    left: usize,
    /// The row of the file that comes next.
    row: u64,
    ended: bool,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.read().transpose();
        self.ended = !matches!(chunk, Some(Ok(_)));
        chunk
    }
}

impl Chunks<'_> {
    fn read(&mut self) -> Result<Option<Chunk>, TableError> {
        while self.left == 0 {
            if self.next_group == self.reader.file.num_row_groups() {
                return Ok(None);
            }
            self.open_group()?;
        }
        let rows = self.left.min(GROUP_ROWS);
        let mut chunk = Chunk { rows, ..Chunk::default() };
        for at in 0..self.columns.len() {
            self.read_column(at, &mut chunk)?;
        }
        self.left -= rows;
        self.row += rows as u64;
        Ok(Some(chunk))
    }

    fn open_group(&mut self) -> Result<(), TableError> {
        let number = self.next_group;
        let broken =
            |source| TableError::Parquet { path: self.reader.path.clone(), what: format!("cannot read row group {number}"), source };
        let group = guarded(|| self.reader.file.get_row_group(number)).map_err(broken)?;
        self.left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let places: Result<Vec<_>, _> = self.columns.iter().map(|column| self.reader.place(*column)).collect();
        let open: Result<Vec<_>, _> = places?.into_iter().map(|place| guarded(|| group.get_column_reader(place))).collect();
        self.open = open.map_err(broken)?;
        self.next_group += 1;
        Ok(())
    }

    fn read_column(&mut self, at: usize, chunk: &mut Chunk) -> Result<(), TableError> {
        let (reader, row, column) = (self.reader, self.row, self.columns[at]);
        let broken = |source| TableError::Parquet {
            path: reader.path.clone(),
            what: format!("cannot read column {:?} from row {row} on", column.name()),
            source,
        };
        let place = Place { path: &reader.path, column, row };
        match &mut self.open[at] {
            ColumnReader::Int64ColumnReader(open) => {
                let values = guarded(|| read_integers(open, chunk.rows)).map_err(broken)?;
                place.full(values.len(), chunk.rows)?;
                place.integers(values, chunk)
            }
            ColumnReader::ByteArrayColumnReader(open) => {
                let (values, defined) = guarded(|| read_strings(open, chunk.rows)).map_err(broken)?;
                place.full(defined.len(), chunk.rows)?;
                place.strings(&values, &defined, &reader.names, chunk)
            }
            _ => unreachable!("the types were checked when the file was opened"),
        }
    }
}

fn read_integers(reader: &mut ColumnReaderImpl<Int64Type>, rows: usize) -> Result<Vec<i64>, ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    Ok(values)
}

/// The strings that are there, and for each row whether it has one.
fn read_strings(reader: &mut ColumnReaderImpl<ByteArrayType>, rows: usize) -> Result<(Vec<ByteArray>, Vec<bool>), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (records, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    let defined = if levels.is_empty() { vec![true; records] } else { levels.into_iter().map(|level| level > 0).collect() };
    Ok((values, defined))
}

/// Where values come from, for errors.
struct Place<'a> {
    path: &'a Path,
    column: Column,
    row: u64,
}

impl Place<'_> {
    fn full(&self, found: usize, expected: usize) -> Result<(), TableError> {
        if found == expected {
            return Ok(());
        }
        Err(TableError::ShortColumn { path: self.path.to_owned(), column: self.column.name(), row: self.row, found, expected })
    }

    fn value(&self, at: usize, found: String, expected: &'static str) -> TableError {
        TableError::Value { path: self.path.to_owned(), row: self.row + at as u64, column: self.column.name(), found, expected }
    }

    fn integers(&self, values: Vec<i64>, chunk: &mut Chunk) -> Result<(), TableError> {
        if let Some(at) = values.iter().position(|value| *value < 0) {
            return Err(self.value(at, values[at].to_string(), "a number from 0"));
        }
        let counters = |values: Vec<i64>| values.into_iter().map(i64::cast_unsigned).collect();
        match self.column {
            Column::Index => chunk.index = counters(values),
            Column::Time => chunk.time_ns = counters(values),
            Column::Flow => chunk.flow = counters(values),
            Column::Packet => chunk.packet = counters(values),
            Column::Midstream => chunk.midstream = values.into_iter().map(|value| value > 0).collect(),
            Column::Feature(feature) => chunk.features[feature] = values,
            Column::Capture | Column::Class => unreachable!("strings"),
        }
        Ok(())
    }

    fn strings(&self, values: &[ByteArray], defined: &[bool], names: &Names, chunk: &mut Chunk) -> Result<(), TableError> {
        let (known, expected) = match self.column {
            Column::Capture => {
                (&names.captures, "a capture that the metadata name; tables put together need the captures and classes of all in theirs")
            }
            _ => (&names.classes, "a class that the metadata name; tables put together need the captures and classes of all in theirs"),
        };
        let mut values = values.iter();
        let mut last: Option<(&[u8], usize)> = None;
        for (at, defined) in defined.iter().enumerate() {
            let value = if *defined { values.next().map(ByteArray::data) } else { None };
            let number = match (value, last) {
                (None, _) => None,
                (Some(value), Some((text, number))) if text == value => Some(number),
                (Some(value), _) => {
                    let number = known.iter().position(|name| name.as_bytes() == value);
                    let number = number.ok_or_else(|| self.value(at, format!("{:?}", String::from_utf8_lossy(value)), expected))?;
                    last = Some((value, number));
                    Some(number)
                }
            };
            match self.column {
                Column::Capture => {
                    let number = number.ok_or_else(|| self.value(at, "null".to_owned(), expected))?;
                    chunk.capture.push(u32::try_from(number).unwrap_or(u32::MAX));
                }
                _ => chunk.class.push(number.and_then(|number| u16::try_from(number).ok())),
            }
        }
        Ok(())
    }
}

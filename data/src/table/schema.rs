//! What a file says about itself: its columns' types, and in its metadata their meaning.

use std::collections::HashSet;
use std::path::Path;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use serde::{Deserialize, Serialize};
use treeline_ebpf::feature::{FRACTION_BITS, NAMES};
use treeline_model::BENIGN;

use super::TableError;
use super::column::{CAPTURE, CLASS, names};

/// The format's name, and the key under which a file's metadata have it.
pub const FORMAT: &str = "treeline-features";
/// The version that is written, and the only one that is read.
pub const VERSION: u64 = 1;

/// The captures and classes that the numbers in rows stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Paths of the captures, by number, each once.
    pub captures: Vec<String>,
    /// Names of the classes, by number, each once.
    pub classes: Vec<String>,
}

/// The document in the metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: String,
    version: u64,
    tool: String,
    fraction_bits: u64,
    features: Vec<Feature>,
    classes: Vec<String>,
    captures: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Feature {
    name: String,
    unit: String,
}

/// The columns' types.
pub(super) fn parquet() -> Result<TypePtr, ParquetError> {
    let mut fields = Vec::new();
    for name in names() {
        let builder = match name.as_str() {
            CAPTURE | CLASS => Type::primitive_type_builder(&name, Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)),
            real if NAMES.iter().any(|(feature, _)| *feature == real) => Type::primitive_type_builder(&name, Physical::DOUBLE),
            _ => Type::primitive_type_builder(&name, Physical::INT64),
        };
        let repetition = if name == CLASS { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        fields.push(builder.with_repetition(repetition).build()?.into());
    }
    Ok(Type::group_type_builder("row").with_fields(fields).build()?.into())
}

/// The metadata of a file with these names.
pub(super) fn document(names: &Names) -> String {
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: format!("treeline {}", env!("CARGO_PKG_VERSION")),
        fraction_bits: FRACTION_BITS.into(),
        features: NAMES.iter().map(|(name, unit)| Feature { name: (*name).to_owned(), unit: (*unit).to_owned() }).collect(),
        classes: names.classes.clone(),
        captures: names.captures.clone(),
    };
    serde_json::to_string_pretty(&document).unwrap_or_else(|error| unreachable!("strings and numbers: {error}"))
}

/// The names in a file's metadata, if their schema is the classifier's.
pub(super) fn check(path: &Path, text: &str) -> Result<Names, TableError> {
    let metadata = |reason: String| TableError::Metadata { path: path.to_owned(), reason };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| metadata(error.to_string()))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(VERSION) | None => {}
        Some(found) => return Err(TableError::Version { path: path.to_owned(), found }),
    }
    let document: Document = serde_json::from_value(value).map_err(|error| metadata(error.to_string()))?;
    if document.format != FORMAT {
        return Err(metadata(format!("the format is {:?}, expected {FORMAT:?}", document.format)));
    }
    if document.fraction_bits != u64::from(FRACTION_BITS) {
        return Err(TableError::FractionBits { path: path.to_owned(), found: document.fraction_bits });
    }
    for (column, expected) in NAMES {
        let Some(feature) = document.features.iter().find(|feature| feature.name == column) else {
            return Err(TableError::MissingColumn { path: path.to_owned(), column: column.to_owned() });
        };
        if feature.unit != expected {
            return Err(TableError::Unit { path: path.to_owned(), column, found: feature.unit.clone(), expected });
        }
    }
    if let Some(unknown) = document.features.iter().find(|feature| NAMES.iter().all(|(name, _)| *name != feature.name)) {
        return Err(TableError::UnknownFeature { path: path.to_owned(), column: unknown.name.clone() });
    }
    if document.classes.first().is_none_or(|first| first != BENIGN) {
        return Err(metadata(format!("the first class must be {BENIGN:?}")));
    }
    if document.classes.len() > treeline_model::CLASSES_MAX {
        return Err(metadata(format!("{} classes, expected at most {}", document.classes.len(), treeline_model::CLASSES_MAX)));
    }
    for (field, names) in [("captures", &document.captures), ("classes", &document.classes)] {
        let mut known = HashSet::new();
        if let Some(name) = names.iter().find(|name| !known.insert(name.as_str())) {
            return Err(metadata(format!("{field} has {name:?} twice, and rows do not say which of them they mean")));
        }
    }
    Ok(Names { captures: document.captures, classes: document.classes })
}

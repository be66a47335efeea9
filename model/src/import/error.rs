//! Why an import is refused: the field or line, what it holds, what to do.

use std::path::PathBuf;

/// A model that cannot be imported. Fields are named as the library's file names them.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file's content is refused.
    #[error("{}: {error}", path.display())]
    File {
        /// The file, or the folder.
        path: PathBuf,
        /// The reason.
        error: Box<ImportError>,
    },
    /// The operating system did not give the bytes.
    #[error("cannot read it: {error}")]
    Io {
        /// The system's reason.
        error: std::io::Error,
    },
    /// The file is longer than [`BYTES_MAX`](super::BYTES_MAX).
    #[error("more than {bytes_max} bytes; train with fewer or smaller trees")]
    TooLarge {
        /// Bytes that a file may have.
        bytes_max: usize,
    },
    /// The content is of no known format.
    #[error(
        "not a model known here: found {found}; give scikit-learn arrays (docs/import.md), the paper's folder, XGBoost JSON, LightGBM text or ONNX"
    )]
    Unknown {
        /// What it looks like.
        found: &'static str,
    },
    /// The text begins like JSON and is not.
    #[error("line {line}, column {column}: not JSON: {reason}; a model is one whole document of finite numbers: save it again")]
    NotJson {
        /// Line of the text, from 1.
        line: usize,
        /// Byte of the line, from 1.
        column: usize,
        /// The parser's reason.
        reason: String,
    },
    /// The text is not JSON, or a field is missing or has another type.
    #[error("line {line}, column {column}: {field}: {reason}")]
    Json {
        /// The field's place, such as `trees[3].threshold[0]`.
        field: String,
        /// Line of the text, from 1.
        line: usize,
        /// Byte of the line, from 1.
        column: usize,
        /// The parser's reason.
        reason: String,
    },
    /// The bytes are not a protocol buffer of the ONNX schema.
    #[error("not an ONNX file: {reason}; write it with onnx.save")]
    Onnx {
        /// The decoder's reason.
        reason: String,
    },
    /// A field's value contradicts the rest of the file, or cannot be.
    #[error("{field}: found {found}, expected {expected}")]
    Field {
        /// The field's place.
        field: String,
        /// What it holds.
        found: String,
        /// What would fit.
        expected: String,
    },
    /// The file is sound, but uses what an import cannot keep exactly.
    #[error("{field}: {found} is not supported; {advice}")]
    Unsupported {
        /// The field's place.
        field: String,
        /// What it holds.
        found: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The format does not say in which unit times are.
    #[error("the paper's arrays do not say their unit of time; give --time-unit ns, us, ms or s (the published tree is in ms)")]
    TimeUnit,
    /// A column of the model is none of the classifier's features.
    #[error("{field}: {found}; name the model's columns in its order with --features, from {}", names())]
    Features {
        /// The field's place.
        field: String,
        /// What is wrong.
        found: String,
    },
    /// The model's classes cannot be told into benign and malicious.
    #[error("classes {labels}: {reason}")]
    Classes {
        /// The model's own names.
        labels: String,
        /// What is wrong and what to give.
        reason: String,
    },
    /// The tree is sound, but more than the classifier takes.
    #[error("the imported model: {0}")]
    Model(#[from] crate::Error),
}

fn names() -> String {
    treeline_ebpf::feature::NAMES.map(|(name, _)| name).join(",")
}

/// [`ImportError::Field`] in one line.
#[expect(clippy::needless_pass_by_value, reason = "called with numbers and texts alike")]
pub(crate) fn field(field: impl Into<String>, found: impl ToString, expected: impl Into<String>) -> ImportError {
    ImportError::Field { field: field.into(), found: found.to_string(), expected: expected.into() }
}

/// Refuses a number of rounds that the model does not have.
pub(crate) fn check_rounds(found: usize, rounds: usize) -> Result<(), ImportError> {
    if (1..=rounds).contains(&found) { Ok(()) } else { Err(field("--rounds", found, format!("1 to {rounds}, the rounds of the model"))) }
}

/// [`ImportError::Unsupported`] in one line.
#[expect(clippy::needless_pass_by_value, reason = "called with numbers and texts alike")]
pub(crate) fn unsupported(field: impl Into<String>, found: impl ToString, advice: &'static str) -> ImportError {
    ImportError::Unsupported { field: field.into(), found: found.to_string(), advice }
}

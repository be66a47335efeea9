//! Files -> bytes of a known format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::paper::ARRAYS;
use super::{ImportError, json, lightgbm, onnx, sklearn, xgboost};

/// Bytes that a file may have. Reading the worst document of this size takes about a hundred times as much memory.
pub const BYTES_MAX: usize = 16 << 20;

/// Whose model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A scikit-learn tree or forest, written by the snippet in `docs/import.md`.
    Sklearn,
    /// The folder of five arrays published with the paper.
    Paper,
    /// `Booster.save_model("model.json")`.
    Xgboost,
    /// `Booster.save_model("model.txt")`.
    Lightgbm,
    /// ONNX-ML.
    Onnx,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Sklearn, Self::Paper, Self::Xgboost, Self::Lightgbm, Self::Onnx];

    /// The name in options and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sklearn => "sklearn",
            Self::Paper => "paper",
            Self::Xgboost => "xgboost",
            Self::Lightgbm => "lightgbm",
            Self::Onnx => "onnx",
        }
    }
}

/// The bytes of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// JSON.
    Sklearn(Vec<u8>),
    /// The arrays in the order of their names: childrenLeft, childrenRight, feature, threshold, value.
    Paper([Vec<u8>; 5]),
    /// JSON.
    Xgboost(Vec<u8>),
    /// Text.
    Lightgbm(Vec<u8>),
    /// A protocol buffer.
    Onnx(Vec<u8>),
}

impl Source {
    /// Reads the file or folder at `path`, as `format` or as what its content looks like; every error names it.
    pub fn read(path: impl AsRef<Path>, format: Option<Format>) -> Result<Self, ImportError> {
        let path = path.as_ref();
        let source = if path.is_dir() || format == Some(Format::Paper) {
            ARRAYS.map(|name| read(&path.join(name))).into_iter().collect::<Result<Vec<_>, _>>().map(|arrays| {
                let mut arrays = arrays.into_iter();
                Self::Paper(std::array::from_fn(|_| arrays.next().unwrap_or_default()))
            })
        } else {
            read(path).and_then(|bytes| Self::of(bytes, format))
        };
        source.map_err(|error| match error {
            error @ ImportError::File { .. } => error,
            error => ImportError::File { path: path.to_owned(), error: Box::new(error) },
        })
    }

    /// The source in `bytes`, as `format` or as what they look like.
    pub fn of(bytes: Vec<u8>, format: Option<Format>) -> Result<Self, ImportError> {
        let format = match format {
            Some(format) => format,
            None => guess(&bytes)?,
        };
        Ok(match format {
            Format::Sklearn => Self::Sklearn(bytes),
            Format::Xgboost => Self::Xgboost(bytes),
            Format::Lightgbm => Self::Lightgbm(bytes),
            Format::Onnx => Self::Onnx(bytes),
            Format::Paper => return Err(ImportError::Unknown { found: "one file where the paper's model is a folder of five" }),
        })
    }

    /// Whose model it is.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Sklearn(_) => Format::Sklearn,
            Self::Paper(_) => Format::Paper,
            Self::Xgboost(_) => Format::Xgboost,
            Self::Lightgbm(_) => Format::Lightgbm,
            Self::Onnx(_) => Format::Onnx,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let bytes = || {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| ImportError::Io { error })?;
        file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| ImportError::Io { error })?;
        if bytes.len() > BYTES_MAX { Err(ImportError::TooLarge { bytes_max: BYTES_MAX }) } else { Ok(bytes) }
    };
    bytes().map_err(|error| ImportError::File { path: path.to_owned(), error: Box::new(error) })
}

fn guess(bytes: &[u8]) -> Result<Format, ImportError> {
    if lightgbm::looks_like(bytes) {
        return Ok(Format::Lightgbm);
    }
    let start = bytes.trim_ascii_start();
    if !start.starts_with(b"{") && !start.starts_with(b"[") {
        return if onnx::looks_like(bytes) { Ok(Format::Onnx) } else { Err(ImportError::Unknown { found: "neither text nor ONNX" }) };
    }
    // XGBoost's own binary form starts like a JSON object.
    if start.starts_with(b"{L") {
        return Err(ImportError::Unknown { found: "XGBoost's UBJSON (save the model as .json)" });
    }
    if xgboost::looks_like(bytes) {
        Ok(Format::Xgboost)
    } else if sklearn::looks_like(bytes) {
        Ok(Format::Sklearn)
    } else {
        json::whole(bytes)?;
        Err(ImportError::Unknown { found: "JSON with neither XGBoost's learner nor trees and classes" })
    }
}

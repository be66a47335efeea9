//! The model in use: the tree, its name and its id.

use std::path::Path;

use sha2::{Digest, Sha256};
use treeline_lab::cause::explain;
use treeline_model::Model;

use crate::read::{BUILT_IN, MODEL};

/// A model with its id.
#[derive(Debug, Clone)]
pub struct Named {
    /// The tree.
    pub model: Model,
    /// What alerts and metrics call it.
    pub id: u64,
    /// Where it came from, for people.
    pub source: String,
}

impl Named {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, String> {
        let model = Model::read_tree(path).map_err(|error| explain(&error))?;
        Ok(Self::of(model, path.display().to_string()))
    }

    /// The one that is built in.
    pub fn built_in() -> Result<Self, String> {
        Self::read_text(MODEL, BUILT_IN)
    }

    /// Reads a document that came from `source`.
    pub fn read_text(text: &str, source: &str) -> Result<Self, String> {
        let model = Model::read_bytes(text.as_bytes()).map_err(|error| format!("{source}: {}", explain(&error)))?;
        Ok(Self::of(model, source.to_owned()))
    }

    fn of(model: Model, source: String) -> Self {
        let id = id(&model);
        Self { model, id, source }
    }

    /// The name of class `class`.
    pub fn class(&self, class: u16) -> &str {
        crate::report::class(self.model.classes(), class)
    }
}

/// A model's id: the first eight bytes of its document's SHA-256. The same model has the same id in whatever layout its file is. Never 0.
fn id(model: &Model) -> u64 {
    let digest: [u8; 32] = Sha256::digest(model.to_json()).into();
    digest.first_chunk().map_or(1, |start| u64::from_be_bytes(*start).max(1))
}

/// An id as it is written everywhere.
pub fn written(id: u64) -> String {
    format!("{id:016x}")
}

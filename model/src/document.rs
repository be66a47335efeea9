//! What a model file holds: one tree, or an ensemble.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::ensemble::{self, ENSEMBLE_BYTES_MAX, EnsembleError};
use crate::file::{self, Kind};
use crate::{BYTES_MAX, Draft, Ensemble, Error, Model, Node};

/// A model file's content, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// One tree, which every engine runs.
    Tree(Model),
    /// Trees that vote, which the native engine runs.
    Ensemble(Ensemble),
}

impl From<Model> for Document {
    fn from(model: Model) -> Self {
        Self::Tree(model)
    }
}

impl From<Ensemble> for Document {
    fn from(ensemble: Ensemble) -> Self {
        Self::Ensemble(ensemble)
    }
}

impl Document {
    /// Reads the file at `path`; every error names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || {
            let mut text = Vec::new();
            let file = File::open(path).map_err(|error| Error::Io { error })?;
            file.take(ENSEMBLE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(|error| Error::Io { error })?;
            Self::read_bytes(&text)
        };
        read().map_err(|error| Error::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// Reads the document `text`. Any bytes give a document or an error.
    pub fn read_bytes(text: &[u8]) -> Result<Self, Error> {
        if text.len() > ENSEMBLE_BYTES_MAX {
            return Err(EnsembleError::TooLarge.into());
        }
        match file::kind(text)? {
            Kind::Tree => Model::read_bytes(text).map(Self::Tree),
            Kind::Ensemble => ensemble::parse(text).map(Self::Ensemble),
        }
    }

    /// Writes the file at `path` as [`Model::write`] does, replacing one that is there. Refuses a text that could not be read back for its size.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let text = self.to_json();
        let checked = match self {
            Self::Tree(_) if text.len() > BYTES_MAX => Err(Error::TooLarge),
            Self::Ensemble(_) if text.len() > ENSEMBLE_BYTES_MAX => Err(EnsembleError::TooLarge.into()),
            _ => Ok(()),
        };
        checked
            .and_then(|()| Draft::write(path, text.as_bytes()).map_err(|error| Error::Io { error }))
            .map_err(|error| Error::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// The text, which [`read_bytes`](Self::read_bytes) reads back to an equal document.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Tree(model) => model.to_json(),
            Self::Ensemble(ensemble) => ensemble.to_json(),
        }
    }

    /// The classes' names; 0 is benign, every other one malicious.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Tree(model) => model.classes(),
            Self::Ensemble(ensemble) => ensemble.classes(),
        }
    }

    /// What it is, in its author's words.
    #[must_use]
    pub fn description(&self) -> &str {
        match self {
            Self::Tree(model) => model.description(),
            Self::Ensemble(ensemble) => ensemble.description(),
        }
    }

    /// The packet of a flow, counted from 1, at which the model is asked first; the packets before it are benign.
    #[must_use]
    pub fn packets_min(&self) -> u32 {
        match self {
            Self::Tree(model) => model.packets_min(),
            Self::Ensemble(ensemble) => ensemble.packets_min(),
        }
    }

    /// Whether the flows that began in the middle of a TCP connection are benign without asking the model.
    #[must_use]
    pub fn midstream_passes(&self) -> bool {
        match self {
            Self::Tree(model) => model.midstream_passes(),
            Self::Ensemble(ensemble) => ensemble.midstream_passes(),
        }
    }

    /// Whether the model is asked about packet `packet`, counted from 1, of a flow that is midstream or not. If not, the packet is benign.
    #[must_use]
    pub fn asks(&self, packet: u64, midstream: bool) -> bool {
        packet >= self.packets_min().into() && !(midstream && self.midstream_passes())
    }

    /// The nodes of each tree, root first. A leaf's `class` is the class of a single tree, and in an ensemble the index of its values.
    pub fn trees(&self) -> impl Iterator<Item = &[Node]> {
        let (one, many) = match self {
            Self::Tree(model) => (Some(model.nodes()), [].as_slice()),
            Self::Ensemble(ensemble) => (None, ensemble.trees()),
        };
        one.into_iter().chain(many.iter().map(|tree| tree.nodes.as_slice()))
    }
}

//! The decision tree: a JSON document becomes a checked [`Model`], the model becomes the array that the kernel walks, or its code.
//!
//! A `Model` is valid by construction: [`Model::read`], [`Model::read_bytes`] and [`Model::from_nodes`] refuse whatever is not a tree that
//! `treeline_ebpf::tree::descend` decides for every packet, and an [`Error`] says which field of which node is wrong.
//! The modules follow the file's way: its text, its schema, its nodes, the shape they must have; then what is made of a model: the kernel's array
//! (`pack`), or instructions ([`compile`]) in an object ([`link`]). [`Ensemble`] is the same for many trees, a [`Document`] is either, and
//! [`import`] brings models that other libraries trained.
//!
//! Not here: the walk itself (`treeline-ebpf`), the reference's walk in real numbers (`treeline-sim`), and training
//! (`testdata/models/train_lab.py`).

#![forbid(unsafe_code)]

pub mod compile;
mod document;
pub mod ensemble;
mod error;
mod file;
pub mod import;
pub mod link;
mod model;
mod node;
mod pack;
#[cfg(test)]
mod property;
mod schema;
mod shape;
#[cfg(any(test, feature = "proptest"))]
pub mod strategy;

pub use document::Document;
pub use ensemble::{Ensemble, EnsembleError};
pub use error::{Error, Side};
pub use file::{BYTES_MAX, FORMAT, VERSION};
pub use model::Model;
pub use node::{Node, RealNode};
pub use schema::{BENIGN, CLASSES_MAX};

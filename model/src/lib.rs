//! The decision tree: a JSON document becomes a checked [`Model`], the model becomes the array that the kernel walks, or its code.
//!
//! A `Model` is valid by construction: [`Model::read`], [`Model::read_bytes`] and [`Model::from_nodes`] refuse whatever is not a tree that
//! `treeline_ebpf::tree::descend` decides for every packet, and an [`Error`] says which field of which node is wrong.
//! The modules follow the file's way: its text, its schema, its nodes, the shape they must have; then what is made of a model: the kernel's array
//! (`pack`), or instructions ([`compile`]) in an object ([`link`]). [`Ensemble`] is the same for many trees, a [`Document`] is either, and
//! [`import`] brings models that other libraries trained. A [`Draft`] is a file on its way to its name.
//!
//! [`train`] grows a tree from labelled rows.
//!
//! Not here: the walk itself (`treeline-ebpf`), the reference's walk in real numbers (`treeline-sim`), and where rows come from.

#![forbid(unsafe_code)]

mod document;
mod draft;
pub mod ensemble;
mod error;
mod file;
mod schema;

mod model;
mod node;
mod pack;
mod path;
mod shape;

pub mod import;
pub mod train;

pub mod compile;
pub mod link;

#[cfg(test)]
mod property;
#[cfg(any(test, feature = "proptest"))]
pub mod strategy;

pub use document::Document;
pub use draft::Draft;
pub use ensemble::{Ensemble, EnsembleError};
pub use error::{Error, Side};
pub use file::{BYTES_MAX, FORMAT, VERSION};
pub use model::Model;
pub use node::{Node, RealNode};
pub use path::{depth, leaves, path};
pub use schema::{BENIGN, CLASSES_MAX};

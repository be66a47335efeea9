//! The model: a JSON document becomes a checked [`Model`], whose [`Rule`] is one decision tree or a vote of many; a tree becomes the array that
//! the kernel walks, or its code.
//!
//! A `Model` is valid by construction: [`Model::read`], [`Model::read_bytes`] and [`Model::new`] refuse whatever does not decide every packet,
//! and an [`Error`] says which field of which node is wrong. The modules follow the file's way: its text, its schema, its nodes, the shape they
//! must have; then what is made of a model: the kernel's array (`pack`), or instructions ([`compile`]) in an object ([`link`]). [`import`] brings
//! models that other libraries trained. A [`Draft`] is a file on its way to its name.
//!
//! [`train`] grows a tree from labelled rows.
//!
//! Not here: the walk itself (`treeline-ebpf`), the reference's walk in real numbers (`treeline-sim`), and where rows come from.

#![forbid(unsafe_code)]

mod draft;
mod error;
mod file;
mod schema;

mod model;
mod node;
mod pack;
mod path;
mod precondition;
mod shape;
mod tree;
pub mod vote;

pub mod import;
pub mod train;

pub mod compile;
pub mod link;

#[cfg(test)]
mod property;
#[cfg(any(test, feature = "proptest"))]
pub mod strategy;

pub use draft::Draft;
pub use error::{Error, Side};
pub use file::{BYTES_MAX, FORMAT, VERSION};
pub use model::{Model, Rule};
pub use node::{Node, RealNode};
pub use path::{depth, leaves, path};
pub use precondition::Precondition;
pub use schema::{BENIGN, CLASSES_MAX};
pub use tree::Tree;
pub use vote::{Vote, VoteError};

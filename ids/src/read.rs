//! What several commands read: a model, and an object as the command line says.

use std::path::Path;

use treeline_lab::bpf::{self, Kind, ReadOptions};
use treeline_lab::cause::explain;
use treeline_lab::lab::bytes;
use treeline_model::Model;

use crate::options::Hook;

/// The model that is built in.
pub const MODEL: &str = include_str!("../../testdata/models/default.json");
/// Its name in reports.
pub const BUILT_IN: &str = "built-in";

/// What reports call the file of a model, or the one that is built in.
pub fn model_path(path: Option<&Path>) -> &Path {
    path.unwrap_or(Path::new(BUILT_IN))
}

/// The model of a file, or the one that is built in.
pub fn model(path: Option<&Path>) -> Result<Model, String> {
    path.map_or_else(|| Model::read_bytes(MODEL.as_bytes()), Model::read).map_err(|error| explain(&error))
}

/// `NAME=VALUE` set, programs of unknown sections taken for `kind`.
pub fn options(elf: &[u8], set: &[String], kind: Option<Hook>) -> Result<ReadOptions, String> {
    let kind = kind.map(|hook| {
        Kind::of(match hook {
            Hook::Xdp => bpf::Hook::Xdp,
            Hook::Tc => bpf::Hook::Tc,
            Hook::Socket => bpf::Hook::Socket,
        })
    });
    let mut options = ReadOptions { kind, ..ReadOptions::default() };
    for pair in set {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: write it as NAME=VALUE"))?;
        options.globals.insert(name.to_owned(), bytes::global(elf, name, value).map_err(|error| explain(&error))?);
    }
    Ok(options)
}

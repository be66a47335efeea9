//! How to read an object as the command line says: `test` and `verify`.

use treeline_lab::bpf::{self, Kind, ReadOptions};
use treeline_lab::cause::explain;
use treeline_lab::lab::bytes;

use crate::options::Hook;

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

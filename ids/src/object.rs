//! How to read an object as the command line says: `replay --object` and `verify`.

use treeline_lab::bpf::Kind;
use treeline_lab::cause::explain;
use treeline_lab::lab::bytes;
use treeline_lab::vm::{self, Options};

use crate::arguments::Hook;

/// `NAME=VALUE` set, programs of unknown sections taken for `kind`.
pub fn options(elf: &[u8], set: &[String], kind: Option<Hook>) -> Result<Options, String> {
    let kind = kind.map(|hook| {
        Kind::of(match hook {
            Hook::Xdp => vm::Hook::Xdp,
            Hook::Tc => vm::Hook::Tc,
            Hook::Socket => vm::Hook::Socket,
        })
    });
    let mut options = Options { kind, ..Options::default() };
    for pair in set {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: write it as NAME=VALUE"))?;
        options.globals.insert(name.to_owned(), bytes::global(elf, name, value).map_err(|error| explain(&error))?);
    }
    Ok(options)
}

//! The object's types made such as this kernel takes them, in place: every type keeps its number and its length.

use super::Features;
use super::syscall::{attribute, bpf_fd};
use crate::bpf::Types;
use crate::bpf::types::{CONST, DATASEC, DECL_TAG, ENUM, ENUM64, FLOAT, FUNC, FUNC_PROTO, INT, PTR, STRUCT, TYPE_TAG, TYPEDEF, UNION, VAR};
use aya_obj::generated::bpf_cmd;
use std::io;
use std::os::fd::OwnedFd;

/// Functions that compilers add and whose callers must be verified with them.
const BUILTIN: [&str; 4] = ["memset", "memcpy", "memmove", "memcmp"];
const LENGTH: u32 = 0xffff;

/// Loads types.
pub(super) fn load(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: the union's part of this command.
    let part = unsafe { &mut attr.__bindgen_anon_7 };
    part.btf = bytes.as_ptr() as u64;
    part.btf_size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    // SAFETY: the bytes live.
    unsafe { bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr) }
}

/// The types for this kernel, as libbpf does it.
pub(super) fn sanitized(types: &Types, features: &Features) -> Types {
    let mut types = types.clone();
    let byte = (1..types.count()).find(|id| types.kind(*id) == INT);
    for id in 1..types.count() {
        let length = types.word(id, 1) & LENGTH;
        match types.kind(id) {
            // Rust names its pointers, which the kernel does not take.
            PTR => types.put(id, 0, 0),
            VAR if !features.sections => {
                turn(&mut types, id, INT, 0, true);
                types.put(id, 2, 1);
                types.put(id, 3, 8);
            }
            DATASEC if !features.sections || !loadable(&types, id) => placeholder(&mut types, id, byte),
            FUNC_PROTO if !features.functions => turn(&mut types, id, ENUM, length, false),
            FUNC_PROTO => name_parameters(&mut types, id),
            FUNC if !features.functions => turn(&mut types, id, TYPEDEF, 0, true),
            FUNC if length == 2 || length == 1 && (!features.global_functions || BUILTIN.contains(&types.name(id))) => {
                types.put(id, 1, FUNC << 24);
            }
            FLOAT if !features.floats => turn(&mut types, id, STRUCT, 0, false),
            DECL_TAG if !features.declaration_tags => {
                turn(&mut types, id, INT, 0, true);
                types.put(id, 2, 1);
                types.put(id, 3, 8);
            }
            TYPE_TAG if !features.type_tags => turn(&mut types, id, CONST, 0, false),
            ENUM if !features.enums64 => types.put(id, 1, ENUM << 24 | length),
            ENUM64 if !features.enums64 => {
                // A union of the same length: each value becomes a member of an integer type.
                turn(&mut types, id, UNION, length, true);
                for index in 0..types.length(id) {
                    types.put(id, 4 + index * 3, byte.unwrap_or(0));
                    types.put(id, 5 + index * 3, 0);
                }
            }
            _ => {}
        }
    }
    types
}

/// Makes a type one of another kind, with or without its name.
fn turn(types: &mut Types, id: u32, kind: u32, length: u32, named: bool) {
    types.put(id, 1, kind << 24 | length);
    if !named {
        types.put(id, 0, 0);
    }
}

/// Whether a data section's variables are all variables: sections of kernel functions and symbols are not.
fn loadable(types: &Types, id: u32) -> bool {
    types.word(id, 2) > 0 && types.variables(id).all(|(variable, _)| types.kind(variable) == VAR)
}

/// A structure in the place of a data section, with as many members.
fn placeholder(types: &mut Types, id: u32, byte: Option<u32>) {
    let length = types.length(id);
    types.put(id, 0, 0);
    types.put(id, 1, STRUCT << 24 | u32::try_from(length).unwrap_or(0));
    types.put(id, 2, 8);
    for index in 0..length {
        types.put(id, 3 + index * 3, 0);
        types.put(id, 4 + index * 3, byte.unwrap_or(0));
        types.put(id, 5 + index * 3, 0);
    }
}

/// The kernel wants a function's parameters named; Rust leaves names out. Any name does.
fn name_parameters(types: &mut Types, id: u32) {
    let Some(named) = (1..types.count()).find(|id| types.kind(*id) == FUNC).map(|id| types.word(id, 0)) else { return };
    for index in 0..types.length(id) {
        if types.word(id, 3 + index * 2) == 0 && types.word(id, 4 + index * 2) != 0 {
            types.put(id, 3 + index * 2, named);
        }
    }
}

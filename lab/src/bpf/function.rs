//! A file's functions, by where they begin.

use super::elf::Elf;
use super::instruction::instructions;
use rbpf::ebpf::Insn;
use std::collections::BTreeMap;

/// Functions by section and offset in bytes.
pub(super) type Functions = BTreeMap<(usize, usize), Code>;

/// A function as the file has it, CO-RE relocated.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) instructions: Vec<Insn>,
    /// What CO-RE did not find, by instruction.
    pub(super) unrelocated: BTreeMap<usize, String>,
    pub(super) is_local: bool,
}

/// The functions that the file's symbols name.
pub(super) fn functions(elf: &Elf) -> Functions {
    let mut functions = Functions::new();
    for (index, section) in elf.sections.iter().filter(|(_, section)| section.is_code) {
        let mut starts: Vec<_> = elf.symbols_of(*index).filter(|symbol| symbol.is_function).collect();
        starts.sort_by_key(|symbol| symbol.address);
        for (position, symbol) in starts.iter().enumerate() {
            let next = starts.get(position + 1).map_or(section.data.len(), |next| next.address);
            let end = if symbol.size > 0 { symbol.address.saturating_add(symbol.size) } else { next };
            let bytes = section.data.get(symbol.address..end).unwrap_or_default();
            let code = Code {
                name: symbol.name.clone(),
                instructions: instructions(bytes),
                unrelocated: BTreeMap::new(),
                is_local: symbol.is_local,
            };
            functions.insert((*index, symbol.address), code);
        }
    }
    functions
}

//! Model and object file -> object file: the tree's instructions in place of the programs' calls of the function that stands for them.
//!
//! A linker of one symbol, on the host, without a compiler. Each call of `treeline_tree` becomes a jump to the tree's code, which is appended to
//! the program and jumps back: a call in the kernel costs more than many questions (its return is guarded against speculation). So no instruction
//! moves within its program. Programs behind it in the same section move, and with them what names their instructions by place: symbols,
//! relocations, type and line information (`link::extension`). The constant `COMPILED` is set, and the
//! model's document added as section [`SECTION`], which loaders skip. MODEL stays, but no program reads it any more. `docs/linking.md` tells how
//! to load the object.
//!
//! Not here: the instructions ([`crate::compile`]).

mod extension;

use object::build::elf::{Builder, Section, SectionData, SectionId, Symbol};
use object::elf::{SHF_EXECINSTR, SHT_PROGBITS, SHT_STRTAB, STT_FUNC, STT_SECTION};

use crate::compile::{Code, compile};
use crate::{Error, Model};

/// The section that holds the model's JSON document.
pub const SECTION: &str = "treeline.model";
/// The function to replace: the end of its symbol, which is mangled.
const TREE: &[u8] = b"treeline_tree";
/// The constant that says that it was.
const COMPILED: &[u8] = b"COMPILED";
/// An instruction's bytes.
const SLOT: usize = 8;

/// Why an object cannot take a tree. The one in the repository can; an object of another build may have another layout.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The model is not one tree.
    #[error(transparent)]
    Model(#[from] Error),
    /// It is no ELF file of the kind.
    #[error("the object is not an ELF file that can be rewritten: {reason}; give one that ebpf/build made")]
    Elf {
        /// What the reader or writer says.
        reason: String,
    },
    /// A part is missing.
    #[error("the object has no {what}; give one that ebpf/build made, not one with a tree in it")]
    Missing {
        /// The part.
        what: &'static str,
    },
    /// A call of the tree cannot be replaced.
    #[error("section {section}, byte {offset}: the call of treeline_tree {reason}; give an object that ebpf/build made")]
    Call {
        /// The section.
        section: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// An object with a tree in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The ELF file.
    pub object: Vec<u8>,
    /// The tree's code, which each program has a copy of.
    pub code: Code,
}

/// Links `model` into `object`, a file that `ebpf/build` made.
pub fn link(object: &[u8], model: &Model) -> Result<Linked, LinkError> {
    let code = compile(model)?;
    let mut elf = Builder::read64(object).map_err(|error| LinkError::Elf { reason: error.to_string() })?;
    let mut calls = take_calls(&mut elf)?;
    // From the last one on, so that no call moves that is still to be replaced.
    calls.sort_by_key(|(_, offset)| std::cmp::Reverse(*offset));
    if calls.is_empty() {
        return Err(LinkError::Missing { what: "call of treeline_tree" });
    }
    for (section, offset) in calls {
        let name = String::from_utf8_lossy(&elf.sections.get(section).name).into_owned();
        replace(&mut elf, section, offset, &code).map_err(|reason| LinkError::Call { section: name, offset, reason })?;
    }
    set_compiled(&mut elf).ok_or(LinkError::Missing { what: "constant COMPILED" })?;
    set_model(&mut elf, model);

    elf.set_section_sizes();
    let mut object = Vec::new();
    elf.write(&mut object).map_err(|error| LinkError::Elf { reason: error.to_string() })?;
    Ok(Linked { object, code })
}

/// Removes the relocations of the calls of the tree, and says where the calls are: sections and offsets.
fn take_calls(elf: &mut Builder<'_>) -> Result<Vec<(SectionId, u64)>, LinkError> {
    let is_tree = |symbol: &&Symbol<'_>| symbol.st_type() == STT_FUNC && symbol.name.ends_with(TREE);
    let tree = elf.symbols.iter().find(is_tree).ok_or(LinkError::Missing { what: "function treeline_tree" })?;
    let (tree, text, start) = (tree.id(), tree.section, tree.st_value);
    let mut calls = Vec::new();
    let programs = elf.sections.iter().filter(|section| section.sh_flags & u64::from(SHF_EXECINSTR) != 0 && Some(section.id()) != text);
    for program in programs.map(Section::id).collect::<Vec<_>>() {
        let code = data(elf, program).cloned().unwrap_or_default();
        // A static function is called through its section: the immediate counts instructions, from the one behind the start.
        let calls_start = |offset: u64| {
            let immediate = code.get(usize::try_from(offset).ok()?..)?.get(4..)?.first_chunk()?;
            u64::try_from(i64::from(i32::from_le_bytes(*immediate)) + 1).ok().map(|target| target * SLOT as u64 == start)
        };
        let sections: Vec<_> =
            elf.symbols.iter().filter(|symbol| symbol.section == text && symbol.st_type() == STT_SECTION).map(Symbol::id).collect();
        for section in elf.sections.iter_mut().filter(|section| section.sh_info_section == Some(program)) {
            let SectionData::Relocation(relocations) = &mut section.data else { continue };
            relocations.retain(|relocation| {
                let through_section = relocation.symbol.is_some_and(|symbol| sections.contains(&symbol));
                let is_call = relocation.symbol == Some(tree) || through_section && calls_start(relocation.r_offset) == Some(true);
                if is_call {
                    calls.push((program, relocation.r_offset));
                }
                !is_call
            });
        }
    }
    Ok(calls)
}

/// Puts a jump in place of the call at `offset`, and the tree's code behind the function that calls. What follows in the section moves.
fn replace(elf: &mut Builder<'_>, section: SectionId, offset: u64, code: &Code) -> Result<(), &'static str> {
    let is_caller = |symbol: &&mut Symbol<'_>| {
        let bounds = symbol.st_value..symbol.st_value.saturating_add(symbol.st_size);
        symbol.section == Some(section) && symbol.st_type() == STT_FUNC && bounds.contains(&offset)
    };
    let caller = elf.symbols.iter_mut().find(is_caller).ok_or("is in no function")?;
    let end = caller.st_value.saturating_add(caller.st_size);
    caller.st_size += code.bytes().len() as u64;
    let (site, place) = (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(end).unwrap_or(usize::MAX));
    let (jump, inlined) = code.inlined(site / SLOT, place / SLOT).ok_or("is too far from the end of its program")?;
    let bytes = data(elf, section).ok_or("is not in code")?;
    bytes.get_mut(site..).and_then(<[u8]>::first_chunk_mut).map(|call| *call = jump).ok_or("is not in its section")?;
    if place > bytes.len() {
        return Err("is in a function that ends behind its section");
    }
    let added = inlined.len() as u64;
    bytes.splice(place..place, inlined);
    for symbol in elf.symbols.iter_mut().filter(|symbol| symbol.section == Some(section) && symbol.st_value >= end) {
        symbol.st_value = symbol.st_value.saturating_add(added);
    }
    for relocations in elf.sections.iter_mut().filter(|relocations| relocations.sh_info_section == Some(section)) {
        let SectionData::Relocation(relocations) = &mut relocations.data else { continue };
        for relocation in relocations.iter_mut().filter(|relocation| relocation.r_offset >= end) {
            relocation.r_offset = relocation.r_offset.saturating_add(added);
        }
    }
    let name = elf.sections.get(section).name.to_vec();
    extension::shift(elf, &name, end, added).ok_or("has line information that cannot be read")
}

fn data<'a>(elf: &'a mut Builder<'_>, section: SectionId) -> Option<&'a mut Vec<u8>> {
    match &mut elf.sections.get_mut(section).data {
        SectionData::Data(bytes) => Some(bytes.to_mut()),
        _ => None,
    }
}

fn set_compiled(elf: &mut Builder<'_>) -> Option<()> {
    let symbol = elf.symbols.iter().find(|symbol| *symbol.name == *COMPILED)?;
    let (section, offset) = (symbol.section?, usize::try_from(symbol.st_value).ok()?);
    *data(elf, section)?.get_mut(offset..)?.first_chunk_mut()? = 1_u32.to_le_bytes();
    Some(())
}

/// Adds the model's document, and the table of section names, which the object shares with its symbols' and the writer wants apart.
fn set_model(elf: &mut Builder<'_>, model: &Model) {
    if !elf.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        add(elf, ".shstrtab", SHT_STRTAB, SectionData::SectionString);
    }
    add(elf, SECTION, SHT_PROGBITS, SectionData::Data(model.to_json().into_bytes().into()));
}

fn add<'a>(elf: &mut Builder<'a>, name: &'static str, sh_type: u32, data: SectionData<'a>) {
    let section = elf.sections.add();
    section.name = name.into();
    section.sh_type = sh_type;
    section.sh_addralign = 1;
    section.data = data;
}

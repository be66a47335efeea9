//! Model and object file -> object file: the tree's instructions in place of the function that the object keeps for them.
//!
//! A linker of one symbol, on the host, without a compiler. It replaces the body of `treeline_tree`, moves what follows in `.text`
//! (symbols, type and line information), sets the constant `COMPILED`, and adds the model's document as section [`SECTION`], which loaders
//! skip. Everything else, the maps too, stays as it is; so does MODEL, which no program reads any more. `docs/linking.md` tells how to load it.
//!
//! Not here: the instructions ([`crate::compile`]), and type and line information ([`line`]).

mod line;

use std::ops::Range;

use object::build::elf::{Builder, Section, SectionData, SectionId, Symbol};
use object::elf::{SHF_EXECINSTR, SHT_PROGBITS, SHT_STRTAB, STT_FUNC, STT_SECTION};

use crate::Model;
use crate::compile::{Code, compile};

/// The section that holds the model's JSON document.
pub const SECTION: &str = "treeline.model";
/// The function to replace: the end of its symbol, which is mangled.
const TREE: &str = "treeline_tree";
/// The constant that says that it was.
const COMPILED: &str = "COMPILED";
const TEXT: &str = ".text";
/// An instruction's bytes.
const SLOT: usize = 8;

/// Why an object cannot take a tree. The one in the repository can; an object of another build may have another layout.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is no ELF file of the kind.
    #[error("the object is not an ELF file that can be rewritten: {reason}; give one that ebpf/build made")]
    Elf {
        /// What the reader or writer says.
        reason: String,
    },
    /// A part is missing.
    #[error("the object has no {what}; give one that ebpf/build made")]
    Missing {
        /// The part.
        what: &'static str,
    },
    /// A part is damaged or of an unknown layout.
    #[error("{section}, byte {offset}: {reason}; give an object that ebpf/build made")]
    Layout {
        /// The section.
        section: String,
        /// Where in it.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

impl LinkError {
    fn layout(section: &str, offset: usize, reason: &'static str) -> Self {
        Self::Layout { section: section.to_owned(), offset, reason }
    }
}

/// An object with a tree in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The ELF file.
    pub object: Vec<u8>,
    /// The tree's code.
    pub code: Code,
}

/// Links `model` into `object`, a file that `ebpf/build` or this function made.
pub fn link(object: &[u8], model: &Model) -> Result<Linked, LinkError> {
    let code = compile(model);
    let bytes = code.bytes();
    let mut elf = Builder::read64(object).map_err(|error| LinkError::Elf { reason: error.to_string() })?;
    let text = section(&elf, TEXT)?;
    let place = place(&elf, text)?;
    check_calls(&elf, text, &place)?;

    data(&mut elf, text)?.splice(place.clone(), bytes.iter().copied());
    for symbol in elf.symbols.iter_mut().filter(|symbol| symbol.section == Some(text)) {
        if is_tree(symbol) {
            symbol.st_size = bytes.len() as u64;
        } else if symbol.st_value >= place.end as u64 {
            symbol.st_value = symbol.st_value - place.len() as u64 + bytes.len() as u64;
        }
    }
    line::shift(&mut elf, &place, bytes.len())?;
    set_compiled(&mut elf)?;
    set_model(&mut elf, model);

    elf.set_section_sizes();
    let mut object = Vec::new();
    elf.write(&mut object).map_err(|error| LinkError::Elf { reason: error.to_string() })?;
    Ok(Linked { object, code })
}

fn section(elf: &Builder<'_>, name: &'static str) -> Result<SectionId, LinkError> {
    elf.sections.iter().find(|section| *section.name == *name.as_bytes()).map(Section::id).ok_or(LinkError::Missing { what: name })
}

fn data<'a>(elf: &'a mut Builder<'_>, section: SectionId) -> Result<&'a mut Vec<u8>, LinkError> {
    match &mut elf.sections.get_mut(section).data {
        SectionData::Data(bytes) => Ok(bytes.to_mut()),
        _ => Err(LinkError::Missing { what: "data in one of its sections" }),
    }
}

fn is_tree(symbol: &Symbol<'_>) -> bool {
    symbol.st_type() == STT_FUNC && symbol.name.ends_with(TREE.as_bytes())
}

/// The bytes of `.text` that the function takes.
fn place(elf: &Builder<'_>, text: SectionId) -> Result<Range<usize>, LinkError> {
    let symbol = elf.symbols.iter().find(|symbol| symbol.section == Some(text) && is_tree(symbol));
    let symbol = symbol.ok_or(LinkError::Missing { what: "function treeline_tree" })?;
    let SectionData::Data(bytes) = &elf.sections.get(text).data else { return Err(LinkError::Missing { what: TEXT }) };
    let range = usize::try_from(symbol.st_value).ok().zip(usize::try_from(symbol.st_size).ok());
    let range = range.and_then(|(start, size)| Some(start..start.checked_add(size)?));
    match range {
        Some(range) if range.len() >= SLOT && range.end <= bytes.len() && range.start % SLOT == 0 && range.len() % SLOT == 0 => Ok(range),
        _ => Err(LinkError::layout(TEXT, 0, "the function treeline_tree lies outside")),
    }
}

/// Nothing but calls of the tree may refer to `.text`, and `.text` to nothing, since that would have to be changed too.
/// A call inside of `.text` has no relocation; the functions there besides the tree's are the compiler's loops over bytes, which call none.
fn check_calls(elf: &Builder<'_>, text: SectionId, place: &Range<usize>) -> Result<(), LinkError> {
    for section in elf.sections.iter().filter(|section| section.sh_flags & u64::from(SHF_EXECINSTR) != 0) {
        let SectionData::Data(bytes) = &section.data else { continue };
        let name = String::from_utf8_lossy(&section.name);
        let relocations = elf.sections.iter().filter(|other| other.sh_info_section == Some(section.id()));
        for relocation in relocations.flat_map(|other| if let SectionData::Relocation(all) = &other.data { all.as_slice() } else { &[] }) {
            let offset = usize::try_from(relocation.r_offset).unwrap_or(usize::MAX);
            if section.id() == text {
                return Err(LinkError::layout(TEXT, offset, "a relocation"));
            }
            let Some(symbol) = relocation.symbol.map(|symbol| elf.symbols.get(symbol)).filter(|symbol| symbol.section == Some(text)) else {
                continue;
            };
            // Relative to the symbol, in instructions, from the one behind the call.
            let call = bytes.get(offset..).and_then(|bytes| bytes.get(4..)).and_then(|bytes| bytes.first_chunk());
            let target = call.and_then(|immediate| usize::try_from(i64::from(i32::from_le_bytes(*immediate)) + 1).ok());
            if symbol.st_type() == STT_SECTION && target != Some(place.start / SLOT) {
                return Err(LinkError::layout(&name, offset, "a reference to .text other than a call of the tree"));
            }
        }
    }
    Ok(())
}

fn set_compiled(elf: &mut Builder<'_>) -> Result<(), LinkError> {
    let missing = LinkError::Missing { what: "constant COMPILED" };
    let symbol = elf.symbols.iter().find(|symbol| *symbol.name == *COMPILED.as_bytes());
    let Some((section, offset)) = symbol.and_then(|symbol| Some((symbol.section?, usize::try_from(symbol.st_value).ok()?))) else {
        return Err(missing);
    };
    let value = data(elf, section)?.get_mut(offset..).and_then(|bytes| bytes.first_chunk_mut()).ok_or(missing)?;
    *value = 1_u32.to_le_bytes();
    Ok(())
}

/// Adds the model's document, and the table of section names, which the object shares with its symbols' and the writer wants apart.
fn set_model(elf: &mut Builder<'_>, model: &Model) {
    if !elf.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        add(elf, ".shstrtab", SHT_STRTAB, SectionData::SectionString);
    }
    let document = SectionData::Data(model.to_json().into_bytes().into());
    match elf.sections.iter_mut().find(|section| *section.name == *SECTION.as_bytes()) {
        Some(section) => section.data = document,
        None => add(elf, SECTION, SHT_PROGBITS, document),
    }
}

fn add<'a>(elf: &mut Builder<'a>, name: &'static str, sh_type: u32, data: SectionData<'a>) {
    let section = elf.sections.add();
    section.name = name.into();
    section.sh_type = sh_type;
    section.sh_addralign = 1;
    section.data = data;
}

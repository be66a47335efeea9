//! The ELF file: sections, symbols and relocations as plain data.
//!
//! Not here: what a file is that is no BPF object (`format`), and functions that no symbol of type FUNC names (`symbol`).

use super::{ObjectError, format};
use object::read::elf::{ElfFile64, ElfSection64};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionFlags, SymbolKind};
use std::collections::BTreeMap;

const SHF_EXECINSTR: u64 = 4;

/// What linking needs of the file.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    pub(super) sections: BTreeMap<usize, Section<'a>>,
    pub(super) symbols: BTreeMap<usize, Symbol>,
}

/// One section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) name: String,
    pub(super) data: &'a [u8],
    /// Its bytes, also where the file has none (`.bss`).
    pub(super) size: usize,
    pub(super) is_executable: bool,
    /// Executable, and not empty.
    pub(super) is_code: bool,
    /// Symbol by the offset it is put at.
    pub(super) relocations: BTreeMap<usize, usize>,
}

/// One symbol.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the file says each by itself")]
pub(super) struct Symbol {
    pub(super) name: String,
    /// `None` for what the file does not define.
    pub(super) section: Option<usize>,
    pub(super) address: usize,
    pub(super) size: usize,
    pub(super) is_function: bool,
    pub(super) is_section: bool,
    /// Of no type, as assemblers and the older clang give it to functions.
    pub(super) is_untyped: bool,
    pub(super) is_local: bool,
    pub(super) is_weak: bool,
}

impl<'a> Elf<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        if let Some(text) = format::refusal(bytes) {
            return Err(ObjectError::Unreadable { text });
        }
        let file = ElfFile64::<Endianness>::parse(bytes).map_err(|error| ObjectError::unreadable(&error))?;
        let mut sections = BTreeMap::new();
        for section in file.sections() {
            sections.insert(section.index().0, Section::read(&section)?);
        }
        let mut symbols = BTreeMap::new();
        for symbol in file.symbols() {
            let kind = symbol.kind();
            let number = |value: u64| usize::try_from(value).map_err(|error| ObjectError::unreadable(&error));
            let read = Symbol {
                name: symbol.name().unwrap_or_default().to_owned(),
                section: symbol.section_index().map(|index| index.0),
                address: number(symbol.address())?,
                size: number(symbol.size())?,
                is_function: kind == SymbolKind::Text,
                is_section: kind == SymbolKind::Section,
                is_untyped: matches!(kind, SymbolKind::Unknown | SymbolKind::Label),
                is_local: symbol.is_local(),
                is_weak: symbol.is_weak(),
            };
            symbols.insert(symbol.index().0, read);
        }
        Ok(Self { sections, symbols })
    }

    /// A section by its name.
    pub(super) fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.values().find(|section| section.name == name)
    }

    /// The symbols that lie in a section.
    pub(super) fn symbols_of(&self, section: usize) -> impl Iterator<Item = &Symbol> {
        self.symbols.values().filter(move |symbol| symbol.section == Some(section))
    }
}

impl<'a> Section<'a> {
    fn read(section: &ElfSection64<'a, '_, Endianness>) -> Result<Self, ObjectError> {
        let name = section.name().map_err(|error| ObjectError::unreadable(&error))?.to_owned();
        let data = section.data().map_err(|error| ObjectError::unreadable(&error))?;
        let executable = matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & SHF_EXECINSTR != 0);
        let mut relocations = BTreeMap::new();
        // Debug sections have many, and nobody here reads those.
        if !name.starts_with(".debug") && !name.starts_with(".BTF") {
            for (offset, relocation) in section.relocations() {
                if let (RelocationTarget::Symbol(symbol), RelocationFlags::Elf { .. }) = (relocation.target(), relocation.flags()) {
                    relocations.insert(usize::try_from(offset).unwrap_or(usize::MAX), symbol.0);
                }
            }
        }
        let size = usize::try_from(section.size()).map_err(|error| ObjectError::unreadable(&error))?;
        Ok(Self { name, data, size, is_executable: executable, is_code: executable && !data.is_empty(), relocations })
    }
}

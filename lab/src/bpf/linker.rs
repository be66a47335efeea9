//! What programs are linked from: the file, its functions with CO-RE relocated, its maps.

use super::definition::Placed;
use super::elf::Elf;
use super::ext::Ext;
use super::function::{Functions, functions};
use super::{ReadOptions, Types, core};

/// What programs are linked from.
pub(super) struct Linker<'a> {
    pub(super) elf: &'a Elf<'a>,
    pub(super) functions: Functions,
    pub(super) maps: &'a [Placed],
    pub(super) types: Option<&'a Types>,
    pub(super) ext: Ext,
    /// Why CO-RE failed, for functions that need it.
    pub(super) core: Option<String>,
}

impl<'a> Linker<'a> {
    pub(super) fn new(elf: &'a Elf<'a>, types: Option<&'a Types>, maps: &'a [Placed]) -> Self {
        let string = |offset: u32| types.map_or_else(String::new, |types| types.string(offset).to_owned());
        let ext = elf.section(".BTF.ext").and_then(|section| Ext::read(section.data, string)).unwrap_or_default();
        Self { elf, functions: functions(elf), maps, types, ext, core: None }
    }

    pub(super) fn relocate_core(&mut self, options: &ReadOptions) {
        if self.ext.relocations.is_empty() {
            return;
        }
        let (Some(types), Some(ext)) = (self.elf.section(".BTF"), self.elf.section(".BTF.ext")) else { return };
        let Some(own) = self.types else {
            self.core = Some("the type information is damaged".to_owned());
            return;
        };
        let code = self.elf.sections.iter().filter(|(_, section)| section.is_code);
        let names = code.map(|(index, section)| (*index, section.name.clone())).collect();
        self.core = core::relocate(&mut self.functions, &names, (own, types.data), (&self.ext, ext.data), options).err();
    }
}

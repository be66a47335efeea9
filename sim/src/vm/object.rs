//! The object: an ELF file's programs with their calls relocated, its maps' shapes, its global data with constants set.

use super::map::Shape;
use super::{Hook, Options, VmError};
use crate::cause::explain;
use aya_obj::ProgramSection;
use rbpf::ebpf::Insn;
use std::collections::{HashMap, HashSet};

/// A parsed and relocated BPF object, from which any number of VMs load.
#[derive(Debug, Clone)]
pub struct Object {
    pub(super) programs: Vec<Program>,
    pub(super) maps: Vec<(Shape, Vec<u8>)>,
    pub(super) options: Options,
}

/// One program of an object.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name, that of the function in the source.
    pub name: String,
    /// Where it attaches; `None` where the VM has no context for it.
    pub hook: Option<Hook>,
    pub(super) section: String,
    pub(super) instructions: Vec<Insn>,
}

impl Object {
    /// Reads an ELF object, sets the constants that `options` names and relocates maps and calls.
    pub fn parse(elf: &[u8], options: &Options) -> Result<Self, VmError> {
        // aya-obj 0.3.0 panics at some damaged type information; bad input is an error here.
        let parsed = std::panic::catch_unwind(|| Self::parse_whole(elf, options));
        parsed.unwrap_or_else(|_| Err(VmError::Object { text: "the parser panicked: the file is damaged".to_owned() }))
    }

    fn parse_whole(elf: &[u8], options: &Options) -> Result<Self, VmError> {
        let fail = |error: &dyn std::error::Error| VmError::Object { text: explain(error) };
        let mut object = aya_obj::Object::parse(elf).map_err(|error| fail(&error))?;
        if object.has_btf_relocations() {
            return Err(VmError::Object { text: "it has CO-RE relocations, which need a kernel's BTF".to_owned() });
        }
        let globals: HashMap<&str, (&[u8], bool)> =
            options.globals.iter().map(|(name, bytes)| (name.as_str(), (bytes.as_slice(), true))).collect();
        object.patch_map_data(globals).map_err(|error| fail(&error))?;

        let mut named: Vec<(String, aya_obj::Map)> = object.maps.iter().map(|(name, map)| (name.clone(), map.clone())).collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        let mut maps = Vec::with_capacity(named.len());
        for (name, map) in &named {
            maps.push(shape(name, map, options)?);
        }
        if let Some(name) = options.map_max_entries.keys().find(|name| !object.maps.contains_key(*name)) {
            return Err(VmError::Unknown { what: "map", name: name.clone() });
        }
        let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let numbered = (0..).zip(&named).map(|(number, (name, map))| (name.as_str(), number, map));
        object.relocate_maps(numbered, &text_sections).map_err(|error| fail(&error))?;
        object.relocate_calls(&text_sections).map_err(|error| fail(&error))?;

        let mut programs = Vec::with_capacity(object.programs.len());
        for (name, program) in &object.programs {
            let Some(function) = object.functions.get(&program.function_key()) else { continue };
            let instructions = function.instructions.iter().copied().map(instruction).collect();
            let (hook, section) = (hook(&program.section), format!("{:?}", program.section));
            programs.push(Program { name: name.clone(), hook, section, instructions });
        }
        programs.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { programs, maps, options: options.clone() })
    }

    /// An object of one program given as bytecode; a map is named in `ld_imm64` (source 1 or 2) by its position in `maps`.
    pub fn from_bytecode(name: &str, hook: Hook, bytecode: &[u8], maps: &[Shape], options: &Options) -> Result<Self, VmError> {
        if bytecode.is_empty() || !bytecode.len().is_multiple_of(rbpf::ebpf::INSN_SIZE) {
            return Err(VmError::Object { text: format!("bytecode of {} bytes, not a multiple of 8", bytecode.len()) });
        }
        let count = bytecode.len() / rbpf::ebpf::INSN_SIZE;
        let instructions = (0..count).map(|index| rbpf::ebpf::get_insn(bytecode, index)).collect();
        let program = Program { name: name.to_owned(), hook: Some(hook), section: String::new(), instructions };
        let maps = maps.iter().map(|shape| (shape.clone(), Vec::new())).collect();
        Ok(Self { programs: vec![program], maps, options: options.clone() })
    }

    /// The programs, by name.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The maps and global data sections, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Shape> {
        self.maps.iter().map(|(shape, _)| shape)
    }

    /// The maps with their initial bytes, by name.
    pub(crate) fn contents(&self) -> &[(Shape, Vec<u8>)] {
        &self.maps
    }

    /// A program's hook and its instructions, which name maps by their position.
    pub(crate) fn code(&self, name: &str) -> Result<(Hook, Vec<Insn>), VmError> {
        let program = self.program(name)?;
        let hook = program.hook.ok_or_else(|| VmError::ProgramType { program: program.name.clone(), section: program.section.clone() })?;
        Ok((hook, program.instructions.clone()))
    }

    pub(super) fn program(&self, name: &str) -> Result<&Program, VmError> {
        self.programs.iter().find(|program| program.name == name).ok_or_else(|| VmError::NoProgram {
            program: name.to_owned(),
            known: self.programs.iter().map(|program| program.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

fn shape(name: &str, map: &aya_obj::Map, options: &Options) -> Result<(Shape, Vec<u8>), VmError> {
    let max_entries = options.map_max_entries.get(name).copied().unwrap_or(map.max_entries());
    let shape = Shape::new(name, map.map_type(), map.key_size(), map.value_size(), max_entries)?;
    Ok((shape, map.data().to_vec()))
}

fn hook(section: &ProgramSection) -> Option<Hook> {
    match section {
        ProgramSection::Xdp { .. } => Some(Hook::Xdp),
        ProgramSection::SchedClassifier => Some(Hook::Tc),
        ProgramSection::SocketFilter => Some(Hook::Socket),
        _ => None,
    }
}

fn instruction(insn: aya_obj::generated::bpf_insn) -> Insn {
    Insn { opc: insn.code, dst: insn.dst_reg(), src: insn.src_reg(), off: insn.off, imm: insn.imm }
}

//! A file's functions, and the programs that are linked from them. Not here: linking one (`program`).

use super::elf::Elf;
use super::ext::Ext;
use super::legacy;
use super::map::{self, Placed};
use super::program::{Linked, Refused};
use super::{Function, Kind, Object, ObjectError, Program, ReadOptions, Types, core, kind};
use rbpf::ebpf::{self, INSN_SIZE, Insn};
use std::collections::{BTreeMap, HashSet};

/// Functions by section and offset in bytes.
pub(super) type Functions = BTreeMap<(usize, usize), Code>;

/// A function as the file has it, CO-RE relocated.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) instructions: Vec<Insn>,
    /// What CO-RE did not find, by instruction.
    pub(super) unrelocated: BTreeMap<usize, String>,
    is_local: bool,
}

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

/// Reads a whole file.
pub(super) fn object(bytes: &[u8], options: &ReadOptions) -> Result<Object, ObjectError> {
    let elf = Elf::read(bytes)?;
    let mut types = elf.section(".BTF").and_then(|section| Types::read(section.data));
    if let Some(types) = &mut types {
        let sections = elf.sections.values().map(|section| (section.name.clone(), section.size)).collect();
        let symbols = elf.symbols.values().filter(|symbol| symbol.section.is_some() && !symbol.is_function);
        types.fix_sections(&sections, &symbols.map(|symbol| (symbol.name.clone(), symbol.address)).collect());
    }
    let maps = map::maps(&elf, types.as_ref(), options)?;
    let mut linker = Linker::new(&elf, types.as_ref(), &maps);
    linker.relocate_core(options);
    let (mut programs, mut refused) = (Vec::new(), Vec::new());
    // A program that is called is of its caller's kind.
    let of_callers = || linker.functions.keys().find_map(|(section, _)| Kind::from_section(&elf.sections[section].name).ok());
    let mut used = HashSet::new();
    for ((section, offset), code) in &linker.functions {
        let name = &elf.sections[section].name;
        if is_library(name) || code.is_local {
            continue;
        }
        let otherwise = options.kind.filter(|_| !kind::is_attached(name)).or_else(|| legacy::numbered(name).and_then(|_| of_callers()));
        let kind = Kind::from_section(name).or_else(|reason| otherwise.ok_or(reason));
        match kind.map_err(Refused::from).and_then(|kind| linker.link((*section, *offset), kind, &mut used)) {
            Ok(program) => programs.push(program),
            Err(refusal) => refused.push(refusal.of(code.name.clone(), name.clone())),
        }
    }
    refused.extend(linker.hidden(&used));
    if programs.is_empty() && refused.is_empty() {
        return Err(ObjectError::NoPrograms { reason: nothing(&elf, &linker.functions, &maps) });
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    let license = elf.section("license").map_or(&b"\0"[..], |section| section.data);
    let length = license.iter().position(|byte| *byte == 0).unwrap_or(license.len());
    let version = elf
        .section("version")
        .and_then(|section| section.data.get(..4))
        .map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four")));
    Ok(Object {
        programs,
        refused,
        license: [&license[..length], b"\0"].concat(),
        version,
        types: types.clone(),
        maps: maps.into_iter().map(|placed| placed.map).collect(),
    })
}

/// Whether a section's functions are there to be called, and none is a program.
fn is_library(section: &str) -> bool {
    section.starts_with(".text")
}

/// What a file has that has no program.
fn nothing(elf: &Elf, functions: &Functions, maps: &[Placed]) -> String {
    let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !functions.is_empty() {
        let names = functions.values().map(|code| code.name.as_str()).collect();
        return format!(
            "the file's only code is in `.text`, whose functions ({}) are called by programs and are none; \
             name a section for the program, `SEC(\"xdp\")` say",
            list(names)
        );
    }
    let plain = elf.sections.values().filter(|section| !section.is_executable && section.size > 0);
    let unmarked: Vec<&str> = plain.map(|section| section.name.as_str()).filter(|name| Kind::from_section(name).is_ok()).collect();
    if !unmarked.is_empty() {
        return format!("section {} is not executable; an assembler wants the flags `\"ax\"` and the type `@progbits`", list(unmarked));
    }
    let empty: Vec<&str> = elf.sections.values().filter(|section| section.is_executable).map(|section| section.name.as_str()).collect();
    let code = if empty.iter().all(|name| is_library(name)) {
        "the file has no code".to_owned()
    } else {
        format!("the file's sections of code ({}) are empty", list(empty))
    };
    let maps: Vec<&str> = maps.iter().map(|placed| placed.map.name.as_str()).collect();
    if maps.is_empty() { code } else { format!("{code}, only maps and data: {}", list(maps)) }
}

impl<'a> Linker<'a> {
    fn new(elf: &'a Elf<'a>, types: Option<&'a Types>, maps: &'a [Placed]) -> Self {
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
        let string = |offset: u32| types.map_or_else(String::new, |types| types.string(offset).to_owned());
        let ext = elf.section(".BTF.ext").and_then(|section| Ext::read(section.data, string)).unwrap_or_default();
        Self { elf, functions, maps, types, ext, core: None }
    }

    fn relocate_core(&mut self, options: &ReadOptions) {
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

    /// Static functions of programs' sections that nobody calls: programs to their author, and nothing to any loader.
    fn hidden(&self, used: &HashSet<(usize, usize)>) -> Vec<ObjectError> {
        let is_hidden =
            |place: &(usize, usize), code: &Code| code.is_local && !is_library(&self.elf.sections[&place.0].name) && !used.contains(place);
        let hidden = self.functions.iter().filter(|(place, code)| is_hidden(place, code));
        let refusal = |(place, code): (&(usize, usize), &Code)| ObjectError::Program {
            program: code.name.clone(),
            section: self.elf.sections[&place.0].name.clone(),
            reason: "the function is static and nobody calls it; a program is a global function".to_owned(),
        };
        hidden.map(refusal).collect()
    }

    /// Links a program, and notes the functions that are in it.
    fn link(&self, main: (usize, usize), kind: Kind, used: &mut HashSet<(usize, usize)>) -> Result<Program, Refused> {
        let mut linked = Linked::of(self);
        let done = linked.append(main);
        used.extend(linked.order.iter().map(|(_, key)| *key));
        done?;
        let (func_info, line_info, lines) = linked.information();
        let unrelocated = linked.unrelocated();
        Ok(Program {
            name: self.functions[&main].name.clone(),
            section: self.elf.sections[&main.0].name.clone(),
            kind,
            hook: kind.hook(),
            instructions: linked.instructions,
            functions: linked.order.iter().map(|(start, key)| Function { start: *start, name: self.functions[key].name.clone() }).collect(),
            lines,
            func_info,
            line_info,
            unrelocated,
        })
    }
}

/// Bytes as instructions.
pub(super) fn instructions(bytes: &[u8]) -> Vec<Insn> {
    bytes.chunks_exact(INSN_SIZE).map(|bytes| instruction(bytes.try_into().expect("eight bytes"))).collect()
}

/// Eight bytes as an instruction.
pub(super) fn instruction(bytes: [u8; 8]) -> Insn {
    ebpf::get_insn(&bytes, 0)
}

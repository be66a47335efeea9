//! A file, read whole: its programs, what is refused of them and why, its maps. Not here: linking one program (`program`).

use super::definition::Placed;
use super::elf::Elf;
use super::function::{Code, Functions};
use super::legacy;
use super::linker::Linker;
use super::program::{Linked, Refused};
use super::{Function, Kind, Object, ObjectError, Program, ReadOptions, Types, kind, map, symbol};
use std::collections::HashSet;

/// Reads a whole file.
pub(super) fn object(bytes: &[u8], options: &ReadOptions) -> Result<Object, ObjectError> {
    let mut elf = Elf::read(bytes)?;
    symbol::find_functions(&mut elf);
    let elf = elf;
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

impl Linker<'_> {
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

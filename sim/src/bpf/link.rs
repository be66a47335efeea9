//! Linking: a program's function with those it calls behind it, each map by its position.

use super::elf::{Elf, Section};
use super::ext::Ext;
use super::legacy;
use super::map::{self, Placed};
use super::{Function, Kind, Line, Object, ObjectError, Program, Types, core, kind};
use crate::vm::Options;
use rbpf::ebpf::{self, INSN_SIZE, Insn};
use std::collections::{BTreeMap, HashMap};

/// Functions by section and offset in bytes.
pub(super) type Functions = BTreeMap<(usize, usize), Code>;

/// A function as the file has it, CO-RE relocated.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) instructions: Vec<Insn>,
    is_local: bool,
}

struct Linker<'a> {
    elf: &'a Elf<'a>,
    functions: Functions,
    maps: &'a [Placed],
    types: Option<&'a Types>,
    ext: Ext,
    /// Why CO-RE failed, for functions that need it.
    core: Option<String>,
}

/// Reads a whole file.
pub(super) fn object(bytes: &[u8], options: &Options) -> Result<Object, ObjectError> {
    let elf = Elf::read(bytes)?;
    let mut types = elf.section(".BTF").and_then(|section| Types::read(section.data));
    if let Some(types) = &mut types {
        let sections = elf.sections.values().map(|section| (section.name.clone(), section.size)).collect();
        let symbols = elf.symbols.values().filter(|symbol| symbol.section.is_some() && !symbol.is_function);
        types.fix_sections(&sections, &symbols.map(|symbol| (symbol.name.clone(), symbol.address)).collect());
    }
    let maps = map::maps(&elf, types.as_ref(), options)?;
    let mut linker = Linker::new(&elf, types.as_ref(), &maps, options);
    linker.relocate_core(options);
    let (mut programs, mut refused) = (Vec::new(), Vec::new());
    // A program that is called is of its caller's kind.
    let of_callers = || linker.functions.keys().find_map(|(section, _)| Kind::from_section(&elf.sections[section].name).ok());
    for ((section, offset), code) in &linker.functions {
        let name = &elf.sections[section].name;
        if name.starts_with(".text") || code.is_local {
            continue;
        }
        let otherwise = options.kind.filter(|_| !kind::is_attached(name)).or_else(|| legacy::numbered(name).and_then(|_| of_callers()));
        let kind = Kind::from_section(name).or_else(|reason| otherwise.ok_or(reason));
        match kind.and_then(|kind| linker.link((*section, *offset), kind)) {
            Ok(program) => programs.push(program),
            Err(reason) => refused.push(ObjectError::Program { program: code.name.clone(), section: name.clone(), reason }),
        }
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
        options: options.clone(),
        types: types.clone(),
        maps: maps.into_iter().map(|placed| placed.map).collect(),
    })
}

impl<'a> Linker<'a> {
    fn new(elf: &'a Elf<'a>, types: Option<&'a Types>, maps: &'a [Placed], _: &Options) -> Self {
        let mut functions = Functions::new();
        for (index, section) in elf.sections.iter().filter(|(_, section)| section.is_code) {
            let mut starts: Vec<_> = elf.symbols_of(*index).filter(|symbol| symbol.is_function).collect();
            starts.sort_by_key(|symbol| symbol.address);
            for (position, symbol) in starts.iter().enumerate() {
                let next = starts.get(position + 1).map_or(section.data.len(), |next| next.address);
                let end = if symbol.size > 0 { symbol.address.saturating_add(symbol.size) } else { next };
                let bytes = section.data.get(symbol.address..end).unwrap_or_default();
                let code = Code { name: symbol.name.clone(), instructions: instructions(bytes), is_local: symbol.is_local };
                functions.insert((*index, symbol.address), code);
            }
        }
        let string = |offset: u32| types.map_or_else(String::new, |types| types.string(offset).to_owned());
        let ext = elf.section(".BTF.ext").and_then(|section| Ext::read(section.data, string)).unwrap_or_default();
        Self { elf, functions, maps, types, ext, core: None }
    }

    fn relocate_core(&mut self, options: &Options) {
        if self.ext.relocations.is_empty() {
            return;
        }
        let (Some(types), Some(ext)) = (self.elf.section(".BTF"), self.elf.section(".BTF.ext")) else { return };
        if self.types.is_none() {
            self.core = Some("the type information is damaged".to_owned());
            return;
        }
        let code = self.elf.sections.iter().filter(|(_, section)| section.is_code);
        let names = code.map(|(index, section)| (*index, section.name.clone())).collect();
        self.core = core::relocate(&mut self.functions, &names, types.data, ext.data, options).err();
    }

    fn link(&self, main: (usize, usize), kind: Kind) -> Result<Program, String> {
        let mut linked = Linked { linker: self, instructions: Vec::new(), starts: HashMap::new(), order: Vec::new() };
        linked.append(main)?;
        let (func_info, line_info, lines) = linked.information();
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
        })
    }
}

struct Linked<'a> {
    linker: &'a Linker<'a>,
    instructions: Vec<Insn>,
    starts: HashMap<(usize, usize), usize>,
    /// In ascending order of their starts.
    order: Vec<(usize, (usize, usize))>,
}

impl Linked<'_> {
    /// Puts a function behind what is there, and then what it calls.
    fn append(&mut self, key: (usize, usize)) -> Result<(), String> {
        let mut todo = vec![key];
        self.place(key)?;
        while let Some(key) = todo.pop() {
            let start = self.starts[&key];
            for index in 0..self.linker.functions[&key].instructions.len() {
                let Some(callee) = self.relocate(key, start, index)? else { continue };
                if !self.starts.contains_key(&callee) {
                    self.place(callee)?;
                    todo.push(callee);
                }
                let distance = i64::try_from(self.starts[&callee]).unwrap_or(0) - i64::try_from(start + index).unwrap_or(0) - 1;
                self.instructions[start + index].imm = i32::try_from(distance).map_err(|_| "the program is too long".to_owned())?;
            }
        }
        Ok(())
    }

    fn place(&mut self, key: (usize, usize)) -> Result<(), String> {
        let section = &self.linker.elf.sections[&key.0];
        let code =
            self.linker.functions.get(&key).ok_or_else(|| format!("no function begins at byte {} of section `{}`", key.1, section.name))?;
        if let Some(reason) = &self.linker.core
            && let Some(records) = self.linker.ext.relocations.get(&section.name)
            && records.iter().any(|record| (key.1..key.1 + code.instructions.len() * INSN_SIZE).contains(&(record[0] as usize)))
        {
            return Err(format!("its accesses by CO-RE cannot be relocated: {reason}"));
        }
        let start = self.instructions.len();
        self.starts.insert(key, start);
        self.order.push((start, key));
        self.instructions.extend(code.instructions.iter().cloned());
        Ok(())
    }

    /// Patches an instruction; the function it names, if it does.
    fn relocate(&mut self, key: (usize, usize), start: usize, index: usize) -> Result<Option<(usize, usize)>, String> {
        let section = &self.linker.elf.sections[&key.0];
        let offset = key.1 + index * INSN_SIZE;
        let insn = self.instructions[start + index].clone();
        let local_call = insn.opc == ebpf::CALL && insn.src == 1;
        let Some(symbol) = section.relocations.get(&offset).and_then(|symbol| self.linker.elf.symbols.get(symbol)) else {
            let target = i64::try_from(offset).unwrap_or(0) + (i64::from(insn.imm) + 1) * 8;
            return Ok(local_call.then(|| (key.0, usize::try_from(target).unwrap_or(usize::MAX))));
        };
        let Some(target) = symbol.section else { return Err(undefined(&symbol.name, symbol.is_weak, local_call)) };
        let addend = |value: i64| usize::try_from(i64::try_from(symbol.address).unwrap_or(0) + value).unwrap_or(usize::MAX);
        if local_call {
            return Ok(Some((target, addend((i64::from(insn.imm) + 1) * 8))));
        }
        if insn.opc != ebpf::LD_DW_IMM {
            return Err(format!(
                "instruction {index} of its section's function has a relocation to `{}` that is neither a call nor an address",
                symbol.name
            ));
        }
        if self.linker.elf.sections.get(&target).is_some_and(|section| section.is_code) {
            self.instructions[start + index].src = 4;
            return Ok(Some((target, addend(i64::from(insn.imm)))));
        }
        self.name_map(start + index, target, addend(i64::from(insn.imm)), &symbol.name)?;
        Ok(None)
    }

    fn name_map(&mut self, slot: usize, section: usize, offset: usize, name: &str) -> Result<(), String> {
        let here = |placed: &Placed| placed.section == section && placed.offset.is_none_or(|at| at == offset);
        let Some(position) = self.linker.maps.iter().position(here) else {
            let section = self.linker.elf.sections.get(&section).map_or("?", |section| section.name.as_str());
            return Err(format!("it uses `{name}` of section `{section}`, which is no map and no global data"));
        };
        let placed = &self.linker.maps[position];
        if let Some(refusal) = &placed.refusal {
            return Err(refusal.clone());
        }
        self.instructions[slot].imm = i32::try_from(position).map_err(|_| "too many maps".to_owned())?;
        self.instructions[slot].src = if placed.offset.is_none() { 2 } else { 1 };
        let second = self.instructions.get_mut(slot + 1).ok_or("its last instruction is half a `ld_imm64`")?;
        second.imm = if placed.offset.is_none() { i32::try_from(offset).map_err(|_| "too much global data".to_owned())? } else { 0 };
        Ok(())
    }

    /// Types and lines of the functions, for the kernel, which wants them of every function or none; and the lines for readers.
    fn information(&self) -> (Vec<u8>, Vec<u8>, Vec<Line>) {
        let (mut func_info, mut line_info, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let (mut all_typed, mut all_lined) = (true, true);
        let ext = &self.linker.ext;
        for (start, key) in &self.order {
            let section: &Section = &self.linker.elf.sections[&key.0];
            let length = self.linker.functions[key].instructions.len() * INSN_SIZE;
            let of = |records: &BTreeMap<String, Vec<Vec<u32>>>| -> Vec<(usize, Vec<u32>)> {
                let here = records.get(&section.name).into_iter().flatten().filter_map(|record| {
                    let offset = (record[0] as usize).checked_sub(key.1).filter(|offset| *offset < length)?;
                    Some((start + offset / INSN_SIZE, record[1..].to_vec()))
                });
                here.collect()
            };
            let typed = of(&ext.functions).into_iter().find(|(slot, _)| slot == start);
            all_typed &= typed.is_some();
            push(&mut func_info, typed.as_slice(), 1);
            let records: Vec<_> = of(&ext.lines).into_iter().filter(|(_, record)| record.len() >= 3).collect();
            all_lined &= records.first().is_some_and(|(slot, _)| slot == start);
            push(&mut line_info, &records, 3);
            let string = |offset: u32| self.linker.types.map_or_else(String::new, |types| types.string(offset).to_owned());
            lines.extend(records.into_iter().map(|(instruction, record)| Line {
                instruction,
                file: string(record[0]),
                line: record[2] >> 10,
                column: record[2] & 0x3ff,
                text: string(record[1]),
            }));
        }
        if !all_typed {
            func_info.clear();
        }
        if !all_typed || !all_lined {
            line_info.clear();
        }
        (func_info, line_info, lines)
    }
}

fn push(bytes: &mut Vec<u8>, records: &[(usize, Vec<u32>)], words: usize) {
    for (slot, record) in records {
        bytes.extend(u32::try_from(*slot).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(record[..words].iter().flat_map(|word| word.to_le_bytes()));
    }
}

fn undefined(name: &str, is_weak: bool, is_call: bool) -> String {
    let weak = if is_weak { "weak " } else { "" };
    if is_call {
        format!(
            "it calls `{name}`, which the file does not define: a {weak}function of the kernel (kfunc) or of a library, and neither is looked up"
        )
    } else {
        format!(
            "it uses the {weak}variable `{name}`, which the file does not define: kernel symbols and configuration values are not looked up"
        )
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

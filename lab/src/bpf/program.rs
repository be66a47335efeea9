//! Linking: a program's function with those it calls behind it, each map by its position.

use super::definition::Placed;
use super::disassembled;
use super::elf::Section;
use super::linker::Linker;
use super::{InstructionPlace, Line, ObjectError};
use rbpf::ebpf::{self, INSN_SIZE, Insn};
use std::collections::{BTreeMap, HashMap};

/// Why a program cannot be linked, and the instruction, where it is one.
pub(super) struct Refused {
    reason: String,
    place: Option<Box<InstructionPlace>>,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { reason, place: None }
    }
}

impl Refused {
    pub(super) fn of(self, program: String, section: String) -> ObjectError {
        match self.place {
            Some(place) => ObjectError::Instruction { program, section, place, reason: self.reason },
            None => ObjectError::Program { program, section, reason: self.reason },
        }
    }
}

/// A program that grows by the functions it calls.
pub(super) struct Linked<'a> {
    linker: &'a Linker<'a>,
    pub(super) instructions: Vec<Insn>,
    starts: HashMap<(usize, usize), usize>,
    /// In ascending order of their starts.
    pub(super) order: Vec<(usize, (usize, usize))>,
}

impl<'a> Linked<'a> {
    pub(super) fn of(linker: &'a Linker<'a>) -> Self {
        Self { linker, instructions: Vec::new(), starts: HashMap::new(), order: Vec::new() }
    }

    /// Puts a function behind what is there, and then what it calls.
    pub(super) fn append(&mut self, key: (usize, usize)) -> Result<(), Refused> {
        let mut todo = vec![key];
        self.place(key)?;
        while let Some(key) = todo.pop() {
            let start = self.starts[&key];
            let mut index = 0;
            while index < self.linker.functions[&key].instructions.len() {
                let slot = start + index;
                let width = if self.instructions[slot].opc == ebpf::LD_DW_IMM { 2 } else { 1 };
                if let Some(callee) = self.relocate(key, start, index).map_err(|reason| self.at(slot, reason))? {
                    if !self.starts.contains_key(&callee) {
                        self.place(callee).map_err(|reason| self.at(slot, reason))?;
                        todo.push(callee);
                    }
                    let distance = i64::try_from(self.starts[&callee]).unwrap_or(0) - i64::try_from(slot).unwrap_or(0) - 1;
                    self.instructions[slot].imm = i32::try_from(distance).map_err(|_| "the program is too long".to_owned())?;
                }
                index += width;
            }
        }
        Ok(())
    }

    /// A reason with its instruction.
    fn at(&self, slot: usize, reason: String) -> Refused {
        let line = |line: &&Line| line.instruction <= slot;
        let mut lines = self.information().2;
        lines.sort_by_key(|line| line.instruction);
        let function = self.order.iter().rev().find(|(start, _)| *start <= slot).filter(|(start, _)| *start > 0);
        let place = InstructionPlace {
            instruction: slot,
            // What is not relocated yet holds a descriptor.
            text: disassembled(&self.instructions, slot).replacen(", map ", ", fd ", 1),
            function: function.map(|(_, key)| self.linker.functions[key].name.clone()),
            source: lines.iter().take_while(line).last().map(|line| (line.file.clone(), line.line, line.column, line.text.clone())),
        };
        Refused { reason, place: Some(Box::new(place)) }
    }

    /// What CO-RE did not find, by instruction of the program.
    pub(super) fn unrelocated(&self) -> BTreeMap<usize, String> {
        let of = |(start, key): &(usize, (usize, usize))| {
            let start = *start;
            self.linker.functions[key].unrelocated.iter().map(move |(index, what)| (start + index, what.clone()))
        };
        self.order.iter().flat_map(of).collect()
    }

    fn place(&mut self, key: (usize, usize)) -> Result<(), String> {
        let section = self.linker.elf.sections.get(&key.0).ok_or_else(|| format!("the object has no section {} with code", key.0))?;
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
        let Some(symbol) = section.relocations.get(&offset) else {
            if insn.opc == ebpf::LD_DW_IMM {
                return literal(&insn).map_or(Ok(None), Err);
            }
            let target = i64::try_from(offset).unwrap_or(0) + (i64::from(insn.imm) + 1) * 8;
            return Ok(local_call.then(|| (key.0, usize::try_from(target).unwrap_or(usize::MAX))));
        };
        let symbol = self
            .linker
            .elf
            .symbols
            .get(symbol)
            .ok_or("its relocation is to a symbol that is not in the file; do not strip symbols (`llvm-strip -g` keeps them)")?;
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
    pub(super) fn information(&self) -> (Vec<u8>, Vec<u8>, Vec<Line>) {
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

/// Why an `ld_imm64` without a relocation is refused, in the kernel's words: a number in it would name a map, or a function, of whatever program
/// it is loaded from. The types of the kernel have numbers of their own.
fn literal(insn: &Insn) -> Option<String> {
    const BY_SYMBOL: &str = "the instruction holds a number and has no relocation; name the map by its symbol";
    match insn.src {
        MAP_FD | MAP_VALUE => Some(format!("fd {} is not pointing to valid bpf_map: {BY_SYMBOL}", insn.imm)),
        MAP_INDEX | MAP_INDEX_VALUE => Some(format!("fd_idx without fd_array is invalid: {BY_SYMBOL}")),
        FUNCTION => Some("the address of a function has no relocation; name the function by its symbol".to_owned()),
        _ => None,
    }
}

/// `BPF_PSEUDO_MAP_FD`, `BPF_PSEUDO_MAP_VALUE`, `BPF_PSEUDO_FUNC`, `BPF_PSEUDO_MAP_IDX`, `BPF_PSEUDO_MAP_IDX_VALUE`
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;
const FUNCTION: u8 = 4;
const MAP_INDEX: u8 = 5;
const MAP_INDEX_VALUE: u8 = 6;

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

//! The object: an ELF file's programs as the kernel wants them, linked and relocated, with its maps, types and source lines.
//!
//! ```text
//! ELF -> elf -> map (legacy), ext -> core (CO-RE) -> link -> Object -> vm, kernel
//! ```
//!
//! What cannot be read (a map, a section, a function that only a kernel has) spoils what uses it and nothing else: such a
//! program is refused, with the reason, when it is asked for. Objects by clang with libbpf's headers and by aya are read, with
//! BTF or without; maps defined by BTF (`.maps`) or by the older `maps` sections of libbpf, iproute2 and aya; global data; functions, static
//! and global; maps within maps and program arrays with their first values. Pinning is ignored.
//!
//! Not here: whether an engine has such maps and instructions, see [`crate::vm`], and loading, see [`crate::kernel`].

mod core;
mod definition;
mod elf;
mod error;
mod ext;
mod format;
mod function;
mod hook;
pub(crate) mod instruction;
mod job;
mod kind;
mod legacy;
mod link;
mod linker;
mod map;
mod options;
mod program;
mod shape;
mod symbol;
pub(crate) mod types;

pub use aya_obj::btf::Btf as TargetBtf;
pub use definition::{Initial, Map};
pub use error::{InstructionPlace, ObjectError};
pub use hook::Hook;
pub use instruction::{disassembled, listing};
pub use job::Job;
pub use kind::Kind;
pub(crate) use kind::XDP_HAS_FRAGS;
pub use options::ReadOptions;
pub use rbpf::ebpf::Insn;
pub use shape::{MapKind, NO_COMMON_LRU, NO_PREALLOC, Shape};
pub use types::Types;

use std::collections::{BTreeMap, BTreeSet};

/// `struct bpf_line_info`
const LINE_BYTES: usize = 16;

/// A parsed and relocated BPF object, from which any number of engines load.
#[derive(Debug, Clone)]
pub struct Object {
    programs: Vec<Program>,
    refused: Vec<ObjectError>,
    maps: Vec<Map>,
    types: Option<Types>,
    license: Vec<u8>,
    version: u32,
}

/// One program of an object, with the functions it calls behind it.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name, that of the function in the source.
    pub name: String,
    /// Its section, as the ELF file has it.
    pub section: String,
    /// What the kernel is told it is.
    pub kind: Kind,
    /// Where it attaches; `None` where the VM has no context for it.
    pub hook: Option<Hook>,
    /// The instructions, in 8-byte slots. `ld_imm64` names a map by its position in [`Object::maps`] (source 1: the map; source 2:
    /// its first value, with an offset in the second slot). A file's instruction that holds a descriptor without a relocation never gets
    /// here: its program is refused.
    pub instructions: Vec<Insn>,
    /// Where its functions start; the first is the program itself, at 0.
    pub functions: Vec<Function>,
    /// Source lines by the instruction they begin at, ascending; empty without line information.
    pub lines: Vec<Line>,
    /// The same for the kernel: `struct bpf_func_info` and `struct bpf_line_info` with offsets in slots, or empty where the object
    /// does not have them for each function.
    pub func_info: Vec<u8>,
    /// See [`Program::func_info`].
    pub line_info: Vec<u8>,
    /// Instructions that CO-RE could not relocate and replaced by calls of no helper, and what the kernel's types lack for each.
    pub unrelocated: BTreeMap<usize, String>,
}

/// A function within a linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Slot of its first instruction.
    pub start: usize,
    /// Its name.
    pub name: String,
}

/// A source line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Slot of the first instruction that belongs to it.
    pub instruction: usize,
    /// The file, as the compiler was given it.
    pub file: String,
    /// Its number, from 1.
    pub line: u32,
    /// The column, from 1; 0 where the compiler did not say.
    pub column: u32,
    /// The line itself.
    pub text: String,
}

impl Program {
    /// The source line of an instruction.
    #[must_use]
    pub fn line(&self, instruction: usize) -> Option<&Line> {
        let after = self.lines.partition_point(|line| line.instruction <= instruction);
        self.lines[..after].last()
    }

    /// The function an instruction is in.
    #[must_use]
    pub fn function(&self, instruction: usize) -> Option<&Function> {
        let after = self.functions.partition_point(|function| function.start <= instruction);
        self.functions[..after].last()
    }

    /// The positions of the maps that the program's instructions name, ascending.
    #[must_use]
    pub fn map_positions(&self) -> Vec<usize> {
        let named = self.map_slots().into_iter().map(|slot| self.instructions[slot].imm);
        let mut positions: Vec<usize> = named.filter_map(|position| usize::try_from(position).ok()).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The slots whose `imm` is a map's position.
    #[must_use]
    pub fn map_slots(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        let mut slot = 0;
        while let Some(insn) = self.instructions.get(slot) {
            let wide = insn.opc == rbpf::ebpf::LD_DW_IMM;
            if wide && matches!(insn.src, 1 | 2) {
                slots.push(slot);
            }
            slot += if wide { 2 } else { 1 };
        }
        slots
    }
}

impl Object {
    /// Reads an ELF object, sets the variables that `options` names, relocates maps, calls and CO-RE accesses.
    pub fn parse(elf: &[u8], options: &ReadOptions) -> Result<Self, ObjectError> {
        // aya-obj 0.3.0, which does CO-RE, panics at some damaged type information; bad input is an error here.
        let parsed = std::panic::catch_unwind(|| link::object(elf, options));
        parsed.unwrap_or_else(|_| Err(ObjectError::Unreadable { text: "the parser panicked: the file is damaged".to_owned() }))
    }

    /// Bytes of a global variable of an ELF object, for a caller that makes its value.
    pub fn variable_size(elf: &[u8], name: &str) -> Result<usize, ObjectError> {
        let elf = elf::Elf::read(elf)?;
        let symbol = elf.symbols.values().find(|symbol| symbol.name == name && !symbol.is_function && symbol.section.is_some());
        symbol.map(|symbol| symbol.size).ok_or_else(|| ObjectError::Unknown { what: "variable", name: name.to_owned() })
    }

    /// An object of one program given as bytecode; a map is named in `ld_imm64` (source 1 or 2) by its position in `maps`; of one that holds
    /// maps, the one before it says what those are like. Its functions are those that it calls or takes the address of, and have types, which the kernel wants of them.
    pub fn from_bytecode(name: &str, hook: Hook, bytecode: &[u8], maps: &[Shape]) -> Result<Self, ObjectError> {
        if bytecode.is_empty() || !bytecode.len().is_multiple_of(rbpf::ebpf::INSN_SIZE) {
            return Err(ObjectError::Unreadable { text: format!("bytecode of {} bytes, not a multiple of 8", bytecode.len()) });
        }
        let instructions = instruction::instructions(bytecode);
        let starts = starts(&instructions);
        let named =
            |start: &usize| Function { start: *start, name: if *start == 0 { name.to_owned() } else { format!("function {start}") } };
        let functions: Vec<Function> = starts.iter().map(named).collect();
        let types = (functions.len() > 1).then(|| Types::of_functions(functions.len()));
        let func_info = types.iter().flat_map(|(_, first)| starts.iter().zip(*first..)).flat_map(|(start, kind)| {
            let start = u32::try_from(*start).expect("a program has less than 2^32 instructions");
            [start.to_le_bytes(), kind.to_le_bytes()].concat()
        });
        let program = Program {
            name: name.to_owned(),
            section: String::new(),
            kind: Kind::of(hook),
            hook: Some(hook),
            func_info: func_info.collect(),
            instructions,
            functions,
            lines: Vec::new(),
            line_info: Vec::new(),
            unrelocated: BTreeMap::new(),
        };
        Ok(Self {
            programs: vec![program],
            refused: Vec::new(),
            maps: maps
                .iter()
                .enumerate()
                .map(|(position, shape)| {
                    let inner =
                        shape.kind.holds_maps().then(|| position.checked_sub(1).map(|before| Box::new(Map::of(&maps[before])))).flatten();
                    Map { inner, ..Map::of(shape) }
                })
                .collect(),
            types: types.map(|(types, _)| types),
            license: b"GPL\0".to_vec(),
            version: 0,
        })
    }

    /// The programs, by name.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The programs, to rewrite before they are loaded.
    pub fn programs_mut(&mut self) -> &mut [Program] {
        &mut self.programs
    }

    /// Why other programs of the file cannot be loaded, one error each.
    #[must_use]
    pub fn refused(&self) -> &[ObjectError] {
        &self.refused
    }

    /// A program by its name, or why there is none.
    pub fn program(&self, name: &str) -> Result<&Program, ObjectError> {
        if let Some(program) = self.programs.iter().find(|program| program.name == name) {
            return Ok(program);
        }
        if let Some(error) = self.refused.iter().find(|error| error.program() == Some(name)) {
            return Err(error.clone());
        }
        let known = self.programs.iter().map(|program| program.name.as_str()).collect::<Vec<_>>().join(", ");
        Err(ObjectError::NoProgram { program: name.to_owned(), known })
    }

    /// The maps and global data sections, by name; those that [`Object::push_map`] added come last.
    #[must_use]
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The maps, to change before they are created.
    pub fn maps_mut(&mut self) -> &mut [Map] {
        &mut self.maps
    }

    /// Adds a map behind the others and answers its position, for instructions that a caller adds.
    pub fn push_map(&mut self, map: Map) -> usize {
        self.maps.push(map);
        self.maps.len() - 1
    }

    /// Takes note of functions that a caller has appended to a program's instructions: the kernel wants types and lines of every function or
    /// of none, so each gets a type without parameters and the program's last line.
    pub fn push_functions(&mut self, program: &str, functions: impl IntoIterator<Item = Function>) {
        let Some(program) = self.programs.iter_mut().find(|known| known.name == program) else { return };
        for function in functions {
            let start = u32::try_from(function.start).expect("a program has less than 2^32 instructions").to_le_bytes();
            let main = program.func_info.get(4..8).map(|id| u32::from_le_bytes(id.try_into().expect("four bytes")));
            if let (Some(main), Some(types)) = (main, &mut self.types) {
                program.func_info.extend(start.into_iter().chain(types.push_function(main).to_le_bytes()));
            }
            if let Some(last) = program.line_info.len().checked_sub(LINE_BYTES) {
                let line = program.line_info[last + start.len()..].to_vec();
                program.line_info.extend(start.into_iter().chain(line));
            }
            program.functions.push(function);
        }
    }

    /// A program, those that the program arrays it uses name first, those that theirs name, and so on; each once.
    #[must_use]
    pub fn reachable<'a>(&'a self, program: &'a str) -> Vec<&'a str> {
        let mut names = vec![program];
        let mut seen = 0;
        while let Some(name) = names.get(seen) {
            seen += 1;
            let Ok(program) = self.program(name) else { continue };
            let entries = program.map_positions().into_iter().filter_map(|position| self.maps.get(position)).flat_map(|map| &map.entries);
            for (_, initial) in entries {
                if let Initial::Program(next) = initial
                    && !names.contains(&next.as_str())
                {
                    names.push(next);
                }
            }
        }
        names
    }

    /// The object's types.
    #[must_use]
    pub fn types(&self) -> Option<&Types> {
        self.types.as_ref()
    }

    /// The license, with its NUL; helpers want a compatible one.
    #[must_use]
    pub fn license(&self) -> &[u8] {
        &self.license
    }

    /// The kernel version of the `version` section, 0 without: older kprobes want it.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// Where a program's functions start: at 0, and where it calls or takes an address of code.
fn starts(instructions: &[Insn]) -> BTreeSet<usize> {
    let mut starts = BTreeSet::from([0]);
    let mut slot = 0;
    while let Some(insn) = instructions.get(slot) {
        let called = instruction::target(slot, insn).filter(|_| insn.opc == instruction::CALL);
        starts.extend(called.or_else(|| instruction::reference(slot, insn)).filter(|start| *start < instructions.len()));
        slot += if insn.opc == instruction::LD_IMM64 { 2 } else { 1 };
    }
    starts
}

//! CO-RE: accesses to the kernel's structures put where this kernel has the fields. aya-obj knows how.
//!
//! aya-obj refuses objects for their sections' names and its relocation is reached only through its parser, so it is given a
//! file with the object's types, the sections by name without their code, and the functions by hand.

use super::ext::{Ext, Record};
use super::function::Functions;
use super::instruction::instruction;
use super::types::{ARRAY, ENUM, ENUM64, STRUCT, TYPEDEF, UNION};
use super::{ReadOptions, TargetBtf, Types};
use crate::cause::explain;
use aya_obj::btf::BtfKind;
use aya_obj::generated::bpf_insn;
use object::write::{Object as Writer, StandardSegment};
use object::{Architecture, BinaryFormat, Endianness, SectionIndex, SectionKind};
use rbpf::ebpf::{self, Insn};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where Linux shows its types.
const RUNNING: &str = "/sys/kernel/btf/vmlinux";

/// The helper that libbpf and aya-obj have an instruction call that cannot be relocated: none has this number, so the verifier refuses it unless it is
/// never reached.
const POISON: i32 = 0x0bad_2310;

/// Relocates the functions in place. `names` has the code sections by index.
pub(super) fn relocate(
    functions: &mut Functions,
    names: &BTreeMap<usize, String>,
    (own, types): (&Types, &[u8]),
    (records, ext): (&Ext, &[u8]),
    options: &ReadOptions,
) -> Result<(), String> {
    let file = carrier(names.values(), types, ext)?;
    let mut host = aya_obj::Object::parse(&file).map_err(|error| explain(&error))?;
    let positions: BTreeMap<&str, usize> = {
        let read = object::read::elf::ElfFile64::<Endianness>::parse(&*file).map_err(|error| explain(&error))?;
        let sections = object::Object::sections(&read);
        let found = sections.filter_map(|section| Some((object::ObjectSection::name(&section).ok()?.to_owned(), section)));
        let indices: BTreeMap<String, usize> = found.map(|(name, section)| (name, object::ObjectSection::index(&section).0)).collect();
        names.values().filter_map(|name| Some((name.as_str(), *indices.get(name)?))).collect()
    };
    for ((section, address), function) in functions.iter() {
        let Some(index) = names.get(section).and_then(|name| positions.get(name.as_str())) else { continue };
        host.functions.insert((*index, *address as u64), aya_function(&function.name, *index, *address, &function.instructions));
    }
    let target = target(options, types)?;
    host.relocate_btf(&target).map_err(|error| explain(&error))?;
    for ((section, address), function) in functions.iter_mut() {
        let Some(index) = names.get(section).and_then(|name| positions.get(name.as_str())) else { continue };
        if let Some(relocated) = host.functions.get(&(*index, *address as u64)) {
            function.instructions = relocated.instructions.iter().map(|insn| instruction(aya_bytes(*insn))).collect();
            let records = names.get(section).and_then(|name| records.relocations.get(name)).map_or(&[][..], Vec::as_slice);
            for record in records {
                let Some(index) = (record[0] as usize).checked_sub(*address).map(|bytes| bytes / ebpf::INSN_SIZE) else { continue };
                if function.instructions.get(index).is_some_and(|insn| insn.opc == ebpf::CALL && insn.imm == POISON) {
                    function.unrelocated.insert(index, missing(own, record, &target));
                }
            }
        }
    }
    Ok(())
}

/// What the kernel's types lack for a relocation.
fn missing(own: &Types, record: &Record, target: &TargetBtf) -> String {
    let word = |index: usize| record.get(index).copied().unwrap_or(0);
    let (id, access, kind) = (word(1), own.string(word(2)), word(3));
    let (what, kinds): (&str, &[BtfKind]) = match own.kind(id) {
        STRUCT => ("struct ", &[BtfKind::Struct]),
        UNION => ("union ", &[BtfKind::Union]),
        ENUM | ENUM64 => ("enum ", &[BtfKind::Enum, BtfKind::Enum64]),
        TYPEDEF => ("", &[BtfKind::Typedef]),
        _ => ("", &[BtfKind::Int, BtfKind::Float, BtfKind::Func, BtfKind::FuncProto]),
    };
    // What follows three underscores is for the program's own use.
    let name = own.name(id).split("___").next().unwrap_or_default();
    let type_name = if name.is_empty() { format!("type {id} of the object") } else { format!("`{what}{name}`") };
    let is_there = kinds.iter().any(|kind| target.id_by_type_name_kind(name, *kind).is_ok());
    let part = match kind {
        FIELD_FIRST..=FIELD_LAST => Some(format!("field `{}`", field(own, id, access))),
        ENUM_EXISTS | ENUM_VALUE => Some(format!("value `{}`", value(own, id, access))),
        _ => None,
    };
    match part {
        Some(part) if is_there => format!("the kernel's {type_name} has no matching {part}"),
        Some(part) => format!("the kernel has no {type_name}, of which the program wants the {part}"),
        None => format!("the kernel has no matching {type_name}"),
    }
}

/// `enum bpf_core_relo_kind`: byte offset, size, existence, sign and shifts of a field; existence and number of an enum's value.
const FIELD_FIRST: u32 = 0;
const FIELD_LAST: u32 = 5;
const ENUM_EXISTS: u32 = 10;
const ENUM_VALUE: u32 = 11;

/// `0:1:2`, an index from the start and then members, by their names; an array's element by its index.
fn field(own: &Types, id: u32, access: &str) -> String {
    let mut text = String::new();
    let mut id = own.resolve(id);
    for (depth, step) in access.split(':').enumerate() {
        let Ok(step) = step.parse::<usize>() else { break };
        if own.kind(id) == ARRAY {
            text.extend(["[", &step.to_string(), "]"]);
            id = own.resolve(own.word(id, 3));
        } else if depth > 0 {
            let Some((name, member, _)) = own.members(id).nth(step) else { break };
            // Members of a structure without a name are fields of what it is in.
            if !name.is_empty() {
                text += if text.is_empty() { "" } else { "." };
                text += name;
            }
            id = own.resolve(member);
        }
    }
    text
}

fn value(own: &Types, id: u32, access: &str) -> String {
    let id = own.resolve(id);
    let words = if own.kind(id) == ENUM64 { 3 } else { 2 };
    access.parse::<usize>().map_or_else(|_| String::new(), |index| own.string(own.word(id, 3 + index * words)).to_owned())
}

fn target(options: &ReadOptions, own: &[u8]) -> Result<Arc<TargetBtf>, String> {
    if let Some(target) = &options.target {
        return Ok(Arc::clone(target));
    }
    let bytes = std::fs::read(RUNNING);
    let bytes = bytes.as_deref().unwrap_or(own);
    TargetBtf::parse(bytes, Endianness::Little).map(Arc::new).map_err(|error| explain(&error))
}

/// The file for aya-obj.
fn carrier<'a>(names: impl Iterator<Item = &'a String>, types: &[u8], ext: &[u8]) -> Result<Vec<u8>, String> {
    let mut writer = Writer::new(BinaryFormat::Elf, Architecture::Bpf, object::Endianness::Little);
    let segment = writer.segment_name(StandardSegment::Data).to_vec();
    for (name, bytes) in [(".BTF", types), (".BTF.ext", ext)] {
        let section = writer.add_section(segment.clone(), name.as_bytes().to_vec(), SectionKind::Other);
        writer.append_section_data(section, bytes, 4);
    }
    for name in names {
        writer.add_section(segment.clone(), name.as_bytes().to_vec(), SectionKind::Other);
    }
    writer.write().map_err(|error| explain(&error))
}

fn aya_function(name: &str, section: usize, address: usize, instructions: &[Insn]) -> aya_obj::Function {
    let bytes: Vec<u8> = instructions.iter().flat_map(Insn::to_array).collect();
    aya_obj::Function {
        address: address as u64,
        name: name.to_owned(),
        section_index: SectionIndex(section),
        section_offset: address,
        instructions: aya_obj::copy_instructions(&bytes).expect("whole instructions"),
        func_info: aya_obj::btf::FuncSecInfo::default(),
        line_info: aya_obj::btf::LineSecInfo::default(),
        func_info_rec_size: 0,
        line_info_rec_size: 0,
    }
}

fn aya_bytes(insn: bpf_insn) -> [u8; 8] {
    let mut bytes = [insn.code, insn.src_reg() << 4 | insn.dst_reg(), 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&insn.off.to_le_bytes());
    bytes[4..].copy_from_slice(&insn.imm.to_le_bytes());
    bytes
}

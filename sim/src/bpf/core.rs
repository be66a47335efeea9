//! CO-RE: accesses to the kernel's structures put where this kernel has the fields. aya-obj knows how.
//!
//! aya-obj refuses objects for their sections' names and its relocation is reached only through its parser, so it is given a
//! file with the object's types, the sections by name without their code, and the functions by hand.

use super::link::{Functions, instruction};
use super::{Options, TargetBtf};
use crate::cause::explain;
use aya_obj::generated::bpf_insn;
use object::write::{Object as Writer, StandardSegment};
use object::{Architecture, BinaryFormat, Endianness, SectionIndex, SectionKind};
use rbpf::ebpf::Insn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where Linux shows its types.
const RUNNING: &str = "/sys/kernel/btf/vmlinux";

/// Relocates the functions in place. `names` has the code sections by index.
pub(super) fn relocate(
    functions: &mut Functions,
    names: &BTreeMap<usize, String>,
    types: &[u8],
    ext: &[u8],
    options: &Options,
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
        }
    }
    Ok(())
}

fn target(options: &Options, own: &[u8]) -> Result<Arc<TargetBtf>, String> {
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

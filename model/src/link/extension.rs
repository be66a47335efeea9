//! `.BTF.ext`: which instructions functions and source lines begin at. Its numbers follow instructions that move.
//!
//! A header, then two tables (functions, lines), each the size of its records and a part for every code section: the section's name, how many records,
//! the records. The first word of a record is an instruction's offset in its section, bytes. Layout:
//! <https://docs.kernel.org/bpf/btf.html#btf-ext-section>.

use object::build::elf::{Builder, Section, SectionId};

use super::data;

const TYPES: &[u8] = b".BTF";
const EXTENSION: &[u8] = b".BTF.ext";

/// Adds `added` to the offsets of instructions from `from` on in code section `name`. An object without such tables stays as it is; `None`
/// for tables that make no sense.
pub(super) fn shift(elf: &mut Builder<'_>, name: &[u8], from: u64, added: u64) -> Option<()> {
    let find = |elf: &Builder<'_>, name: &[u8]| -> Option<SectionId> {
        elf.sections.iter().find(|section| *section.name == *name).map(Section::id)
    };
    let (Some(types), Some(extension)) = (find(elf, TYPES), find(elf, EXTENSION)) else { return Some(()) };
    let types = data(elf, types)?.clone();
    let strings = types.get(place(word(&types, 4)?, word(&types, 16)?)?..)?;
    let bytes = data(elf, extension)?;
    let header = word(bytes, 4)?;
    for table in [8, 16] {
        let start = place(header, word(bytes, table)?)?;
        let end = start.checked_add(usize::try_from(word(bytes, table + 4)?).ok()?)?;
        if start < end {
            shift_table(bytes.get_mut(start..end)?, strings, name, from, added)?;
        }
    }
    Some(())
}

fn shift_table(table: &mut [u8], strings: &[u8], name: &[u8], from: u64, added: u64) -> Option<()> {
    let record_bytes = usize::try_from(word(table, 0)?).ok().filter(|bytes| *bytes >= 4)?;
    let mut at = 4;
    while at < table.len() {
        let found = strings.get(usize::try_from(word(table, at)?).ok()?..)?.split(|byte| *byte == 0).next()?;
        let bytes = usize::try_from(word(table, at + 4)?).ok()?.checked_mul(record_bytes)?;
        let records = table.get_mut(at + 8..)?.get_mut(..bytes)?;
        if found == name {
            for record in records.chunks_exact_mut(record_bytes) {
                let offset = u64::from(word(record, 0)?);
                if offset >= from {
                    *record.first_chunk_mut()? = u32::try_from(offset.checked_add(added)?).ok()?.to_le_bytes();
                }
            }
        }
        at += 8 + bytes;
    }
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn place(base: u32, offset: u32) -> Option<usize> {
    usize::try_from(base.checked_add(offset)?).ok()
}

//! `.BTF.ext`: which type a function has, which source line an instruction is from, and whether there are CO-RE relocations.

use std::collections::BTreeMap;

/// A record's first words: the offset in its section in bytes, then what it says of it.
pub(super) type Record = Vec<u32>;

/// The section, by the code section that records are about.
#[derive(Debug, Default)]
pub(super) struct Ext {
    /// Offset, type.
    pub(super) functions: BTreeMap<String, Vec<Record>>,
    /// Offset, file, text, line and column.
    pub(super) lines: BTreeMap<String, Vec<Record>>,
    /// Offset, type, access, kind.
    pub(super) relocations: BTreeMap<String, Vec<Record>>,
}

impl Ext {
    /// Reads the section; `None` where it is damaged. `string` reads the type section's strings.
    pub(super) fn read(bytes: &[u8], string: impl Fn(u32) -> String) -> Option<Self> {
        let word = |offset: usize| Some(u32::from_le_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?));
        let header = word(4)? as usize;
        let part = |offset: usize| -> Option<BTreeMap<String, Vec<Record>>> {
            // The header grew: an old one ends before the CO-RE part.
            if header < offset + 8 || word(offset + 4)? == 0 {
                return Some(BTreeMap::new());
            }
            let start = header.checked_add(word(offset)? as usize)?;
            let end = start.checked_add(word(offset + 4)? as usize)?;
            let size = word(start)? as usize;
            let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
            let mut at = start + 4;
            while at < end {
                let (section, count) = (string(word(at)?), word(at + 4)? as usize);
                at += 8;
                let list = records.entry(section).or_default();
                for _ in 0..count {
                    let record: Option<Record> = (0..size / 4).map(|index| word(at + index * 4)).collect();
                    list.push(record.filter(|record| record.len() >= 2)?);
                    at += size;
                }
            }
            Some(records)
        };
        Some(Self { functions: part(8)?, lines: part(16)?, relocations: part(24)? })
    }
}

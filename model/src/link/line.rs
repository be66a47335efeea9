//! Type and line information (`.BTF.ext`): which instruction a function starts at, and which source line an instruction comes from.
//!
//! The layout is that of Linux's `Documentation/bpf/btf.rst`, `.BTF.ext`: a header, then two parts of records by section, each record
//! starting with the byte offset of its instruction. Only these offsets change, so nothing moves: what lies behind the tree's function shifts,
//! and the function keeps a line for its first instruction and one for its last.

use std::ops::Range;

use object::build::elf::Builder;

use super::{LinkError, SLOT, TEXT, data, section};

const TYPES: &str = ".BTF";
const LINES: &str = ".BTF.ext";
/// Little-endian.
const MAGIC: u16 = 0xeb9f;
/// Where the headers keep what is asked of them.
const HEADER_BYTES_AT: usize = 4;
const STRINGS_AT: usize = 16;
/// Offset and length of the functions' part, then of the lines'.
const PARTS_AT: [usize; 2] = [8, 16];

/// Adapts the offsets in `.text` to a function of `length` bytes at `place`.
pub(super) fn shift(elf: &mut Builder<'_>, place: &Range<usize>, length: usize) -> Result<(), LinkError> {
    let (types, lines) = (section(elf, TYPES)?, section(elf, LINES)?);
    let types = data(elf, types)?.clone();
    let lines = data(elf, lines)?;
    for part in PARTS_AT {
        let header_bytes = header(lines, LINES)?;
        let start = header_bytes + word(lines, part, LINES)?;
        let end = start + word(lines, part + 4, LINES)?;
        let record_bytes = word(lines, start, LINES)?;
        let mut at = start + 4;
        while at < end {
            let is_text = name(&types, word(lines, at, LINES)?)? == TEXT.as_bytes();
            let records = word(lines, at + 4, LINES)?;
            at += 8;
            for _ in 0..records {
                if is_text {
                    let shifted = shifted(word(lines, at, LINES)?, place, length)
                        .ok_or_else(|| LinkError::layout(LINES, at, "a line in the middle of treeline_tree"))?;
                    lines[at..at + 4].copy_from_slice(&shifted.to_le_bytes());
                }
                at = at.checked_add(record_bytes).filter(|at| *at <= end && record_bytes >= 4).ok_or_else(|| damaged(LINES, at))?;
            }
        }
    }
    Ok(())
}

/// Where an instruction lies after the change; of the function's own only the first and the last are known.
fn shifted(offset: usize, place: &Range<usize>, length: usize) -> Option<u32> {
    let shifted = match offset {
        _ if offset <= place.start => offset,
        _ if offset >= place.end => offset - place.len() + length,
        _ if offset == place.end - SLOT => place.start + length - SLOT,
        _ => return None,
    };
    u32::try_from(shifted).ok()
}

/// The string at `offset` of the strings of `.BTF`.
fn name(types: &[u8], offset: usize) -> Result<&[u8], LinkError> {
    let start = header(types, TYPES)? + word(types, STRINGS_AT, TYPES)? + offset;
    types.get(start..).and_then(|bytes| bytes.split(|byte| *byte == 0).next()).ok_or_else(|| damaged(TYPES, start))
}

/// The length of a header that starts as both sections do.
fn header(bytes: &[u8], section: &'static str) -> Result<usize, LinkError> {
    match bytes.first_chunk() {
        Some(magic) if u16::from_le_bytes(*magic) == MAGIC => word(bytes, HEADER_BYTES_AT, section),
        _ => Err(LinkError::layout(section, 0, "not the format's first bytes in little-endian order")),
    }
}

/// The 32-bit number at `offset`. Numbers of 32 bits are added up to offsets here, which 64 bits hold.
fn word(bytes: &[u8], offset: usize, section: &'static str) -> Result<usize, LinkError> {
    let word = bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).ok_or_else(|| damaged(section, offset))?;
    usize::try_from(u32::from_le_bytes(*word)).map_err(|_| damaged(section, offset))
}

fn damaged(section: &str, offset: usize) -> LinkError {
    LinkError::layout(section, offset, "it ends before its parts do")
}

//! Maps as older loaders have them: structures in sections `maps`, those of older libbpf and aya, and iproute2's, which number maps.
//!
//! iproute2 puts inner maps, and programs of sections named after a program array's number, in their places when it loads; so does this.

use super::definition::{Initial, MAPS_IN, Map, Placed};
use super::elf::{Elf, Symbol};

/// `BPF_MAP_TYPE_PROG_ARRAY`
const PROGRAMS: u32 = 3;

/// `maps`: type, key, value, entries, flags; in iproute2's also id, pinning, inner id, inner index.
pub(super) fn maps(elf: &Elf, section: usize, data: &[u8]) -> Vec<Placed> {
    let mut symbols: Vec<&Symbol> = elf.symbols_of(section).filter(|symbol| !symbol.is_section && !symbol.name.is_empty()).collect();
    symbols.sort_by_key(|symbol| symbol.address);
    let mut numbers = Vec::new();
    let mut maps = Vec::new();
    for (position, symbol) in symbols.iter().enumerate() {
        let next = symbols.get(position + 1).map_or(data.len(), |next| next.address);
        let end = if symbol.size > 0 { symbol.address + symbol.size } else { next };
        let words: Vec<u32> = data
            .get(symbol.address..end)
            .unwrap_or_default()
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
            .collect();
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        let map = Map {
            name: symbol.name.clone(),
            kind: word(0),
            key_size: word(1),
            value_size: word(2),
            max_entries: word(3),
            flags: word(4),
            ..Map::default()
        };
        // The nine words of `struct bpf_elf_map`; other loaders' definitions are shorter, and what stands there is something else.
        let number =
            if words.len() < NUMBERED_WORDS { Numbers::default() } else { Numbers { own: word(5), inner: word(7), index: word(8) } };
        let refusal =
            (words.len() < 4).then(|| format!("map `{}` is defined by {} bytes, at least 16 are needed", symbol.name, words.len() * 4));
        numbers.push(number);
        maps.push(Placed { map, section, offset: Some(symbol.address), refusal, values: None, number: number.own });
    }
    for position in 0..maps.len() {
        let Numbers { inner, .. } = numbers[position];
        if !MAPS_IN.contains(&maps[position].map.kind) || inner == 0 {
            continue;
        }
        let found = numbers.iter().position(|number| number.own == inner);
        maps[position].map.inner = found.map(|found| Box::new(maps[found].map.clone()));
        let within = numbers.iter().zip(&maps).filter(|(number, _)| number.own == inner && number.inner == 0 && number.index != NOWHERE);
        let within: Vec<_> = within.map(|(number, placed)| (number.index, Initial::Map(placed.map.name.clone()))).collect();
        maps[position].map.entries = within;
    }
    maps
}

/// Words of iproute2's definitions, which number maps.
const NUMBERED_WORDS: usize = 9;
/// The index of a map that is put into no other.
const NOWHERE: u32 = u32::MAX;

/// What iproute2's definitions say of maps in maps: a map's number, the number of those in it, and its index in those it is in.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    own: u32,
    inner: u32,
    index: u32,
}

/// Number of a program array and index in it, of a section `NUMBER/INDEX` as iproute2 names those of programs that are called.
pub(super) fn numbered(section: &str) -> Option<(u32, u32)> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let (array, index) = section.split_once('/')?;
    Some((number(array)?, number(index)?))
}

/// Programs of such sections as their arrays' first entries.
pub(super) fn call(elf: &Elf, maps: &mut [Placed]) {
    for (index, section) in elf.sections.iter().filter(|(_, section)| section.is_code) {
        let Some((array, at)) = numbered(&section.name) else { continue };
        let Some(program) = elf.symbols_of(*index).find(|symbol| symbol.is_function && !symbol.is_local) else { continue };
        if let Some(placed) = maps.iter_mut().find(|placed| placed.map.kind == PROGRAMS && placed.number == array) {
            placed.map.entries.push((at, Initial::Program(program.name.clone())));
        }
    }
}

//! Maps as an object defines them: by BTF, and the sections of global data. Not here: the structures of older loaders (`legacy`).

use super::ObjectError;
use super::ReadOptions;
use super::definition::{ARRAY_MAP, Initial, MAPS_IN, Map, Placed, RDONLY_PROG};
use super::elf::{Elf, Symbol};
use super::legacy;
use super::types::{ARRAY, PTR, STRUCT, Types};

/// All maps of a file, by name.
pub(super) fn maps(elf: &Elf, types: Option<&Types>, options: &ReadOptions) -> Result<Vec<Placed>, ObjectError> {
    let mut maps = Vec::new();
    for (index, section) in &elf.sections {
        let name = section.name.as_str();
        if name == ".maps" {
            maps.extend(by_types(elf, *index, types));
        } else if name == "maps" || name.starts_with("maps/") {
            maps.extend(legacy::maps(elf, *index, section.data));
        } else if [".rodata", ".data", ".bss"].iter().any(|data| name == *data || name.starts_with(&format!("{data}."))) && section.size > 0
        {
            let mut data = section.data.to_vec();
            data.resize(section.size, 0);
            let value_size = u32::try_from(section.size).map_err(|error| ObjectError::unreadable(&error))?;
            let flags = if name.starts_with(".rodata") { RDONLY_PROG } else { 0 };
            let kind = types.and_then(|types| types.section(name)).unwrap_or(0);
            let map = Map {
                name: name.to_owned(),
                kind: ARRAY_MAP,
                key_size: 4,
                value_size,
                max_entries: 1,
                flags,
                data,
                types: (0, kind),
                ..Map::default()
            };
            let refusal = (!section.relocations.is_empty())
                .then(|| format!("it uses section `{name}`, whose variables hold addresses, which BPF has no relocation for"));
            maps.push(Placed { map, section: *index, offset: None, refusal, values: None, number: 0 });
        }
    }
    maps.sort_by(|one, other| one.map.name.cmp(&other.map.name));
    entries(elf, &mut maps);
    legacy::call(elf, &mut maps);
    for (name, max_entries) in &options.map_max_entries {
        let placed = maps.iter_mut().find(|placed| placed.map.name == *name);
        placed.ok_or_else(|| ObjectError::Unknown { what: "map", name: name.clone() })?.map.max_entries = *max_entries;
    }
    for (name, value) in &options.globals {
        set(elf, &mut maps, name, value)?;
    }
    Ok(maps)
}

/// Writes a variable.
fn set(elf: &Elf, maps: &mut [Placed], name: &str, value: &[u8]) -> Result<(), ObjectError> {
    let unknown = || ObjectError::Unknown { what: "variable", name: name.to_owned() };
    let symbol = elf.symbols.values().find(|symbol| symbol.name == name && !symbol.is_function).ok_or_else(unknown)?;
    if symbol.size != value.len() {
        return Err(ObjectError::ValueSize { name: name.to_owned(), expected: symbol.size, given: value.len() });
    }
    let placed = maps.iter_mut().find(|placed| placed.offset.is_none() && Some(placed.section) == symbol.section).ok_or_else(unknown)?;
    let end = symbol.address.checked_add(symbol.size).ok_or_else(unknown)?;
    placed.map.data.get_mut(symbol.address..end).ok_or_else(unknown)?.copy_from_slice(value);
    Ok(())
}

/// `.maps`: structures whose members' types say it all.
fn by_types(elf: &Elf, section: usize, types: Option<&Types>) -> Vec<Placed> {
    let symbols = elf.symbols_of(section).filter(|symbol| !symbol.is_section && !symbol.name.is_empty());
    let place = |symbol: &Symbol| {
        let mut placed = Placed {
            map: Map { name: symbol.name.clone(), ..Map::default() },
            section,
            offset: Some(symbol.address),
            refusal: None,
            values: None,
            number: 0,
        };
        let defined = types.and_then(|types| {
            let all = types.variables(types.section(".maps")?);
            let variable = all.map(|(variable, _)| variable).find(|variable| types.name(*variable) == symbol.name)?;
            let (map, values) = by_members(types, types.resolve(types.word(variable, 2)), false)?;
            Some((Map { name: symbol.name.clone(), ..map }, values))
        });
        match defined {
            Some((map, values)) => {
                (placed.map, placed.values) = (map, values);
            }
            None => {
                placed.refusal =
                    Some(format!("map `{}` has no readable definition: compile with `-g`, which gives its types", symbol.name));
            }
        }
        placed
    };
    symbols.map(place).collect()
}

/// The definition that a structure's members give, and the offset in bytes of its `values`. The kernel has no maps in maps in maps,
/// so an inner definition's own inner one is not read: damage can make it the same again.
fn by_members(types: &Types, id: u32, is_inner: bool) -> Option<(Map, Option<usize>)> {
    if types.kind(id) != STRUCT {
        return None;
    }
    let mut map = Map::default();
    let mut values = None;
    for (name, member, offset_bits) in types.members(id) {
        let pointed = (types.kind(types.resolve(member)) == PTR).then(|| types.word(types.resolve(member), 2));
        // A number is the length of the array pointed to.
        let number = pointed.map(|pointed| types.resolve(pointed)).filter(|id| types.kind(*id) == ARRAY).map(|id| types.word(id, 5));
        match name {
            "type" => map.kind = number?,
            "max_entries" => map.max_entries = number?,
            "map_flags" => map.flags = number?,
            "map_extra" => map.extra = u64::from(number?),
            "key_size" => map.key_size = number?,
            "value_size" => map.value_size = number?,
            "key" => (map.key_size, map.types.0) = (types.size(pointed?)?, pointed?),
            "value" => (map.value_size, map.types.1) = (types.size(pointed?)?, pointed?),
            "values" => {
                values = Some(offset_bits as usize / 8);
                map.value_size = 4;
                let array = types.resolve(member);
                let element = types.resolve(types.word(array, 3));
                let inner = types.resolve(types.word(element, 2));
                if MAPS_IN.contains(&map.kind) && !is_inner {
                    map.inner = by_members(types, inner, true).map(|(inner, _)| Box::new(inner));
                }
            }
            // Where it is pinned is not its shape, and libbpf skips what it does not know by a warning.
            _ => {}
        }
    }
    if MAPS_IN.contains(&map.kind) {
        (map.key_size, map.value_size) = (if map.key_size == 0 { 4 } else { map.key_size }, 4);
    }
    Some((map, values))
}

/// First entries: relocations within `.maps`.
fn entries(elf: &Elf, maps: &mut [Placed]) {
    let named: Vec<(usize, Option<usize>, String)> =
        maps.iter().map(|placed| (placed.section, placed.offset, placed.map.name.clone())).collect();
    for placed in maps.iter_mut() {
        let (Some(offset), Some(values)) = (placed.offset, placed.values) else { continue };
        let size =
            elf.symbols_of(placed.section).find(|symbol| symbol.address == offset && !symbol.is_section).map_or(0, |symbol| symbol.size);
        let start = offset + values;
        for (at, symbol) in elf.sections[&placed.section].relocations.range(start..(offset + size).max(start)) {
            let (Some(symbol), Ok(index)) = (elf.symbols.get(symbol), u32::try_from((at - start) / 8)) else { continue };
            let initial = if symbol.is_function {
                Initial::Program(symbol.name.clone())
            } else {
                let map = named.iter().find(|(section, offset, _)| Some(*section) == symbol.section && *offset == Some(symbol.address));
                Initial::Map(map.map_or_else(|| symbol.name.clone(), |(.., name)| name.clone()))
            };
            placed.map.entries.push((index, initial));
        }
        placed.map.max_entries = placed.map.max_entries.max(placed.map.entries.last().map_or(0, |(index, _)| index + 1));
    }
}

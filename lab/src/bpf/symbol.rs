//! Functions that the file has no symbol of type FUNC for: of assemblers, of the older clang, and of files without symbols.
//!
//! A global symbol without a type begins a function, unless it lies within one; so does what is called; and a section of code without
//! any function is one, named after its section. Labels of functions are local, and stay labels.

use std::collections::{BTreeMap, BTreeSet};

use super::elf::{Elf, Section, Symbol};
use super::instruction::instructions;
use rbpf::ebpf::{CALL, INSN_SIZE};

/// Takes such symbols for functions, and adds those that are missing.
pub(super) fn find_functions(elf: &mut Elf) {
    let called = called(elf);
    let typed: BTreeMap<usize, Vec<(usize, usize)>> =
        elf.sections.iter().map(|(index, section)| (*index, extents(elf, *index, section))).collect();
    let is_within = |section: usize, address: usize| {
        typed.get(&section).is_some_and(|extents| extents.iter().any(|(start, end)| (*start..*end).contains(&address)))
    };
    for symbol in elf.symbols.values_mut() {
        let Some(section) = symbol.section.filter(|section| elf.sections.get(section).is_some_and(|section| section.is_code)) else {
            continue;
        };
        let begins = !symbol.is_local || called.contains(&(section, symbol.address));
        let is_named = !symbol.name.is_empty() && symbol.address.is_multiple_of(INSN_SIZE);
        symbol.is_function |= symbol.is_untyped && is_named && begins && !is_within(section, symbol.address);
    }
    let begins: BTreeSet<(usize, usize)> =
        elf.symbols.values().filter(|symbol| symbol.is_function).filter_map(|symbol| Some((symbol.section?, symbol.address))).collect();
    let mut missing = Vec::new();
    for (index, section) in elf.sections.iter().filter(|(_, section)| section.is_code) {
        if begins.range((*index, 0)..=(*index, usize::MAX)).next().is_none() {
            missing.push(nameless(section.name.clone(), *index, 0));
        }
        let within = called.range((*index, 1)..(*index, section.data.len()));
        let targets = within.filter(|place| !begins.contains(place) && !is_within(*index, place.1));
        missing.extend(targets.map(|(_, at)| Symbol { is_local: true, ..nameless(format!("{}+{at}", section.name), *index, *at) }));
    }
    let next = elf.symbols.keys().next_back().map_or(1, |last| last + 1);
    elf.symbols.extend((next..).zip(missing));
}

fn nameless(name: String, section: usize, address: usize) -> Symbol {
    Symbol {
        name,
        section: Some(section),
        address,
        size: 0,
        is_function: true,
        is_section: false,
        is_untyped: false,
        is_local: false,
        is_weak: false,
    }
}

/// Where the functions of a section begin and end, by symbols that say they are functions.
fn extents(elf: &Elf, index: usize, section: &Section) -> Vec<(usize, usize)> {
    let mut functions: Vec<&Symbol> = elf.symbols_of(index).filter(|symbol| symbol.is_function).collect();
    functions.sort_by_key(|symbol| symbol.address);
    let next = |position: usize| functions.get(position + 1).map_or(section.data.len(), |next: &&Symbol| next.address);
    let end = |position: usize, symbol: &Symbol| if symbol.size > 0 { symbol.address.saturating_add(symbol.size) } else { next(position) };
    functions.iter().enumerate().map(|(position, symbol)| (symbol.address, end(position, symbol))).collect()
}

/// Section and offset of what the file's own calls go to.
fn called(elf: &Elf) -> BTreeSet<(usize, usize)> {
    let mut called = BTreeSet::new();
    for (index, section) in elf.sections.iter().filter(|(_, section)| section.is_code) {
        for (slot, insn) in instructions(section.data).iter().enumerate().filter(|(_, insn)| insn.opc == CALL && insn.src == 1) {
            let offset = slot * INSN_SIZE;
            let symbol = section.relocations.get(&offset).map(|symbol| elf.symbols.get(symbol));
            let (section, start) = match symbol {
                None => (*index, offset),
                Some(Some(Symbol { section: Some(section), address, .. })) => (*section, *address),
                Some(_) => continue,
            };
            let distance = (i64::from(insn.imm) + 1) * 8;
            called.extend(start.checked_add_signed(isize::try_from(distance).unwrap_or(0)).map(|target| (section, target)));
        }
    }
    called
}

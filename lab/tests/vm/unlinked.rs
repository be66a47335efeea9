//! Objects that are none, objects without programs, functions without types, and instructions that hold numbers where relocations should be.

use treeline_lab::bpf::ReadOptions;
use treeline_lab::bpf::{Object, ObjectError};
use treeline_lab::vm::Vm;

const LAB: &[u8] = include_bytes!("../objects/lab.bpf.o");
const LITERAL: &[u8] = include_bytes!("../objects/literal.bpf.o");
const UNTYPED: &[u8] = include_bytes!("../objects/untyped.bpf.o");
const UNRELOCATED: &[u8] = include_bytes!("../objects/unrelocated.bpf.o");

fn parse(elf: &[u8]) -> Result<Object, ObjectError> {
    Object::parse(elf, &ReadOptions::default())
}

fn names(object: &Object) -> Vec<&str> {
    object.programs().iter().map(|program| program.name.as_str()).collect()
}

/// A 64-bit ELF file's numbers, and its sections' and symbols' headers to change.
struct Elf(Vec<u8>);

impl Elf {
    const SECTION_BYTES: usize = 64;
    const SYMBOL_BYTES: usize = 24;

    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// Offsets of the sections' headers, with their types.
    fn sections(&self) -> Vec<(usize, usize)> {
        let (first, count) = (self.number(40, 8), self.number(60, 2));
        (0..count).map(|index| first + index * Self::SECTION_BYTES).map(|at| (at, self.number(at + 4, 4))).collect()
    }

    fn name(&self, section: usize) -> String {
        let names = self.number(40, 8) + self.number(62, 2) * Self::SECTION_BYTES;
        let start = self.number(names + 24, 8) + self.number(section, 4);
        self.0[start..].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
    }

    /// Offset of each symbol.
    fn symbols(&self) -> Vec<usize> {
        let (table, _) = *self.sections().iter().find(|(_, kind)| *kind == 2).expect("a symbol table");
        let (start, bytes) = (self.number(table + 24, 8), self.number(table + 32, 8));
        (start..start + bytes).step_by(Self::SYMBOL_BYTES).collect()
    }

    /// Makes functions symbols of no type.
    fn without_types(mut self) -> Self {
        for symbol in self.symbols() {
            if self.0[symbol + 4] & 0xf == 2 {
                self.0[symbol + 4] &= 0xf0;
            }
        }
        self
    }

    /// Makes each section of code one without the flag of code.
    fn without_code(mut self) -> Self {
        for (section, _) in self.sections() {
            self.0[section + 8] &= !4;
        }
        self
    }

    /// Makes every global function a static one.
    fn without_globals(mut self) -> Self {
        for symbol in self.symbols() {
            if self.0[symbol + 4] == 0x12 {
                self.0[symbol + 4] = 0x02;
            }
        }
        self
    }

    /// Empties the symbol table.
    fn without_symbols(mut self) -> Self {
        let (table, _) = *self.sections().iter().find(|(_, kind)| *kind == 2).expect("a symbol table");
        self.0[table + 32..table + 40].copy_from_slice(&24_u64.to_le_bytes());
        self
    }

    /// Empties the sections of code that `is_it` picks.
    fn emptied(mut self, is_it: impl Fn(&str) -> bool) -> Self {
        for (section, kind) in self.sections() {
            if kind == 1 && self.0[section + 8] & 4 != 0 && is_it(&self.name(section)) {
                self.0[section + 32..section + 40].fill(0);
            }
        }
        self
    }
}

#[test]
fn functions_without_types_are_the_same_programs() {
    let object = parse(LAB).expect("parses");
    let untyped = parse(&Elf(LAB.to_vec()).without_types().0).expect("parses");
    assert!(!names(&object).is_empty());
    assert_eq!(names(&untyped), names(&object));
    for (one, other) in object.programs().iter().zip(untyped.programs()) {
        assert_eq!(one.instructions, other.instructions, "{}", one.name);
    }
}

#[test]
fn an_assemblers_programs_are_found_by_section_and_run() {
    let object = parse(UNTYPED).expect("parses");
    assert_eq!(names(&object), ["first", "second", "tc"]);
    let run = |name: &str| Vm::load(&object, name).expect("loads").run(&[0; 64], 0).expect("runs");
    assert_eq!(["first", "second", "tc"].map(run), [2, 3, 5]);
}

#[test]
fn a_section_without_a_symbol_is_one_program() {
    let object = parse(&Elf(UNTYPED.to_vec()).without_symbols().0).expect("parses");
    // The call by a symbol that is gone is an error of its program alone.
    assert_eq!(names(&object), ["tc"]);
    let refused = object.program("xdp").expect_err("its calls want symbols").to_string();
    assert!(refused.contains("a symbol that is not in the file"), "{refused}");
}

#[track_caller]
fn check(elf: &[u8], expected: &str) {
    let error = parse(elf).expect_err("there is no program").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_object_without_programs_says_what_it_has() {
    let emptied = Elf(LAB.to_vec()).emptied(|_| true).0;
    assert!(matches!(parse(&emptied), Err(ObjectError::NoPrograms { .. })));
    check(&emptied, "no programs found: the file's sections of code (");
    check(
        &Elf(UNTYPED.to_vec()).emptied(|name| name != ".text").0,
        "the file's only code is in `.text`, whose functions (`elsewhere`) are called",
    );
    check(&Elf(LAB.to_vec()).without_code().0, "is not executable; an assembler wants the flags");
}

#[test]
fn a_static_program_is_told_and_none_is_missed_in_silence() {
    let object = parse(&Elf(UNTYPED.to_vec()).0).expect("parses");
    assert!(object.refused().is_empty(), "{:?}", object.refused());
    let object = parse(&Elf(LAB.to_vec()).without_globals().0).expect("parses");
    assert!(object.programs().is_empty());
    let known = parse(LAB).expect("parses");
    for name in names(&known) {
        let error = object.program(name).expect_err("static").to_string();
        assert!(error.contains("the function is static and nobody calls it"), "{error}");
    }
}

#[test]
fn what_is_no_object_is_named() {
    check(b"", "the file is empty");
    check(b"!<arch>\n", "the file is an archive");
    check(b"BC\xc0\xde", "the file is LLVM bitcode");
    check(b"SEC(\"xdp\")", "the file is no ELF file");
    let changed = |at: usize, byte: u8| {
        let mut elf = LAB.to_vec();
        elf[at] = byte;
        elf
    };
    check(&changed(16, 2), "the ELF file is an executable");
    check(&changed(16, 3), "the ELF file is a shared object");
    check(&changed(18, 62), "for another processor than BPF (machine 62)");
    let mut big = changed(5, 2);
    big.swap(16, 17);
    big.swap(18, 19);
    check(&big, "the object is big-endian");
    assert!(parse(&changed(18, 0)).is_ok(), "the first compilers for BPF wrote no machine");
}

#[test]
fn a_literal_descriptor_is_no_map_of_the_object() {
    let object = parse(LITERAL).expect("parses");
    assert_eq!(names(&object), ["right"]);
    let expected = [
        ("map_zero", "instruction 4 `", "fd 0 is not pointing to valid bpf_map"),
        ("map_big", "instruction 4 `", "fd 2147483647 is not pointing to valid bpf_map"),
        ("map_negative", "instruction 4 `", "fd -1 is not pointing to valid bpf_map"),
        ("map_index", "instruction 4 `", "fd_idx without fd_array is invalid"),
        ("value_zero", "instruction 0 `", "fd 0 is not pointing to valid bpf_map"),
        ("value_offset", "instruction 0 `", "fd 3 is not pointing to valid bpf_map"),
        ("value_index", "instruction 0 `", "fd_idx without fd_array is invalid"),
        ("function_address", "instruction 1 `", "the address of a function has no relocation"),
        ("called", "(./literal.bpf.c:", "fd 0 is not pointing to valid bpf_map"),
    ];
    assert_eq!(object.refused().len(), expected.len());
    for (program, place, reason) in expected {
        let error = Vm::load(&object, program).err().expect("refused").to_string();
        assert!(error.contains(&format!("program `{program}`")) && error.contains(place) && error.contains(reason), "{error}");
    }
    assert_eq!(Vm::load(&object, "right").expect("loads").run(&[0; 64], 0).expect("runs"), 2);
}

#[test]
fn what_core_relocation_did_not_find_is_named() {
    let object = parse(UNRELOCATED).expect("parses");
    let missing = |program: &str| object.program(program).expect("linked").unrelocated.clone().into_iter().collect::<Vec<_>>();
    let text = |text: &str| text.to_owned();
    assert_eq!(missing("field"), [(3, text("the kernel's `struct task_struct` has no matching field `no_such_field`"))]);
    assert_eq!(missing("nested"), [(3, text("the kernel's `struct task_struct` has no matching field `no_such_part.inner[2]`"))]);
    assert_eq!(
        missing("type"),
        [(0, text("the kernel has no `struct treeline_has_no_such`, of which the program wants the field `field`"))]
    );
    let value = text("the kernel's `enum bpf_map_type` has no matching value `TREELINE_HAS_NO_SUCH_VALUE`");
    assert_eq!(missing("value"), [(0, value)]);
    let refused = Vm::load(&object, "type").err().expect("refused").to_string();
    assert!(
        refused.contains("instruction 0 `") && refused.contains("an invalid CO-RE relocation: the kernel has no `struct treeline_has"),
        "{refused}"
    );
}

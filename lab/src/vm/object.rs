//! An object as the VM sees it: the maps that it has, and instructions that name maps by their position among those.

use super::VmError;
use crate::bpf::{Insn, Object, Program, Shape};

/// A map that the VM has.
#[derive(Debug)]
pub(super) struct Defined<'a> {
    pub(super) shape: Shape,
    /// The first value of global data.
    pub(super) data: &'a [u8],
    /// Where a value has its spin lock.
    pub(super) lock: Option<usize>,
}

/// The object's maps that the VM has.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    pub(super) defined: Vec<Defined<'a>>,
    /// Where each map of the object is among those.
    positions: Vec<Option<usize>>,
}

/// The object's maps that the VM has, in the order of [`Vm::map_at`](super::Vm::map_at).
#[must_use]
pub fn shapes(object: &Object) -> Vec<Shape> {
    // Without a program no map is missed.
    Maps::of(object, &[]).map(|maps| maps.defined.into_iter().map(|map| map.shape).collect()).unwrap_or_default()
}

impl<'a> Maps<'a> {
    /// A map that the VM does not have is an error where one of the programs uses it, and is left out otherwise.
    pub(super) fn of(object: &'a Object, programs: &[&str]) -> Result<Self, VmError> {
        let mut used = Vec::new();
        for name in programs {
            used.extend(object.program(name)?.map_positions());
        }
        let mut maps = Self { defined: Vec::new(), positions: Vec::new() };
        for (position, map) in object.maps().iter().enumerate() {
            match Shape::new(map) {
                Ok(shape) => {
                    maps.positions.push(Some(maps.defined.len()));
                    let lock = object.types().and_then(|types| types.spin_lock(map.types.1));
                    maps.defined.push(Defined { shape, data: &map.data, lock });
                }
                Err(error) if used.contains(&position) => return Err(error),
                Err(_) => maps.positions.push(None),
            }
        }
        Ok(maps)
    }

    /// The program's instructions with the VM's positions of maps.
    pub(super) fn instructions(&self, program: &Program) -> Vec<Insn> {
        let mut instructions = program.instructions.clone();
        for slot in program.map_slots() {
            let position = usize::try_from(instructions[slot].imm).ok().and_then(|position| *self.positions.get(position)?);
            // A position that is none stays one: the lowering refuses it by its instruction.
            instructions[slot].imm = position.map_or(-1, |position| i32::try_from(position).expect("few maps"));
        }
        instructions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::ReadOptions;

    #[test]
    fn values_with_a_spin_lock_are_known_by_their_type() {
        let elf = include_bytes!("../../../testdata/verifier/resource.bpf.o");
        let object = Object::parse(elf, &ReadOptions::default()).expect("parses");
        let maps = Maps::of(&object, &[]).expect("maps");
        let lock = |name: &str| maps.defined.iter().find(|map| map.shape.name == name).map(|map| map.lock);
        assert_eq!((lock("locks"), lock("timers")), (Some(Some(0)), Some(None)));
    }
}

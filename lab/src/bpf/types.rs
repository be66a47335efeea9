//! BTF, the object's types: read for map definitions, mended for the kernel, byte by byte as `Documentation/bpf/btf.rst` has it.
//!
//! CO-RE, which needs much more of it, is aya-obj's.

use std::collections::BTreeMap;

const HEADER: usize = 24;
/// Types within types. The kernel follows 32 that it has not met; deeper ones are damage, or made to exhaust a reader's stack.
const NESTING_MAX: u8 = 128;
const MAGIC: u16 = 0xeb9f;

pub(crate) const INT: u32 = 1;
pub(crate) const PTR: u32 = 2;
pub(crate) const ARRAY: u32 = 3;
pub(crate) const STRUCT: u32 = 4;
pub(crate) const UNION: u32 = 5;
pub(crate) const ENUM: u32 = 6;
pub(crate) const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
pub(crate) const CONST: u32 = 10;
const RESTRICT: u32 = 11;
pub(crate) const FUNC: u32 = 12;
pub(crate) const FUNC_PROTO: u32 = 13;
pub(crate) const VAR: u32 = 14;
pub(crate) const DATASEC: u32 = 15;
pub(crate) const FLOAT: u32 = 16;
pub(crate) const DECL_TAG: u32 = 17;
pub(crate) const TYPE_TAG: u32 = 18;
pub(crate) const ENUM64: u32 = 19;

/// The types of an object: the bytes of its `.BTF` section and where each type lies in them.
#[derive(Debug, Clone)]
pub struct Types {
    bytes: Vec<u8>,
    /// Offset of each type's record; number 0 is void and has none.
    offsets: Vec<usize>,
    strings: std::ops::Range<usize>,
}

impl Types {
    /// Reads a `.BTF` section; `None` where it is damaged, or where a type contains itself otherwise than through a pointer.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |offset: usize| Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?));
        let place = |offset: usize| Some(word(offset)? as usize);
        if u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC || place(4)? < HEADER {
            return None;
        }
        let base = place(4)?;
        let types = base.checked_add(place(8)?)?..base.checked_add(place(8)?)?.checked_add(place(12)?)?;
        let strings = base.checked_add(place(16)?)?..base.checked_add(place(16)?)?.checked_add(place(20)?)?;
        if types.end > bytes.len() || strings.end > bytes.len() {
            return None;
        }
        let mut offsets = vec![0];
        let mut offset = types.start;
        while offset < types.end {
            offsets.push(offset);
            let info = word(offset + 4)?;
            offset += 12 + extra(info >> 24 & 0x1f, (info & 0xffff) as usize)?;
        }
        let types = (offset == types.end).then(|| Self { bytes: bytes.to_vec(), offsets, strings })?;
        types.is_finite().then_some(types)
    }

    /// Whether no type contains itself, nor more than [`NESTING_MAX`] one in the other.
    fn is_finite(&self) -> bool {
        // A type whose depth is being found is as deep as nothing may be: who meets it again is in a loop.
        const OPEN: u8 = u8::MAX;
        fn depth(types: &Types, id: u32, above: u8, depths: &mut [Option<u8>]) -> Option<u8> {
            let known = depths.get(id as usize).copied()?;
            if known.is_some() || above > NESTING_MAX {
                return known.filter(|depth| *depth != OPEN);
            }
            depths[id as usize] = Some(OPEN);
            let mut own = 0;
            for part in types.parts(id) {
                own = own.max(depth(types, part, above + 1, depths)? + 1);
            }
            depths[id as usize] = Some(own);
            (own <= NESTING_MAX).then_some(own)
        }
        let mut depths = vec![None; self.offsets.len()];
        (0..self.count()).all(|id| depth(self, id, 0, &mut depths).is_some())
    }

    /// The types that a type's values consist of.
    fn parts(&self, id: u32) -> Vec<u32> {
        match self.kind(id) {
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG | VAR => vec![self.word(id, 2)],
            ARRAY => vec![self.word(id, 3), self.word(id, 4)],
            STRUCT | UNION => self.members(id).map(|(_, member, _)| member).collect(),
            DATASEC => self.variables(id).map(|(variable, _)| variable).collect(),
            _ => Vec::new(),
        }
    }

    /// Types for so many static functions, `int f(void)` each, and the number of the first one's; the others follow.
    pub(super) fn of_functions(count: usize) -> (Self, u32) {
        let mut words = vec![1, INT << 24, 4, 1 << 24 | 32, 0, FUNC_PROTO << 24, 1];
        for _ in 0..count {
            words.extend([5, FUNC << 24, 2]);
        }
        let strings = b"\0int\0f\0";
        let length = |bytes: usize| u32::try_from(bytes).expect("programs are small");
        let mut bytes = vec![];
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([1, 0]);
        let types = words.len() * 4;
        for word in [24, 0, length(types), length(types), length(strings.len())].iter().chain(&words) {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(strings);
        (Self::read(&bytes).expect("sound types"), 3)
    }

    /// The section's bytes, as they would be loaded.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The string at an offset of the string section.
    #[must_use]
    pub fn string(&self, offset: u32) -> &str {
        let from = self.strings.start + offset as usize;
        let bytes = self.bytes.get(from..self.strings.end).unwrap_or_default();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&bytes[..length]).unwrap_or_default()
    }

    /// How many types there are, with void.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    fn offset(&self, id: u32) -> Option<usize> {
        if id == 0 { None } else { self.offsets.get(id as usize).copied() }
    }

    pub(crate) fn word(&self, id: u32, index: usize) -> u32 {
        let Some(offset) = self.offset(id) else { return 0 };
        let at = offset + index * 4;
        self.bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    pub(crate) fn put(&mut self, id: u32, index: usize, value: u32) {
        if let Some(offset) = self.offset(id) {
            let at = offset + index * 4;
            self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    pub(crate) fn kind(&self, id: u32) -> u32 {
        self.word(id, 1) >> 24 & 0x1f
    }

    /// Members, entries, parameters of a type.
    pub(crate) fn length(&self, id: u32) -> usize {
        (self.word(id, 1) & 0xffff) as usize
    }

    pub(crate) fn name(&self, id: u32) -> &str {
        self.string(self.word(id, 0))
    }

    /// The type behind typedefs and qualifiers.
    pub(crate) fn resolve(&self, mut id: u32) -> u32 {
        for _ in 0..32 {
            match self.kind(id) {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = self.word(id, 2),
                _ => break,
            }
        }
        id
    }

    /// Bytes of a value of a type.
    pub(crate) fn size(&self, id: u32) -> Option<u32> {
        let id = self.resolve(id);
        match self.kind(id) {
            INT | STRUCT | UNION | ENUM | DATASEC | FLOAT | ENUM64 => Some(self.word(id, 2)),
            PTR => Some(8),
            ARRAY => self.size(self.word(id, 3))?.checked_mul(self.word(id, 5)),
            VAR => self.size(self.word(id, 2)),
            _ => None,
        }
    }

    /// Name, type and offset in bits of a structure's members.
    pub(crate) fn members(&self, id: u32) -> impl Iterator<Item = (&str, u32, u32)> {
        (0..self.length(id)).map(move |index| {
            let at = 3 + index * 3;
            (self.string(self.word(id, at)), self.word(id, at + 1), self.word(id, at + 2))
        })
    }

    /// Where a map's values of this type have their `struct bpf_spin_lock`.
    pub(crate) fn spin_lock(&self, id: u32) -> Option<usize> {
        let value = self.resolve(id);
        let is_lock = |member: u32| self.kind(self.resolve(member)) == STRUCT && self.name(self.resolve(member)) == "bpf_spin_lock";
        let mut members = (self.kind(value) == STRUCT).then(|| self.members(value))?;
        members.find(|(_, member, _)| is_lock(*member)).map(|(_, _, offset_bits)| offset_bits as usize / 8)
    }

    /// The variables of a data section: their type numbers, with their offset in bytes.
    pub(crate) fn variables(&self, id: u32) -> impl Iterator<Item = (u32, u32)> {
        (0..self.length(id)).map(move |index| (self.word(id, 3 + index * 3), self.word(id, 4 + index * 3)))
    }

    /// Adds the type of a static function without parameters, under the name of another type; its number.
    pub(super) fn push_function(&mut self, namesake: u32) -> u32 {
        let prototype = self.count();
        let words = [0, FUNC_PROTO << 24, 0, self.word(namesake, 0), FUNC << 24, prototype];
        let header = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let end = (header(&self.bytes, 4) + header(&self.bytes, 8) + header(&self.bytes, 12)) as usize;
        let record: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let length = u32::try_from(record.len()).expect("six words");
        self.bytes.splice(end..end, record);
        self.offsets.extend([end, end + 12]);
        let mut grow = |at: usize| {
            let grown = header(&self.bytes, at) + length;
            self.bytes[at..at + 4].copy_from_slice(&grown.to_le_bytes());
        };
        grow(12);
        if self.strings.start >= end {
            grow(16);
            self.strings = self.strings.start + length as usize..self.strings.end + length as usize;
        }
        prototype + 1
    }

    /// The data section type of a section.
    pub(crate) fn section(&self, name: &str) -> Option<u32> {
        (1..self.count()).find(|id| self.kind(*id) == DATASEC && self.name(*id) == name)
    }

    /// Gives data sections the sizes and variables the offsets that compilers leave to the loader. `sections`: bytes by name;
    /// `symbols`: offsets by name.
    pub(super) fn fix_sections(&mut self, sections: &BTreeMap<String, usize>, symbols: &BTreeMap<String, usize>) {
        for id in 1..self.count() {
            if self.kind(id) != DATASEC {
                continue;
            }
            let small = |value: &usize| u32::try_from(*value).ok();
            if let Some(size) = sections.get(self.name(id)).and_then(small) {
                self.put(id, 2, size);
            }
            for index in 0..self.length(id) {
                let variable = self.word(id, 3 + index * 3);
                if let Some(offset) = symbols.get(self.name(variable)).and_then(small) {
                    self.put(id, 4 + index * 3, offset);
                }
            }
            self.sort_variables(id);
        }
    }

    /// The kernel wants a section's variables in order.
    fn sort_variables(&mut self, id: u32) {
        let entry = |types: &Self, index: usize| [3, 4, 5].map(|word| types.word(id, word + index * 3));
        let mut entries: Vec<[u32; 3]> = (0..self.length(id)).map(|index| entry(self, index)).collect();
        entries.sort_by_key(|entry| entry[1]);
        for (index, entry) in entries.into_iter().enumerate() {
            for (word, value) in (3..).zip(entry) {
                self.put(id, word + index * 3, value);
            }
        }
    }
}

/// Bytes behind the first three words of a type.
fn extra(kind: u32, length: usize) -> Option<usize> {
    Some(match kind {
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => length * 12,
        ENUM | FUNC_PROTO => length * 8,
        PTR | 7 | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
        _ => return None,
    })
}

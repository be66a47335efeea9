//! What the VM has of kinds of maps, and a map's sizes checked against what the kernel would create.

use super::super::VmError;
use crate::bpf::{Map, MapKind, MapKind as Kind, Shape};
use crate::kernel::cpus_count;

/// The kernel's kinds that are not here, by number.
const ABSENT: [(u32, &str); 15] = [
    (7, "stack traces"),
    (8, "a cgroup array"),
    (15, "a sockmap"),
    (18, "a sockhash"),
    (19, "cgroup storage"),
    (20, "a reuseport array"),
    (21, "cgroup storage a CPU"),
    (24, "socket storage"),
    (26, "struct_ops"),
    (28, "inode storage"),
    (29, "task storage"),
    (31, "a user's ring buffer"),
    (32, "cgroup storage"),
    (33, "an arena"),
    (34, "an instruction array"),
];

impl MapKind {
    /// Whether a key is an index below `max_entries`.
    pub(super) fn is_indexed(self) -> bool {
        matches!(
            self,
            Kind::Array
                | Kind::PerCpuArray
                | Kind::ProgArray
                | Kind::PerfEventArray
                | Kind::ArrayOfMaps
                | Kind::DevMap
                | Kind::CpuMap
                | Kind::XskMap
        )
    }

    /// Whether it has values without keys.
    pub(super) fn is_keyless(self) -> bool {
        matches!(self, Kind::Queue | Kind::Stack | Kind::Bloom)
    }

    /// Which sizes of values the kernel takes, where not any.
    fn value_sizes(self) -> Option<&'static [u32]> {
        match self {
            Kind::ProgArray | Kind::PerfEventArray | Kind::ArrayOfMaps | Kind::HashOfMaps | Kind::XskMap => Some(&[4]),
            Kind::DevMap | Kind::DevMapHash | Kind::CpuMap => Some(&[4, 8]),
            Kind::RingBuf => Some(&[0]),
            _ => None,
        }
    }
}

impl Shape {
    /// Checks what the object says against what the VM has. A perf event array without a size has an entry a CPU, as with libbpf.
    pub(in crate::vm) fn new(map: &Map) -> Result<Self, VmError> {
        let Map { name, kind: number, key_size, value_size, max_entries, flags, .. } = map;
        let (number, key_size, value_size, max_entries, flags) = (*number, *key_size, *value_size, *max_entries, *flags);
        let wrong = |reason: String| VmError::MapShape { map: name.clone(), reason };
        let kind = MapKind::from_number(number).ok_or_else(|| wrong(absent(number)))?;
        let max_entries = if kind == Kind::PerfEventArray && max_entries == 0 { cpus_count() } else { max_entries };
        check(kind, key_size, value_size, max_entries).map_err(wrong)?;
        let (key_size, value_size) = (key_size as usize, value_size as usize);
        Ok(Self { name: name.clone(), kind, key_size, value_size, max_entries, flags })
    }
}

fn check(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Result<(), String> {
    let has_key = !kind.is_keyless() && kind != Kind::RingBuf;
    if has_key != (key_size > 0) || (kind != Kind::RingBuf && value_size == 0) || max_entries == 0 {
        let rule = if has_key { "none may be 0" } else { "it has no keys" };
        return Err(format!("key of {key_size} bytes, value of {value_size}, {max_entries} entries: {rule}"));
    }
    if kind.is_indexed() && key_size != 4 {
        return Err(format!("an array's key has 4 bytes, not {key_size}"));
    }
    if kind == Kind::LpmTrie && !(5..=260).contains(&key_size) {
        return Err(format!("a trie's key has 4 bytes for the prefix length and 1 to 256 more, not {key_size}"));
    }
    if let Some(sizes) = kind.value_sizes()
        && !sizes.contains(&value_size)
    {
        return Err(format!("a value of {kind:?} has {sizes:?} bytes, not {value_size}"));
    }
    if kind == Kind::RingBuf && (!max_entries.is_power_of_two() || !max_entries.is_multiple_of(4096)) {
        return Err(format!("a ring buffer has a power of two of bytes, at least 4096, not {max_entries}"));
    }
    Ok(())
}

fn absent(number: u32) -> String {
    let name = ABSENT.iter().find(|(absent, _)| *absent == number).map_or("unknown", |(_, name)| name);
    format!("the VM has no maps of type {number} ({name})")
}

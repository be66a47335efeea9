//! Types for programs with functions: `int f(void)` for each, without which the kernel takes no tail calls in them.

use std::collections::BTreeSet;

/// The types of so many functions, and `struct bpf_func_info` of each: where it starts and the number of its type. `None` for a program
/// without functions beside the main one.
pub fn of(bytecode: &[u8]) -> Option<(Vec<u8>, Vec<u32>)> {
    const INT: u32 = 1 << 24;
    const PROTOTYPE: u32 = 13 << 24;
    const FUNCTION: u32 = 12 << 24;
    /// Number of the first function's type: an integer and a prototype come before.
    const FIRST: u32 = 3;
    let mut starts = BTreeSet::from([0_i64]);
    for (index, insn) in (1..).zip(bytecode.chunks_exact(8)) {
        if insn[0] == 0x85 && insn[1] >> 4 == 1 {
            starts.insert(index + i64::from(i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]])));
        }
    }
    if starts.len() < 2 {
        return None;
    }
    let mut words = vec![1, INT, 4, 1 << 24 | 32, 0, PROTOTYPE, 1];
    words.extend(starts.iter().flat_map(|_| [5, FUNCTION, 2]));
    let strings = b"\0int\0f\0";
    let length = |bytes: usize| u32::try_from(bytes).expect("short");
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, length(words.len() * 4), length(words.len() * 4), length(strings.len())].iter().chain(&words) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(strings);
    let info = starts.iter().zip(FIRST..).flat_map(|(start, kind)| [u32::try_from(*start).expect("in the program"), kind]).collect();
    Some((bytes, info))
}

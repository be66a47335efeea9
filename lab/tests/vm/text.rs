//! Helpers that read, compare, format and print text, against the kernel's.

use crate::call::{
    Calls,
    Give::{Number, Stack, Value},
    RESULTS, check, differing, ipv4,
};
use crate::code::{cell, load_with};
use crate::kernel::Kernel;
use treeline_lab::vm::{Hook, Options, Shape};

fn text(calls: Calls, at: i32, text: &[u8]) -> Calls {
    let mut bytes = text.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight")));
    (0..).step_by(8).zip(words).fold(calls, |calls, (offset, word)| calls.set(at - offset, word))
}

#[test]
fn numbers_are_read_from_text() {
    let texts: [&[u8]; 20] = [
        b"42",
        b"  -17x",
        b"0x1f",
        b"0x",
        b"0xg",
        b"077",
        b"08",
        b"-",
        b"",
        b"99999999999999999999",
        b"9223372036854775807",
        b"9223372036854775808",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551615",
        b"18446744073709551616",
        b"+5",
        b"\t\n\x0b 3",
        b"abc",
        b"deadbeefz",
    ];
    for bytes in texts {
        for flags in [0_u64, 8, 10, 16, 2, 32, 1 << 40] {
            let length = u64::try_from(bytes.len().max(1)).expect("short");
            let calls = text(Calls::new(), 64, bytes);
            let calls = calls.call(105, &[Stack(64), Number(length), Number(flags), Stack(128)]).keep_stack(128, 8);
            let calls = calls.call(106, &[Stack(64), Number(length), Number(flags), Stack(128)]).keep_stack(128, 8);
            check(&format!("{:?}, flags {flags}", String::from_utf8_lossy(bytes)), Hook::Xdp, &calls.end(), &[], &[ipv4()]);
        }
    }
}

#[test]
fn text_is_printed_as_the_kernel_prints_it() {
    let formats: [&[u8]; 28] = [
        b"plain\0",
        b"%d %u %x\0",
        b"%ld %lu %lx\0",
        b"%lld %llu %llx\0",
        b"%5d|%-5d|%05d\0",
        b"%X %i\0",
        b"%%\0",
        b"%d%%%d\0",
        b"%c%c\0",
        b"%+d % d\0",
        b"%016llx\0",
        b"%px\0",
        b"%q\0",
        b"%\0",
        b"no end",
        b"%d %d %d %d\0",
        b"%pz\0",
        b"%5\0",
        b"%l\0",
        b"%lld%\0",
        b"\x01\0",
        b"\xff\0",
        b"%08x:%4u\0",
        b"%-8x|\0",
        b"%hd\0",
        b"%5c|\0",
        b"%3%\0",
        b"%.3d\0",
    ];
    for format in formats {
        for (one, two) in [(1_u64, 2_u64), (u64::MAX, 0x1234_5678_9abc_def0), (0x8000_0000, 0x41), (1 << 40, 100)] {
            let length = u64::try_from(format.len()).expect("short");
            let calls = text(Calls::new(), 64, format).set(128, one).set(120, two).set(112, 7);
            let calls = calls.call(6, &[Stack(64), Number(length), Number(one), Number(two), Number(7)]);
            let calls = calls.call(177, &[Stack(64), Number(length), Stack(128), Number(24)]);
            let calls = calls.call(177, &[Stack(64), Number(length), Stack(128), Number(20)]);
            check(&format!("{:?} of {one:#x}, {two:#x}", String::from_utf8_lossy(format)), Hook::Xdp, &calls.end(), &[], &[ipv4()]);
        }
    }
}

/// Runs a program whose map 1 holds a constant text, in both.
fn check_with_text(test: &str, calls: Calls, constant: &[u8]) {
    let mut bytes = constant.to_vec();
    bytes.resize(64, 0);
    let maps = [cell(RESULTS), Shape { name: ".rodata".to_owned(), ..cell(64) }];
    let code = calls.end();
    let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
    vm.map_mut(".rodata").and_then(|map| map.entry_mut(0)).expect("there").copy_from_slice(&bytes);
    let Some(kernel) = Kernel::load_with(test, Hook::Xdp, &code.0, &maps, &[(1, &bytes)]) else { return };
    vm.run(&ipv4(), 0).expect("runs");
    kernel.run(&ipv4());
    let ours = vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec).unwrap_or_default();
    let difference = differing("results", &ours, &kernel.lookup(0, &[0; 4]).unwrap_or_default());
    assert!(difference.is_empty(), "{test}\n{}", difference.join("\n"));
}

#[test]
fn text_is_compared_and_formatted_as_the_kernels() {
    let texts: [&[u8]; 7] = [b"abc", b"abd", b"ab", b"", b"abcdefgh", b"\xffbc", b"abc\0x"];
    for one in texts {
        for other in texts {
            for length in [1, 2, 3, 4, 8] {
                let calls = text(Calls::new().set(64, 0), 64, one).call(182, &[Stack(64), Number(length), Value(1)]);
                check_with_text(&format!("{one:?} and {other:?} in {length}"), calls, other);
            }
        }
    }
    // The verifier reads the format, and refuses one that is wrong or has too few arguments.
    for format in
        ["plain", "%d and %x", "%llu", "%5d|%-5u|%05x", "%+d% i", "%X%%", "%pI4 %pi4", "%pI6", "%s.", "%c", "a longer text with %d in it"]
    {
        for size in [32, 8, 1] {
            let calls =
                text(Calls::new(), 200, b"stringstring").set(128, 77).set(120, 0xffff_fff0).set(112, 5).set(64, 0).set(56, 0).set(48, 0);
            // Addresses of the stack, for those that follow them.
            let calls = if format.contains('p') && format != "plain" || format.contains('s') {
                calls.asm("mov r1, r10\nadd r1, -200\nstxdw [r10-128], r1\nstxdw [r10-120], r1")
            } else {
                calls
            };
            let calls = calls.set(40, 0).call(165, &[Stack(64), Number(size), Value(1), Stack(128), Number(24)]).keep_stack(64, 32);
            check_with_text(&format!("{format} into {size}"), calls, format.as_bytes());
        }
    }
}

#[test]
fn what_is_printed_is_kept() {
    let calls = text(Calls::new(), 64, b"%d of %s, %pI4\0").set(128, u64::from_le_bytes(*b"so far\0\0"));
    let calls = calls.call(6, &[Stack(64), Number(15), Number(7), Stack(128), Stack(128)]);
    let mut vm = load_with(Hook::Xdp, &calls.end(), &[cell(RESULTS)], &Options::default()).expect("loads");
    vm.run(&ipv4(), 0).expect("runs");
    assert_eq!(vm.lines(), ["7 of so far, 115.111.32.102"]);
    vm.run(&ipv4(), 0).expect("runs");
    assert_eq!(vm.lines().len(), 1);
}

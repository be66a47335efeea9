//! Random calls of helpers: changes of a packet one after another against the kernel's, and arguments of any kind, which break nothing.

use crate::call::{
    Calls,
    Give::{self, Context, Map, Number, Stack, Value},
    RESULTS, check, packets, shown,
};
use crate::code::{cell, load_with, shape};
use proptest::prelude::*;
use treeline_lab::vm::{HELPERS, Hook, MapKind, Options};

/// A call that changes a packet, its arguments mostly sensible.
fn change(hook: Hook) -> BoxedStrategy<(i32, Vec<u64>)> {
    let word = |by: i32| u64::from(by.cast_unsigned());
    let by = prop_oneof![4 => -40..60_i32, 1 => Just(0), 1 => -300..4100_i32].prop_map(word);
    // Long enough for the headers: behind the end the kernel shows what lay in its memory.
    let length = prop_oneof![4 => 54..200_u64, 1 => 54..17_000_u64];
    let protocol = prop_oneof![Just(0x0008_u64), Just(0xdd86), Just(0x0081), Just(0xa888), Just(0)];
    let flags = prop_oneof![3 => Just(0_u64), 1 => 0..512_u64, 1 => (0..32_u64).prop_map(|flags| flags | 14 << 56)];
    if hook == Hook::Xdp {
        return (prop_oneof![Just(44), Just(54), Just(65)], by).prop_map(|(helper, by)| (helper, vec![by])).boxed();
    }
    prop_oneof![
        (protocol.clone(), any::<u16>()).prop_map(|(protocol, tci)| (18, vec![protocol, tci.into()])),
        Just((19, Vec::new())),
        protocol.prop_map(|protocol| (31, vec![protocol, 0])),
        length.clone().prop_map(|length| (38, vec![length, 0])),
        length.clone().prop_map(|length| (43, vec![length, 0])),
        (by, 0..2_u64, flags).prop_map(|(by, mode, flags)| (50, vec![by, mode, flags])),
        (0..4_u64).prop_map(|level| (135, vec![level])),
        Just((97, Vec::new())),
        length.prop_map(|length| (39, vec![length])),
        (0..4_u64).prop_map(|kind| (32, vec![kind])),
        any::<u32>().prop_map(|hash| (48, vec![hash.into()])),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn changes_one_after_another_equal_the_kernels(
        tc in prop::collection::vec(change(Hook::Tc), 1..10),
        xdp in prop::collection::vec(change(Hook::Xdp), 1..12),
    ) {
        for (hook, changes) in [(Hook::Tc, tc), (Hook::Xdp, xdp)] {
            let mut calls = Calls::new();
            for (helper, arguments) in &changes {
                let arguments: Vec<Give> = [Context].into_iter().chain(arguments.iter().copied().map(Number)).collect();
                calls = calls.call(*helper, &arguments);
                calls = if hook == Hook::Tc { shown(calls) } else { calls.call(188, &[Context]) };
            }
            check(&format!("{changes:x?}"), hook, &calls.end(), &[], &packets());
        }
    }
}

/// Anything for an argument.
fn give() -> impl Strategy<Value = Give> {
    let number = prop_oneof![3 => 0..70_u64, 1 => any::<u64>(), 1 => any::<u32>().prop_map(u64::from), 1 => Just(u64::MAX)];
    prop_oneof![2 => Just(Context), 4 => number.prop_map(Number), 3 => (0..300).prop_map(Stack), 3 => (1..12).prop_map(Map), 1 => Just(Value(0))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Nothing that a program passes breaks the VM: what no verifier would let pass is a fault.
    #[test]
    fn a_helper_called_with_anything_answers_or_faults(
        calls in prop::collection::vec((0..HELPERS.len(), prop::collection::vec(give(), 5)), 1..8),
        length in 0..80_usize,
    ) {
        let kinds = [
            (MapKind::Hash, 4), (MapKind::Array, 4), (MapKind::LruPerCpuHash, 4), (MapKind::LpmTrie, 8), (MapKind::ProgArray, 4),
            (MapKind::PerfEventArray, 4), (MapKind::ArrayOfMaps, 4), (MapKind::DevMap, 4), (MapKind::Queue, 0), (MapKind::Bloom, 0),
        ];
        let mut maps = vec![cell(RESULTS)];
        maps.extend(kinds.map(|(kind, key_size)| shape(kind, key_size, 4, 4)));
        maps.push(shape(MapKind::RingBuf, 0, 0, 4096));
        for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
            let mut program = Calls::new();
            for (position, arguments) in &calls {
                let helper = &HELPERS[*position];
                // Those with functions want one at load.
                if helper.hooks.has(hook) && !matches!(helper.number, 164 | 181) {
                    program = program.call(helper.number, arguments);
                }
            }
            let mut vm = load_with(hook, &program.end(), &maps, &Options::default()).expect("loads");
            for _ in 0..2 {
                let _ = vm.run(&vec![8; length], 0);
            }
        }
    }
}

//! What a live system needs of the engines that run anywhere: allow-lists and swaps of the tree. The kernel's part is in `kernel`.

mod support;

use proptest::prelude::*;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Engine, Hook};

#[test]
fn the_vm_swaps_trees_at_every_packet_as_native_does() {
    for hook in Hook::ALL {
        let path = support::capture("edge-port-reuse-fin");
        support::swap::check(&path, hook, |settings| Ok(Box::new(Vm::new(settings)?))).unwrap_or_else(|error| panic!("{error}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_longest_prefix_decides_as_in_a_plain_list(list in support::allow::lists(), packets in support::allow::packets()) {
        for hook in Hook::ALL {
            support::allow::check(hook, &list, &packets, |settings| Ok(Box::new(Native::new(settings)) as Box<dyn Engine>))
                .map_err(TestCaseError::fail)?;
            support::allow::check(hook, &list, &packets, |settings| Ok(Box::new(Vm::new(settings)?))).map_err(TestCaseError::fail)?;
        }
    }
}

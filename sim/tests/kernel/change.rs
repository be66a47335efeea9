//! What an operator changes of a running system: the tree, and whose packets pass unclassified.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use treeline_ebpf::Counter;
use treeline_sim::allow::List;
use treeline_sim::engine::{Hook, Settings, kernel};

use super::support::recipe::Recipe;
use super::{Live, Result, equal, support};

pub fn swapped(hook: Hook) -> Result {
    Ok(support::swap::check(&support::capture("edge-icmp-echo"), hook, |settings| Ok(Box::new(kernel::Kernel::new(settings)?)))?)
}

pub fn allowed(hook: Hook) -> Result {
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let (list, packets) = (support::allow::lists(), support::allow::packets()).new_tree(&mut runner)?.current();
        support::allow::check(hook, &list, &packets, |settings| Ok(Box::new(kernel::Kernel::new(settings)?)))?;
    }
    Ok(())
}

/// With the kernel's clock and counters: the flow of a packet that is not allowed is the only entry, and enforce drops nothing that is.
pub fn allowed_live(hook: Hook) -> Result {
    let list = List::parse("list", "10.0.0.0/24\n10.0.0.7 udp/53\n10.0.0.8 udp/9")?;
    let settings = support::settings(hook, support::enforced(), &support::constant(1));
    let live = Live::of(&Settings { allow: list.into(), ..settings })?;
    let packet = |port| Recipe { source: (7, 1000), destination: (8, port), ..Recipe::default() };
    for (packet, dropped) in [(packet(9), false), (packet(9).back(), false), (packet(10), true), (packet(10).back(), true)] {
        equal("returned", live.run(&packet.bytes(), 1)?, hook.returned(dropped))?;
    }
    let counters = live.counters()?;
    let count = |counter: Counter| counters[counter as usize];
    equal("allowed, malicious, opened", (count(Counter::Allowed), count(Counter::Malicious), count(Counter::Opened)), (2, 2, 1))?;
    let [flow] = live.flows()?[..] else { return Err("not one flow".into()) };
    equal("the flow's port", flow.key.high_port, 10)
}

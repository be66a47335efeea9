//! The reference against the native engine: same frames, same clock, after every packet the same state.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use treeline_ebpf::verdict::COUNTERS;
use treeline_ebpf::{Config, Counter, Counters, FEATURES};
use treeline_lab::Frame;
use treeline_model::{Model, Node};
use treeline_sim::allow::List;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Settings};
use treeline_sim::oracle;
use treeline_sim::reference::{FloatNode, FloatTree, Judgement, Observation, Reference};

use crate::recipe::{frames, steps};

/// Both engines side by side.
pub struct Pair {
    native: Native,
    reference: Reference,
    counters: Counters,
    ambiguous_count: u64,
}

/// A node with a fixed-point threshold: feature, threshold, left, right; or a leaf's class.
pub type Plan = Result<(u16, i64, u16, u16), u16>;

impl Pair {
    pub fn new(config: Config, plan: &[Plan]) -> Self {
        Self::with(config, plan, List::default())
    }

    /// A pair that lets the packets of a list pass unclassified.
    fn with(config: Config, plan: &[Plan], allow: List) -> Self {
        let nodes = plan.iter().map(|step| match *step {
            Ok((feature, threshold, left, right)) => Node::Inner { feature, threshold, left, right },
            Err(class) => Node::Leaf { class },
        });
        let classes = (0..8).map(|class| if class == 0 { "benign".to_owned() } else { format!("class {class}") });
        let model = Model::from_nodes("a plan", classes.collect(), nodes.collect()).expect("a tree");
        let nodes = plan.iter().map(|step| match *step {
            Ok((feature, fixed, left, right)) => {
                FloatNode::Split { feature: feature.into(), threshold: threshold(fixed), left: left.into(), right: right.into() }
            }
            Err(class) => FloatNode::Leaf { class },
        });
        let nodes = nodes.collect();
        let reference = Reference::new(config, FloatTree::new(nodes).expect("a tree")).with_allow(&allow);
        let native = Native::new(&Settings { allow: allow.into(), ..Settings::new(Hook::Xdp, config, &model, 1 << 16) });
        Self { native, reference, counters: [0; COUNTERS], ambiguous_count: 0 }
    }

    /// Shows both the frame; panics where they disagree.
    pub fn step(&mut self, frame: &Frame) -> Judgement {
        let observed = self.native.judge(frame).expect("native takes every frame");
        let judgement = self.reference.judge(frame);
        let differences = oracle::compare_reference(&observed, &judgement);
        assert!(differences.is_empty(), "frame {}: {differences:?}", frame.index);
        for (sum, step) in self.counters.iter_mut().zip(observed.counted) {
            *sum += step;
        }
        if judgement.ambiguous {
            self.ambiguous_count += 1;
        } else {
            assert_eq!(judgement.dropped, observed.counted[Counter::Dropped as usize] == 1, "dropped, frame {}", frame.index);
        }
        assert_eq!(self.reference.flows_count(), self.native.flows().len(), "flows, frame {}", frame.index);
        if let (Some(observation), Some(features)) = (&judgement.observation, observed.features) {
            compare_features(observation, &features, frame);
        }
        judgement
    }
}

/// The features agree, and an error of one unit (two in a deviation) in any of them would not pass.
fn compare_features(observation: &Observation, fixed: &[i64; FEATURES], frame: &Frame) {
    let context = || format!("frame {}, fixed {fixed:?}, reference {:?}", frame.index, observation.features);
    assert_eq!(observation.out_of_bound(fixed), None, "{}", context());
    for index in 0..fixed.len() {
        let error = if index < 9 { 1 } else { 2 };
        for lie in [fixed[index] - error, fixed[index] + error] {
            let mut fixed = *fixed;
            fixed[index] = lie;
            assert_eq!(observation.out_of_bound(&fixed), Some(index), "{lie} passes; {}", context());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "thresholds here are below 2^53")]
fn threshold(fixed: i64) -> f64 {
    fixed as f64 / 65_536.0
}

/// A complete tree of three levels: seven splits, eight leaves. Thresholds lie where values do, whole ones among them.
fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let split = (0..12_u16).prop_flat_map(|feature| {
        let most = [3_000_i64, 3_000, 32, 1_500, 2_000_000, 1, 1_500, 1_000_000, 1, 700, 500_000, 1][usize::from(feature)];
        (Just(feature), prop_oneof![0..=(most << 16), (0..=most).prop_map(|whole| whole << 16)])
    });
    (prop::collection::vec(split, 7), prop::collection::vec(select(vec![0_u16, 1, 7]), 8)).prop_map(|(splits, leaves)| {
        let splits =
            splits.into_iter().zip(0..).map(|((feature, threshold), index)| Ok((feature, threshold, 2 * index + 1, 2 * index + 2)));
        splits.chain(leaves.into_iter().map(Err)).collect()
    })
}

fn small_timeouts() -> Config {
    Config { idle_timeout_ns: 1_000_000, active_timeout_ns: 2_000_000, enforce: 1, ..Config::default() }
}

proptest! {
    #[test]
    fn any_sequence_of_frames_leaves_the_same_flows_and_features(
        plan in plans(),
        arrivals in prop::collection::vec((frames(), steps()), 1..60),
        start_ns in select(vec![0_u64, 10_000_000, 1_700_000_000_000_000_000, u64::MAX - 1_000_000]),
    ) {
        let mut pair = Pair::new(small_timeouts(), &plan);
        let mut time_ns = start_ns;
        for ((bytes, step_ns), index) in arrivals.into_iter().zip(0..) {
            time_ns = time_ns.saturating_add_signed(step_ns);
            pair.step(&Frame { index, time_ns, original_length: 0, bytes });
        }
    }

    #[test]
    fn one_long_conversation_leaves_the_same_features(
        plan in plans(),
        arrivals in prop::collection::vec((any::<bool>(), 0..1_400_usize, 0..300_000_000_001_u64), 1..200),
    ) {
        let mut pair = Pair::new(Config::default(), &plan);
        let mut time_ns = 0;
        for ((forward, payload, gap_ns), index) in arrivals.into_iter().zip(0..) {
            time_ns += gap_ns;
            let recipe = crate::recipe::Recipe { payload, ..crate::recipe::Recipe::default() };
            let bytes = if forward { recipe.bytes() } else { recipe.back().bytes() };
            pair.step(&Frame { index, time_ns, original_length: 0, bytes });
        }
    }

    /// The third opinion: a whole parser that shares nothing with the rules' order of checks.
    #[test]
    fn where_etherparse_finds_ports_the_endpoints_are_its_own(bytes in frames()) {
        let judgement = Pair::new(Config::default(), &[Err(0)]).step(&Frame { bytes: bytes.clone(), ..Frame::default() });
        if let (Some(observation), Ok(sliced)) = (judgement.observation, SlicedPacket::from_ethernet(&bytes)) {
            let flow = observation.flow;
            let ports = match &sliced.transport {
                Some(TransportSlice::Tcp(tcp)) if flow.protocol == 6 => (tcp.source_port(), tcp.destination_port()),
                Some(TransportSlice::Udp(udp)) if flow.protocol == 17 => (udp.source_port(), udp.destination_port()),
                _ => (0, 0),
            };
            let addresses: (IpAddr, IpAddr) = match sliced.net {
                Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                other => panic!("{other:?} is not IP"),
            };
            prop_assert_eq!((flow.originator.address, flow.responder.address), addresses);
            if sliced.transport.is_some() {
                prop_assert_eq!((flow.originator.port, flow.responder.port), ports);
            }
        }
    }

    #[test]
    fn random_bytes_are_passed_for_the_same_reason(
        ether_type in select(vec![[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00]]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for (byte, value) in bytes.iter_mut().skip(12).zip(ether_type) {
            *byte = value;
        }
        Pair::new(Config::default(), &[Err(0)]).step(&Frame { bytes, ..Frame::default() });
    }
}

#[test]
fn a_flow_of_a_hundred_thousand_packets_stays_within_the_bound() {
    let mut pair = Pair::new(Config::default(), &[Ok((10, 3 << 16, 1, 2)), Err(0), Err(1)]);
    let (mut time_ns, mut state) = (0, 1_u64);
    for index in 0..100_000 {
        // A congruential generator: any numbers will do as long as they are the same tomorrow.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        time_ns += state >> 40;
        let payload = usize::try_from(state >> 33 & 1_023).expect("below 1024");
        let recipe = crate::recipe::Recipe { payload, ..crate::recipe::Recipe::default() };
        let bytes = if state >> 63 == 0 { recipe.bytes() } else { recipe.back().bytes() };
        pair.step(&Frame { index, time_ns, original_length: 0, bytes });
    }
    assert_eq!(pair.reference.flows_count(), 1);
}

#[test]
fn a_threshold_between_a_mean_and_its_fixed_point_makes_the_verdict_ambiguous() {
    // Gaps 0, 1, 0: a mean of a third of a nanosecond, 21,845 units after rounding down.
    for (fixed, expected) in [(21_844, false), (21_845, true), (21_846, false)] {
        let mut pair = Pair::new(Config::default(), &[Ok((7, fixed, 1, 2)), Err(0), Err(1)]);
        for (time_ns, index) in [5, 6, 6].into_iter().zip(0..) {
            let bytes = crate::recipe::Recipe::default().bytes();
            let judgement = pair.step(&Frame { index, time_ns, original_length: 0, bytes });
            assert_eq!(judgement.ambiguous, expected && index == 2, "threshold {fixed}, frame {index}");
        }
        assert_eq!(pair.ambiguous_count, u64::from(expected));
    }
}

#[test]
fn the_generated_sequences_reach_every_reason_and_every_event() {
    let mut runner = TestRunner::deterministic();
    let arrivals = prop::collection::vec((frames(), steps()), 60);
    let mut counts: Counters = [0; COUNTERS];
    let mut ambiguous_count = 0;
    let list = List::parse("list", "10.0.0.1 tcp/2000 udp/2000\n10.0.0.0/8 udp/2000\nfd00::/16 tcp/2000").expect("a list");
    for _ in 0..300 {
        let plan = plans().new_tree(&mut runner).expect("a plan").current();
        let mut pair = Pair::with(small_timeouts(), &plan, list.clone());
        let mut time_ns = 10_000_000_u64;
        for ((bytes, step_ns), index) in arrivals.new_tree(&mut runner).expect("arrivals").current().into_iter().zip(0..) {
            time_ns = time_ns.saturating_add_signed(step_ns);
            pair.step(&Frame { index, time_ns, original_length: 0, bytes });
        }
        counts.iter_mut().zip(pair.counters).for_each(|(sum, count)| *sum += count);
        ambiguous_count += pair.ambiguous_count;
    }
    // Out of reach here: a full table, contention, eviction, a missing tree, 2^31 packets.
    let never = [Counter::TableFull, Counter::Contended, Counter::Evicted, Counter::Undecided, Counter::EndedLimit];
    for counter in Counter::ALL {
        assert_eq!(counts[counter as usize] == 0, never.contains(&counter), "{}: {counts:?}", counter.name());
    }
    // An ambiguous verdict is one that nobody compares, so it has to be rare.
    let judged_count = counts[Counter::Benign as usize] + counts[Counter::Malicious as usize];
    assert!(ambiguous_count * 100 < judged_count, "{ambiguous_count} of {judged_count} ambiguous");
}

#[test]
fn a_threshold_off_the_grid_is_ambiguous_where_its_floor_decides_otherwise() {
    // Gaps 0, 0, 5: a deviation of 10/9 ns, 72,817.78 units, which fixed point makes 72,818 (the mean of 5/3 rounds down).
    for (units, expected) in [(72_817.7, false), (72_817.9, true), (72_818.5, false)] {
        let split = FloatNode::Split { feature: 10, threshold: units / 65_536.0, left: 1, right: 1 };
        let tree = FloatTree::new(vec![split, FloatNode::Leaf { class: 0 }]).expect("a tree");
        let mut reference = Reference::new(Config::default(), tree);
        let bytes = crate::recipe::Recipe::default().bytes();
        let [_, _, last] = [7, 7, 12].map(|time_ns| reference.judge(&Frame { time_ns, bytes: bytes.clone(), ..Frame::default() }));
        assert_eq!(last.ambiguous, expected, "threshold of {units} units");
        assert!(last.observation.expect("a whole packet").features[10].admits(72_818));
    }
}

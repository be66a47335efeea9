//! One test for each defect of the published classifier, by its number in the list that the design answers, and the limits of a flow.
//!
//! The rules themselves are tested against the reference (`reference/rules`); here is what must never come back.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;

use support::recipe::{ACK, FIN, RST, Recipe, SYN};
use treeline_ebpf::feature::Features;
use treeline_ebpf::flow::{ORIGINATOR_LOW, PACKETS_MAX, observe};
use treeline_ebpf::platform::TIMEOUT_NS_MAX;
use treeline_ebpf::tree::{DEPTH_MAX, descend};
use treeline_ebpf::verdict::COUNTERS;
use treeline_ebpf::{Config, Counter, Counters, Flow, Key, Link, Node, Outcome, Packet, Platform, Skip, Tree, classify};
use treeline_model::{Model, Precondition};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Observation};

const SECOND_NS: u64 = 1_000_000_000;

/// What the classifier makes of packets at their times.
fn observe_all(packets: impl IntoIterator<Item = (u64, Recipe)>) -> Vec<Observation> {
    judge_all(&support::constant(0), Config::default(), packets)
}

fn judge_all(model: &Model, config: Config, packets: impl IntoIterator<Item = (u64, Recipe)>) -> Vec<Observation> {
    let mut native = Native::new(&support::settings(Hook::Xdp, config, model));
    let frames = support::frames(packets.into_iter().map(|(time_ns, recipe)| (time_ns, recipe.bytes())));
    frames.iter().map(|frame| native.judge(frame).expect("native takes every frame")).collect()
}

fn flow(observation: &Observation) -> Flow {
    observation.flow.unwrap_or_else(|| panic!("{:?}", observation.outcome))
}

fn feature(observation: &Observation, index: usize) -> i64 {
    observation.features.unwrap_or_else(|| panic!("{:?}", observation.outcome))[index]
}

fn ports(recipe: Recipe) -> (i64, i64) {
    let seen = observe_all([(0, recipe)]);
    (feature(&seen[0], 0) >> 16, feature(&seen[0], 1) >> 16)
}

fn counted(seen: &[Observation], counter: Counter) -> u64 {
    seen.iter().map(|observation| observation.counted[counter as usize]).sum()
}

/// Defect 1: the published kernel tested the pointer to the leaf's value.
#[test]
fn a_benign_leaf_judges_benign_and_a_malicious_one_malicious() {
    for class in [0, 1] {
        let seen = judge_all(&support::constant(class), Config::default(), [(0, Recipe::default())]);
        assert_eq!(seen[0].outcome, Outcome::Judged(class));
    }
}

/// Defect 2: addresses and ports were sorted apart.
#[test]
fn an_address_and_its_port_move_together() {
    let one = Recipe { source: (1, 1000), destination: (2, 2000), ..Recipe::default() };
    let other = Recipe { source: (1, 2000), destination: (2, 1000), ..Recipe::default() };
    for version in [4, 6] {
        let packets = [&one, &other].map(|recipe| Recipe { version, ..recipe.clone() });
        let seen = observe_all(packets.into_iter().map(|recipe| (0, recipe)));
        assert_ne!(flow(&seen[0]).key, flow(&seen[1]).key);
    }
    let seen = observe_all([(0, one.clone()), (1, one.back())]);
    assert_eq!(flow(&seen[0]).key, flow(&seen[1]).key);
}

/// Defect 3: direction compared source ports only.
#[test]
fn direction_is_known_with_equal_ports() {
    let ours = Recipe { source: (2, 500), destination: (1, 500), ..Recipe::default() };
    let seen = observe_all([(0, ours.clone()), (1, ours.clone().back()), (2, ours)]);
    assert_eq!(seen.iter().map(|seen| feature(seen, 5) >> 16).collect::<Vec<_>>(), [1, 0, 1]);
}

/// Defect 3: and where even the endpoints are equal, every packet is forward.
#[test]
fn a_host_that_talks_to_itself_is_always_forward() {
    let ours = Recipe { source: (1, 500), destination: (1, 500), ..Recipe::default() };
    let seen = observe_all([(0, ours.clone()), (1, ours.clone().back()), (2, ours)]);
    assert_eq!((flow(&seen[2]).packets, flow(&seen[2]).packets_forward), (3, 3));
}

/// Defect 4: ports were read from fixed offsets.
#[test]
fn ports_are_found_behind_options_and_extension_headers() {
    for protocol in [6, 17] {
        for options in 0..=10 {
            assert_eq!(ports(Recipe { protocol, options, ..Recipe::default() }), (1000, 2000), "{options} words of options");
        }
        let extensions = vec![(0, 1), (60, 0), (43, 2)];
        assert_eq!(ports(Recipe { protocol, extensions, ..Recipe::v6() }), (1000, 2000));
    }
}

/// Defect 4: a later fragment has no ports, its payload is none.
#[test]
fn a_later_fragment_is_passed_and_counted() {
    let seen = observe_all([
        (0, Recipe { fragment: (100, true), payload: 100, ..Recipe::default() }),
        (1, Recipe { fragment: (100, false), extensions: vec![(44, 0)], payload: 100, ..Recipe::v6() }),
        (2, Recipe { fragment: (0, true), payload: 100, ..Recipe::default() }),
    ]);
    assert_eq!(counted(&seen, Counter::LaterFragment), 2);
    assert_eq!(seen.iter().map(|seen| seen.flow.is_some()).collect::<Vec<_>>(), [false, false, true]);
}

/// Defect 4: each ICMP packet was a new flow, with garbage for ports.
#[test]
fn protocols_without_ports_share_one_flow_of_their_hosts() {
    for protocol in [1, 47, 50, 51, 58, 132] {
        for version in [4, 6] {
            // IPv6 has authentication as an extension header.
            if (version, protocol) == (6, 51) {
                continue;
            }
            let recipe = Recipe { protocol, version, payload: 64, ..Recipe::default() };
            let changed = Recipe { payload: 65, ..recipe.clone() };
            let seen = observe_all([(0, recipe.clone()), (1, recipe.back()), (2, changed)]);
            assert_eq!(flow(&seen[2]).packets, 3, "protocol {protocol}");
            assert_eq!((feature(&seen[2], 0), feature(&seen[2], 1)), (0, 0), "protocol {protocol}");
        }
    }
}

/// Defect 5: IPv6 and tagged frames passed unseen.
#[test]
fn ipv6_and_up_to_two_tags_are_judged() {
    for version in [4, 6] {
        for tags in [vec![], vec![0x8100], vec![0x88a8, 0x8100], vec![0x8100, 0x8100]] {
            let seen = observe_all([(0, Recipe { version, tags: tags.clone(), ..Recipe::default() })]);
            assert_eq!(seen[0].outcome, Outcome::Judged(0), "IPv{version} behind {tags:x?}");
            assert_eq!(u32::from(flow(&seen[0]).key.version), u32::from(version));
        }
    }
    let seen = observe_all([(0, Recipe { tags: vec![0x88a8, 0x8100, 0x8100], ..Recipe::default() })]);
    assert_eq!(seen[0].outcome, Outcome::Skipped(Skip::NotIp));
}

/// Defect 7: a clock that steps back made a gap of 9.2e18 ns.
#[test]
fn a_clock_that_steps_back_gives_no_gap() {
    let seen = observe_all([100, 40, 0, 130].map(|time_ns| (time_ns, Recipe::default())));
    assert_eq!(seen.iter().map(|seen| feature(seen, 4) >> 16).collect::<Vec<_>>(), [0, 0, 0, 30]);
    assert_eq!(counted(&seen, Counter::ClockBack), 2);
    assert_eq!(feature(&seen[3], 7), (30 << 16) / 4);
}

/// Defect 8: after 39.1 hours in one flow the shifted nanoseconds overflowed, and nothing ended a flow.
#[test]
fn packets_forty_hours_apart_are_two_flows() {
    let seen = observe_all([0, 40 * 3600 * SECOND_NS].map(|time_ns| (time_ns, Recipe::default())));
    assert_eq!(counted(&seen, Counter::EndedIdle), 1);
    assert_eq!((flow(&seen[1]).packets, feature(&seen[1], 4), feature(&seen[1], 10)), (1, 0, 0));
}

/// Defect 8: a flow that never rests ends by its age.
#[test]
fn forty_hours_of_traffic_are_many_flows() {
    let seen = observe_all((0..600).map(|step| (step * 240 * SECOND_NS, Recipe::default())));
    assert_eq!(counted(&seen, Counter::EndedActive), 74);
}

/// Defect 8.
#[test]
fn a_timeout_reached_to_the_nanosecond_does_not_end_a_flow_and_one_more_does() {
    let config = Config { idle_timeout_ns: 1_000, active_timeout_ns: 2_500, ..Config::default() };
    for (times, ended) in [
        (vec![7, 1_007], None),
        (vec![7, 1_008], Some(Counter::EndedIdle)),
        (vec![7, 1_007, 2_007, 2_507], None),
        (vec![7, 1_007, 2_007, 2_508], Some(Counter::EndedActive)),
    ] {
        let packets = times.iter().map(|&time_ns| (time_ns, Recipe::default()));
        let seen = judge_all(&support::constant(0), config, packets);
        for counter in [Counter::EndedIdle, Counter::EndedActive] {
            assert_eq!(counted(&seen, counter), u64::from(ended == Some(counter)), "{times:?}: {}", counter.name());
        }
    }
}

/// Defect 8.
#[test]
fn a_closed_connection_ends_with_the_next_syn_and_only_with_that() {
    let (fin, back) = (Recipe::tcp(FIN | ACK), Recipe::tcp(FIN | ACK).back());
    // FIN, FIN, the last ACK; a late FIN; SYN-ACK; then the port is used again.
    let closing = [Recipe::tcp(SYN), fin.clone(), back.clone(), Recipe::tcp(ACK), back, Recipe::tcp(SYN | ACK).back(), Recipe::tcp(SYN)];
    let seen = observe_all((0..).zip(closing));
    assert_eq!(seen.iter().map(|seen| flow(seen).packets).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 1]);
    assert_eq!((counted(&seen, Counter::Opened), counted(&seen, Counter::EndedClosed)), (2, 1));

    let reset = [Recipe::tcp(SYN), Recipe::tcp(RST | ACK).back(), Recipe::tcp(ACK), Recipe::tcp(RST), Recipe::tcp(SYN).back()];
    let seen = observe_all((0..).zip(reset));
    assert_eq!(seen.iter().map(|seen| flow(seen).packets).collect::<Vec<_>>(), [1, 2, 3, 4, 1]);
    // Who opens it again is its originator.
    assert_eq!(feature(&seen[4], 0) >> 16, 2000);

    let half = [Recipe::tcp(SYN), fin, Recipe::tcp(SYN)];
    let seen = observe_all((0..).zip(half));
    assert_eq!(flow(&seen[2]).packets, 3);
}

#[test]
fn a_flow_is_midstream_if_its_first_packet_goes_on_with_a_connection() {
    for (flags, expect) in [
        (ACK, true),
        (ACK | 8, true),
        (FIN | ACK, true),
        (SYN, false),
        (SYN | ACK, false),
        (RST, false),
        (RST | ACK, false),
        (0, false),
        (FIN, false),
    ] {
        let seen = observe_all([(0, Recipe::tcp(flags)), (1, Recipe::tcp(ACK).back())]);
        assert_eq!(seen.iter().map(|seen| flow(seen).is_midstream()).collect::<Vec<_>>(), [expect; 2], "flags {flags:#x}");
    }
    assert!(!flow(&observe_all([(0, Recipe { flags: ACK, ..Recipe::default() })])[0]).is_midstream(), "UDP has no flags");
}

/// Otherwise one ACK, sent ahead of an attack, would make its whole flow one that nobody classifies.
#[test]
fn a_lone_ack_ahead_of_a_connection_hides_nothing() {
    let model = support::constant(1).with_precondition(Precondition::new(1, true).expect("a precondition")).expect("room");
    let packets = [Recipe::tcp(ACK), Recipe::tcp(RST).back(), Recipe::tcp(ACK), Recipe::tcp(SYN), Recipe::tcp(ACK)];
    let seen = judge_all(&model, Config::default(), (0..).zip(packets));
    let verdicts: Vec<_> = seen.iter().map(|seen| seen.outcome).collect();
    assert_eq!(verdicts, [0, 0, 0, 1, 1].map(Outcome::Judged));
    assert_eq!(seen.iter().map(|seen| flow(seen).packets).collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    let ahead = [Recipe::tcp(ACK), Recipe::tcp(SYN | ACK).back(), Recipe::tcp(SYN)];
    let seen = judge_all(&model, Config::default(), (0..).zip(ahead));
    assert_eq!(seen.iter().map(|seen| seen.outcome).collect::<Vec<_>>(), [0, 0, 1].map(Outcome::Judged));
    assert_eq!((counted(&seen, Counter::Opened), counted(&seen, Counter::EndedClosed)), (2, 1));
}

/// A flow of `packets` packets, all of `length` bytes but the last, `age_ns` old.
fn long_flow(key: &Key, packets: u64, length: u64, age_ns: u64, now_ns: u64) -> Flow {
    // The largest sums that `flow`'s text allows.
    Flow {
        flags: ORIGINATOR_LOW,
        first_ns: now_ns - age_ns,
        last_ns: now_ns,
        packets,
        packets_forward: packets,
        length_sum: packets * length,
        length_deviation_sum: packets * (length << 16),
        gap_deviation_sum: u64::try_from(u128::from(age_ns << 16) * 235 / 10).expect("below 2^64"),
        direction_deviation_sum: packets << 16,
        ..Flow::new(key)
    }
}

fn packet(key: &Key, length: u32) -> Packet {
    Packet { key: *key, from_low: true, length, tcp_flags: 0 }
}

fn key() -> Key {
    Key::new(6, 17, ([1, 1], 1), ([2, 2], 2)).0
}

/// Defect 8: the largest sums that may occur do not overflow; arithmetic is checked in this build.
#[test]
fn no_sum_of_a_flow_overflows_at_its_limits() {
    let config = Config { idle_timeout_ns: TIMEOUT_NS_MAX, active_timeout_ns: TIMEOUT_NS_MAX, ..Config::default() };
    assert!(config.is_valid());
    let (key, length_max, now_ns) = (key(), 65_575, u64::MAX - TIMEOUT_NS_MAX);
    for (age_ns, gap_ns) in [(0, TIMEOUT_NS_MAX), (TIMEOUT_NS_MAX / 2, TIMEOUT_NS_MAX / 2), (TIMEOUT_NS_MAX, 0)] {
        for length in [20, length_max] {
            let mut flow = long_flow(&key, PACKETS_MAX - 1, u64::from(length_max), age_ns, now_ns);
            let mut features = Features::default();
            let change = observe(&mut flow, &packet(&key, length), now_ns + gap_ns, &config, &mut features);
            assert_eq!((change.ended, flow.packets), (None, PACKETS_MAX), "age {age_ns}, gap {gap_ns}");
            assert!(features.values().iter().all(|&value| (0..1 << 59).contains(&value)), "{features:?}");
        }
    }
}

/// Defect 8.
#[test]
fn a_flow_of_two_to_the_31_packets_ends() {
    let (key, config) = (key(), Config::default());
    let mut flow = long_flow(&key, PACKETS_MAX, 100, SECOND_NS, 2 * SECOND_NS);
    let change = observe(&mut flow, &packet(&key, 100), 2 * SECOND_NS, &config, &mut Features::default());
    assert_eq!((change.ended, change.opened, flow.packets), (Some(Counter::EndedLimit), true, 1));
    assert_eq!((flow.length_sum, flow.length_deviation_sum, flow.key), (100, 0, key));
}

/// Defect 10: with thresholds rounded down, the comparison is exact for every value on the grid.
#[test]
fn a_threshold_itself_goes_left_and_one_unit_more_goes_right() {
    let mut tree = support::empty();
    for threshold in [0, 1, 65_535, 65_536, 44 << 16, (44 << 16) + 32_768, (1 << 58) + 1] {
        for feature in 0..12_u16 {
            tree.nodes[..3].copy_from_slice(&[Node::inner(feature, threshold, 2), Node::leaf(0), Node::leaf(1)]);
            for (step, class) in [(-1, 0), (0, 0), (1, 1)] {
                let mut values = [0; 12];
                values[usize::from(feature)] = (threshold + step).max(0).cast_unsigned();
                assert_eq!(descend(&tree, &Features::from(values)), Ok(class), "feature {feature}, {threshold} and {step}");
            }
        }
    }
}

/// A chain of `edges` edges, every question answered with right.
fn chain(edges: u16) -> Vec<treeline_model::Node> {
    let mut nodes = vec![];
    for edge in 0..edges {
        nodes.push(treeline_model::Node::Inner { feature: 0, threshold: -1, left: 2 * edge + 1, right: 2 * edge + 2 });
        nodes.push(treeline_model::Node::Leaf { class: 0 });
    }
    nodes.push(treeline_model::Node::Leaf { class: 1 });
    nodes
}

/// Defect 11: a tree too deep for the walk answered with the majority of an inner node.
#[test]
fn a_tree_too_deep_is_refused_when_loaded_and_never_answers_from_inside() {
    let depth_max = u16::try_from(DEPTH_MAX).expect("32");
    let classes = || vec!["benign".to_owned(), "malicious".to_owned()];
    assert!(Model::from_nodes("deep enough", classes(), chain(depth_max)).is_ok());
    assert!(Model::from_nodes("too deep", classes(), chain(depth_max + 1)).is_err());
    for (edges, expect) in [(depth_max, Ok(1)), (depth_max + 1, Err(Skip::Undecided))] {
        let mut tree = support::empty();
        // In this chain a left child is the next node already, as the kernel's array wants it.
        for (slot, node) in tree.nodes.iter_mut().zip(chain(edges)) {
            *slot = match node {
                treeline_model::Node::Inner { feature, threshold, right, .. } => Node::inner(feature, threshold, right),
                treeline_model::Node::Leaf { class } => Node::leaf(class),
            };
        }
        assert_eq!(descend(&tree, &Features::default()), expect, "{edges} edges");
    }
    assert_eq!(descend(&support::empty(), &Features::default()), Err(Skip::Undecided));
}

/// A world whose flow table does what a test says, over one frame.
struct World<F> {
    frame: Vec<u8>,
    table: F,
    tree: Option<Arc<Tree>>,
    counted: Counters,
}

impl<F: FnMut(&Key) -> Result<Arc<Mutex<Flow>>, Skip>> Platform for World<F> {
    fn link(&self) -> Link {
        Link::Ethernet
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.frame.get(offset..offset + 4 * N)?;
        Some(std::array::from_fn(|word| u32::from_be_bytes(std::array::from_fn(|byte| bytes[4 * word + byte]))))
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.frame.get(offset).copied()
    }

    fn half(&self, offset: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.frame.get(offset..offset + 2)?.try_into().ok()?))
    }

    fn holds(&self, length: usize) -> bool {
        self.frame.len() >= length
    }

    fn now_ns(&mut self) -> u64 {
        0
    }

    fn config(&self) -> Config {
        support::enforced()
    }

    fn with_flow<R>(&mut self, key: &Key, apply: impl FnOnce(&mut Flow) -> R) -> Result<R, Skip> {
        let flow = (self.table)(key)?;
        let mut flow = flow.lock().expect("no thread panicked");
        Ok(apply(&mut flow))
    }

    fn decide(&mut self, features: &Features) -> Result<u16, Skip> {
        descend(self.tree.as_deref().ok_or(Skip::Undecided)?, features)
    }

    fn count(&mut self, counter: Counter) {
        self.counted[counter as usize] += 1;
    }

    fn trace(&mut self, _: &Features) {}
}

/// Defect 12: a failed insert was silent.
#[test]
fn a_table_that_takes_no_flow_passes_and_counts_the_packet() {
    for (skip, counter) in [(Skip::TableFull, Counter::TableFull), (Skip::Contended, Counter::Contended)] {
        let tree = Some(Arc::from(support::constant(1).to_array().expect("a tree")));
        let mut world = World { frame: Recipe::default().bytes(), table: |_: &Key| Err(skip), tree, counted: [0; COUNTERS] };
        let outcome = classify(&mut world);
        assert_eq!((outcome, outcome.drops(&world.config())), (Outcome::Skipped(skip), false));
        assert_eq!((world.counted[counter as usize], world.counted.iter().sum()), (1, 1_u64));
    }
}

/// Defect 14: without a consistent model nothing is classified, and the packet passes.
#[test]
fn without_a_model_the_flow_goes_on_and_the_packet_passes_undecided() {
    let flow = Arc::new(Mutex::new(Flow::new(&key())));
    let table = |_: &Key| Ok(flow.clone());
    let mut world = World { frame: Recipe::default().bytes(), table, tree: None, counted: [0; COUNTERS] };
    assert_eq!(classify(&mut world), Outcome::Skipped(Skip::Undecided));
    assert_eq!(world.counted[Counter::Undecided as usize], 1);
    assert_eq!(flow.lock().expect("no thread panicked").packets, 1);
}

/// Defect 6: one shared vector, and updates without a lock. The vector is the call's own, and a platform that locks loses nothing.
#[test]
fn two_threads_that_share_a_flow_lose_nothing() {
    const PACKETS: u64 = 20_000;
    let flow = Arc::new(Mutex::new(Flow::new(&key())));
    let tree: Arc<Tree> = Arc::from(support::constant(0).to_array().expect("a tree"));
    thread::scope(|scope| {
        for payload in [100, 1000] {
            let (flow, tree) = (&flow, tree.clone());
            scope.spawn(move || {
                let frame = Recipe { payload, ..Recipe::default() }.bytes();
                let mut world = World { frame, table: |_: &Key| Ok(flow.clone()), tree: Some(tree), counted: [0; COUNTERS] };
                for _ in 0..PACKETS {
                    assert_eq!(classify(&mut world), Outcome::Judged(0));
                }
                assert_eq!(world.counted[Counter::Benign as usize], PACKETS);
            });
        }
    });
    let flow = *flow.lock().expect("no thread panicked");
    assert_eq!((flow.packets, flow.packets_forward, flow.length_sum), (2 * PACKETS, 2 * PACKETS, PACKETS * (128 + 1028)));
}

/// Defect 13: nobody read the verdict, and no path told a dropped packet from a passed one.
#[test]
fn only_an_enforced_malicious_verdict_drops() {
    for enforce in [0, 1] {
        let config = Config { enforce, ..Config::default() };
        let skips = Skip::ALL.map(Outcome::Skipped);
        for outcome in [Outcome::Judged(0), Outcome::Judged(1), Outcome::Judged(u16::MAX)].into_iter().chain(skips) {
            let malicious = matches!(outcome, Outcome::Judged(1..));
            assert_eq!(outcome.drops(&config), malicious && enforce == 1, "{outcome:?}, enforce {enforce}");
        }
    }
}

#[test]
fn an_outcome_survives_its_code_and_no_other_number_is_one() {
    let outcomes = (0..=u16::MAX).map(Outcome::Judged).chain(Skip::ALL.map(Outcome::Skipped));
    for outcome in outcomes {
        assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
    }
    for code in [0x1_0000, 0x7fff_ffff, 0x8000_0009, u32::MAX] {
        assert_eq!(Outcome::from_code(code), None, "{code:#x}");
    }
}

#[test]
fn a_configuration_is_laid_out_as_its_fields_say() {
    let config = Config {
        idle_timeout_ns: 0x0102_0304_0506_0708,
        active_timeout_ns: 2,
        alert_interval_ns: 3,
        model: 4,
        enforce: 5,
        replay: 6,
        allow: 7,
        fragments: 8,
    };
    let longs = [config.idle_timeout_ns, 2, 3, 4].map(u64::to_ne_bytes).concat();
    let words = [5_u32, 6, 7, 8].map(u32::to_ne_bytes).concat();
    assert_eq!(config.to_bytes().to_vec(), [longs, words].concat());
    assert_eq!(std::mem::offset_of!(Config, replay), 36);
}

#[test]
fn a_timeout_beyond_two_hours_or_of_nothing_is_not_valid() {
    for (timeout_ns, valid) in [(0, false), (1, true), (TIMEOUT_NS_MAX, true), (TIMEOUT_NS_MAX + 1, false)] {
        assert_eq!(Config { idle_timeout_ns: timeout_ns, ..Config::default() }.is_valid(), valid, "idle {timeout_ns}");
        assert_eq!(Config { active_timeout_ns: timeout_ns, ..Config::default() }.is_valid(), valid, "active {timeout_ns}");
    }
}

//! The rules of `docs/classifier.md` one by one, on frames made by hand. Each frame goes through the classifier as well ([`Pair`]).

use etherparse::{PacketBuilder, VlanId};
use treeline_ebpf::{Config, Outcome, Skip};
use treeline_sim::Frame;
use treeline_sim::reference::{End, FloatNode, FloatTree, Judgement, Observation, Reference, TreeError};

use crate::native::Pair;
use crate::recipe::{ACK, FIN, RST, Recipe, SYN};

const SECOND_NS: u64 = 1_000_000_000;

fn frame(time_ns: u64, bytes: Vec<u8>) -> Frame {
    Frame { time_ns, bytes, ..Frame::default() }
}

/// Judges one frame by itself.
fn judge(bytes: Vec<u8>) -> Judgement {
    Pair::new(Config::default(), &[Err(0)]).step(&frame(0, bytes))
}

fn check_skipped(bytes: Vec<u8>, expect: Skip) {
    assert_eq!(judge(bytes).outcome, Outcome::Skipped(expect));
}

fn observe(bytes: Vec<u8>) -> Observation {
    let judgement = judge(bytes);
    judgement.observation.unwrap_or_else(|| panic!("{:?}", judgement.outcome))
}

/// Judges packets, each with its time, in one world.
fn observe_all(packets: impl IntoIterator<Item = (u64, Recipe)>) -> Vec<Observation> {
    let mut pair = Pair::new(Config::default(), &[Err(0)]);
    let judge = |(time_ns, recipe): (u64, Recipe)| pair.step(&frame(time_ns, recipe.bytes())).observation.expect("a whole packet");
    packets.into_iter().map(judge).collect()
}

fn ports(bytes: Vec<u8>) -> (u16, u16) {
    let flow = observe(bytes).flow;
    (flow.originator.port, flow.responder.port)
}

fn changed(recipe: &Recipe, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = recipe.bytes();
    for &(at, value) in changes {
        bytes[at] = value;
    }
    bytes
}

fn cut(recipe: &Recipe, length: usize) -> Vec<u8> {
    let mut bytes = recipe.bytes();
    bytes.truncate(length);
    bytes
}

fn check_value(value: f64, expect: f64) {
    assert!((value - expect).abs() <= expect.abs() * 1e-15, "{value} instead of {expect}");
}

// Rule 1

#[test]
fn ethernet_needs_14_bytes() {
    check_skipped(vec![], Skip::Truncated);
    check_skipped(cut(&Recipe::default(), 13), Skip::Truncated);
    check_skipped(vec![0; 14], Skip::NotIp);
}

#[test]
fn two_tags_are_stepped_over_and_a_third_is_not_ip() {
    for tags in [vec![0x8100], vec![0x88a8], vec![0x88a8, 0x8100], vec![0x8100, 0x8100]] {
        let count = tags.len();
        let recipe = Recipe { tags, ..Recipe::default() };
        assert_eq!(ports(recipe.bytes()), (1000, 2000));
        check_skipped(cut(&recipe, 14 + 4 * count - 1), Skip::Truncated);
    }
    check_skipped(cut(&Recipe { tags: vec![0x8100; 3], ..Recipe::default() }, 22), Skip::NotIp);
}

#[test]
fn arp_and_lengths_in_place_of_types_are_not_ip() {
    check_skipped(changed(&Recipe::default(), &[(13, 0x06)]), Skip::NotIp);
    check_skipped(changed(&Recipe::default(), &[(12, 0), (13, 46)]), Skip::NotIp);
}

#[test]
fn packets_of_another_builder_are_read_alike() {
    let mut tcp = vec![];
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .double_vlan(VlanId::try_new(5).unwrap(), VlanId::try_new(6).unwrap())
        .ipv6([1; 16], [2; 16], 64)
        .tcp(4_000, 443, 1, 1)
        .syn()
        .write(&mut tcp, &[0; 100])
        .unwrap();
    let observation = observe(tcp);
    assert_eq!(observation.flow.originator.address.to_string(), "101:101:101:101:101:101:101:101");
    check_value(observation.values()[3], 160.0);
    check_value(observation.values()[1], 443.0);

    let mut udp = vec![];
    PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(53, 5_353).write(&mut udp, &[0; 10]).unwrap();
    assert_eq!(ports(udp), (53, 5_353));
}

// Rule 2

#[test]
fn ipv4_needs_20_bytes_and_headers_that_agree() {
    let udp = Recipe::default();
    check_skipped(cut(&udp, 33), Skip::Truncated);
    check_skipped(changed(&udp, &[(14, 0x65)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(14, 0x44)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(17, 19)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(17, 0)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(14, 0x48)]), Skip::Malformed);
}

#[test]
fn ipv4_options_move_the_ports() {
    for options in [1, 10] {
        let recipe = Recipe { options, ..Recipe::default() };
        assert_eq!(ports(recipe.bytes()), (1000, 2000));
        assert_eq!(ports(Recipe { protocol: 6, ..recipe }.bytes()), (1000, 2000));
    }
}

#[test]
fn a_later_fragment_is_passed_before_anything_behind_it_is_asked_for() {
    let later = Recipe { fragment: (1, true), options: 4, ..Recipe::default() };
    check_skipped(later.bytes(), Skip::LaterFragment);
    check_skipped(cut(&later, 34), Skip::LaterFragment);
    check_skipped(changed(&later, &[(17, 0)]), Skip::Malformed);
    let first = Recipe { fragment: (0, true), ..Recipe::default() };
    assert_eq!(ports(first.bytes()), (1000, 2000));
}

// Rule 3

#[test]
fn ipv6_needs_40_bytes_and_its_version() {
    check_skipped(cut(&Recipe::v6(), 53), Skip::Truncated);
    check_skipped(changed(&Recipe::v6(), &[(14, 0x40)]), Skip::Malformed);
    assert_eq!(ports(Recipe::v6().bytes()), (1000, 2000));
}

#[test]
fn a_jumbogram_is_malformed() {
    let jumbo = Recipe { extensions: vec![(0, 0)], ..Recipe::v6() };
    check_skipped(changed(&jumbo, &[(18, 0), (19, 0)]), Skip::Malformed);
    assert_eq!(ports(jumbo.bytes()), (1000, 2000));
}

#[test]
fn each_extension_header_is_stepped_over_by_its_own_length() {
    for number in [0, 43, 44, 51, 60, 135, 139, 140] {
        for size in [0, 1, 5] {
            let recipe = Recipe { extensions: vec![(number, size), (60, 2)], ..Recipe::v6() };
            assert_eq!(ports(recipe.bytes()), (1000, 2000), "header {number} of size {size}");
        }
    }
}

#[test]
fn eight_extension_headers_are_stepped_over_and_nine_are_not() {
    assert_eq!(ports(Recipe { extensions: vec![(60, 0); 8], ..Recipe::v6() }.bytes()), (1000, 2000));
    check_skipped(Recipe { extensions: vec![(60, 0); 9], ..Recipe::v6() }.bytes(), Skip::HeaderChain);
    // Eight headers and, behind them, one that is not read.
    let cut_at_ninth = cut(&Recipe { extensions: vec![(60, 0); 9], ..Recipe::v6() }, 54 + 64);
    check_skipped(cut_at_ninth, Skip::HeaderChain);
}

#[test]
fn no_header_begins_beyond_byte_1024() {
    // 14 + 40 + 8 * 121 = 1022, and one word more.
    assert_eq!(ports(Recipe { extensions: vec![(60, 120)], ..Recipe::v6() }.bytes()), (1000, 2000));
    let beyond = Recipe { extensions: vec![(60, 121)], ..Recipe::v6() };
    check_skipped(beyond.bytes(), Skip::HeaderChain);
    check_skipped(cut(&beyond, 58), Skip::HeaderChain);
    // With a tag the first one is beyond as well.
    check_skipped(Recipe { extensions: vec![(60, 120)], tags: vec![0x8100], ..Recipe::v6() }.bytes(), Skip::HeaderChain);
}

#[test]
fn an_extension_header_needs_4_bytes_and_fits_the_payload() {
    let recipe = Recipe { extensions: vec![(60, 0)], ..Recipe::v6() };
    check_skipped(cut(&recipe, 57), Skip::Truncated);
    check_skipped(cut(&recipe, 58), Skip::Truncated);
    check_skipped(changed(&recipe, &[(55, 2)]), Skip::Malformed);
    check_skipped(changed(&recipe, &[(19, 7)]), Skip::Malformed);
    // The payload's 16 bytes all belong to the header, and UDP has none.
    check_skipped(changed(&recipe, &[(55, 1)]), Skip::Malformed);
}

#[test]
fn a_later_fragment_of_ipv6_is_passed() {
    let later = Recipe { extensions: vec![(44, 0)], fragment: (1, false), ..Recipe::v6() };
    check_skipped(later.bytes(), Skip::LaterFragment);
    check_skipped(cut(&later, 58), Skip::LaterFragment);
    assert_eq!(ports(Recipe { fragment: (0, true), ..later }.bytes()), (1000, 2000));
}

// Rule 4

#[test]
fn tcp_needs_20_bytes_and_a_data_offset_inside_the_payload() {
    let tcp = Recipe { payload: 3, ..Recipe::tcp(ACK) };
    check_skipped(cut(&tcp, 53), Skip::Truncated);
    assert_eq!(ports(cut(&tcp, 54)), (1000, 2000));
    check_skipped(changed(&tcp, &[(17, 39)]), Skip::Malformed);
    check_skipped(changed(&tcp, &[(46, 0x40)]), Skip::Malformed);
    check_skipped(changed(&tcp, &[(46, 0x60)]), Skip::Malformed);
    assert_eq!(ports(changed(&Recipe { payload: 4, ..tcp }, &[(46, 0x60)])), (1000, 2000));
}

#[test]
fn the_payload_is_what_the_ip_length_leaves_whatever_the_frame_holds() {
    // 46 bytes of padding do not make a TCP header of the 8 bytes that IP claims.
    let mut padded = changed(&Recipe::tcp(SYN), &[(17, 28)]);
    padded.resize(100, 0);
    check_skipped(padded, Skip::Malformed);
    // Too short for both: the payload comes first.
    check_skipped(cut(&Recipe { protocol: 6, flags: 0, payload: 0, ..Recipe::default() }, 36), Skip::Truncated);
    let mut short = changed(&Recipe::tcp(SYN), &[(17, 28)]);
    short.truncate(36);
    check_skipped(short, Skip::Malformed);
}

#[test]
fn udp_needs_8_bytes_and_a_length_inside_the_payload_unless_a_first_fragment() {
    let udp = Recipe { payload: 4, ..Recipe::default() };
    check_skipped(cut(&udp, 41), Skip::Truncated);
    check_skipped(changed(&udp, &[(17, 27)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(39, 7)]), Skip::Malformed);
    check_skipped(changed(&udp, &[(39, 13)]), Skip::Malformed);
    assert_eq!(ports(changed(&udp, &[(39, 8)])), (1000, 2000));
    let first = Recipe { fragment: (0, true), ..udp };
    assert_eq!(ports(changed(&first, &[(38, 9)])), (1000, 2000));
    check_skipped(changed(&first, &[(39, 7)]), Skip::Malformed);
}

#[test]
fn a_fragment_header_on_a_whole_packet_does_not_make_it_a_first_fragment() {
    let whole = Recipe { extensions: vec![(44, 0)], ..Recipe::v6() };
    check_skipped(changed(&whole, &[(66, 9)]), Skip::Malformed);
    let first = Recipe { fragment: (0, true), ..whole };
    assert_eq!(ports(changed(&first, &[(66, 9)])), (1000, 2000));
}

#[test]
fn other_protocols_have_no_ports_and_need_the_ip_headers_to_their_end() {
    for protocol in [1, 2, 44, 47, 50, 51, 58, 132] {
        let recipe = Recipe { protocol, options: 2, payload: 30, ..Recipe::default() };
        let observation = observe(recipe.bytes());
        assert_eq!((observation.flow.originator.port, observation.flow.responder.port), (0, 0));
        check_value(observation.values()[2], f64::from(protocol));
        check_skipped(cut(&recipe, 41), Skip::Truncated);
        observe(cut(&recipe, 42));
    }
    let behind = Recipe { protocol: 58, extensions: vec![(60, 1)], ..Recipe::v6() };
    check_skipped(cut(&behind, 69), Skip::Truncated);
    assert_eq!(ports(behind.bytes()), (0, 0));
}

#[test]
fn pings_share_one_flow() {
    let ping = Recipe { protocol: 1, payload: 56, ..Recipe::default() };
    let seen = observe_all([(0, ping.clone()), (1, ping.clone().back()), (2, ping)]);
    assert_eq!(seen[2].flow.packets, 3);
}

// Rule 5

#[test]
fn the_length_is_the_headers_even_if_the_frame_is_cut_or_padded() {
    let recipe = Recipe { payload: 1_000, ..Recipe::default() };
    check_value(observe(recipe.bytes()).values()[3], 1_028.0);
    check_value(observe(cut(&recipe, 60)).values()[3], 1_028.0);
    let mut padded = Recipe::default().bytes();
    padded.resize(60, 0);
    check_value(observe(padded).values()[3], 28.0);
    let v6 = Recipe { extensions: vec![(60, 0)], payload: 1_000, ..Recipe::v6() };
    check_value(observe(v6.bytes()).values()[3], 1_056.0);
}

// Rule 6

#[test]
fn addresses_and_ports_are_not_sorted_apart() {
    let seen = observe_all([
        (0, Recipe { source: (1, 1000), destination: (2, 2000), ..Recipe::default() }),
        (1, Recipe { source: (1, 2000), destination: (2, 1000), ..Recipe::default() }),
    ]);
    assert!(seen[1].events.opened);
}

#[test]
fn tags_are_not_part_of_the_key_but_protocol_and_version_are() {
    let tagged = Recipe { tags: vec![0x8100], ..Recipe::default() };
    let seen = observe_all([(0, Recipe::default()), (0, tagged), (0, Recipe::tcp(0)), (0, Recipe::v6())]);
    assert_eq!(seen.iter().map(|seen| seen.events.opened).collect::<Vec<_>>(), [true, false, true, true]);
}

// Rule 7

#[test]
fn direction_is_told_by_the_whole_endpoint() {
    let ours = Recipe { source: (2, 500), destination: (1, 500), ..Recipe::default() };
    let seen = observe_all([(0, ours.clone()), (1, ours.clone().back()), (2, ours)]);
    assert_eq!(seen.iter().map(|seen| seen.features[5].value()).collect::<Vec<_>>(), [1.0, 0.0, 1.0]);
    assert_eq!(seen[2].flow.originator.address.to_string(), "10.0.0.2");
}

#[test]
fn with_equal_endpoints_every_packet_is_forward() {
    let ours = Recipe { source: (1, 500), destination: (1, 500), ..Recipe::tcp(FIN | ACK) };
    let seen = observe_all([(0, ours.clone()), (1, ours)]);
    assert_eq!(seen[1].flow.packets_forward, 2);
    assert!(!seen[1].flow.is_closed());
}

// Rule 8

#[test]
fn a_flow_ends_when_idle_for_longer_than_the_timeout() {
    let seen = observe_all([0, 300 * SECOND_NS, 600 * SECOND_NS + 1].map(|time_ns| (time_ns, Recipe::default())));
    assert_eq!(seen[1].flow.packets, 2);
    assert_eq!(seen[2].events.ended, Some(End::Idle));
    assert!(seen[2].events.opened);
    assert_eq!(seen[2].flow.packets, 1);
    check_value(seen[2].values()[4], 0.0);
}

#[test]
fn a_flow_ends_when_older_than_the_active_timeout() {
    let minutes = (0..=6).map(|step| (step * 300 * SECOND_NS, Recipe::default()));
    let seen = observe_all(minutes.chain([(1_800 * SECOND_NS + 1, Recipe::default())]));
    assert_eq!(seen[6].flow.packets, 7);
    assert_eq!(seen[7].events.ended, Some(End::Active));
    assert_eq!(seen[7].flow.first_ns, 1_800 * SECOND_NS + 1);
}

#[test]
fn the_packet_that_ends_a_flow_becomes_the_originator_of_the_next() {
    let seen = observe_all([(0, Recipe::default()), (301 * SECOND_NS, Recipe::default().back())]);
    check_value(seen[1].values()[0], 2_000.0);
    check_value(seen[1].values()[5], 1.0);
}

#[test]
fn a_flow_as_old_as_forty_hours_of_traffic_is_many_flows() {
    let seen = observe_all((0..600).map(|step| (step * 240 * SECOND_NS, Recipe::default())));
    assert!(seen.iter().all(|seen| seen.flow.last_ns - seen.flow.first_ns <= 1_800 * SECOND_NS));
    assert_eq!(seen.iter().filter(|seen| seen.events.ended == Some(End::Active)).count(), 74);
}

#[test]
fn the_idle_timeout_is_asked_before_the_active_one_and_both_before_a_new_syn() {
    let seen = observe_all([(0, Recipe::tcp(RST)), (2_000 * SECOND_NS, Recipe::tcp(SYN))]);
    assert_eq!(seen[1].events.ended, Some(End::Idle));
    let seen = observe_all((0..7).map(|step| (step * 300 * SECOND_NS, Recipe::tcp(RST))).chain([(1_801 * SECOND_NS, Recipe::tcp(SYN))]));
    assert_eq!(seen[7].events.ended, Some(End::Active));
}

// Rules 8 and 9

#[test]
fn only_a_syn_without_ack_ends_a_closed_flow() {
    for (flags, expect) in [(SYN | ACK, None), (ACK, None), (RST, None), (SYN, Some(End::Closed)), (SYN | FIN, Some(End::Closed))] {
        let seen = observe_all([(0, Recipe::tcp(RST)), (1, Recipe::tcp(flags).back())]);
        assert_eq!(seen[1].events.ended, expect, "flags {flags:#x}");
    }
    let seen = observe_all([(0, Recipe::tcp(SYN)), (1, Recipe::tcp(SYN))]);
    assert_eq!(seen[1].events.ended, None);
}

#[test]
fn a_syn_ends_a_flow_that_began_midstream() {
    for (first, midstream) in [(ACK, true), (FIN | ACK, true), (SYN, false), (SYN | ACK, false), (RST | ACK, false), (FIN, false)] {
        for (flags, opens) in [(ACK, false), (SYN | ACK, false), (SYN, true)] {
            let seen = observe_all([(0, Recipe::tcp(first)), (1, Recipe::tcp(flags).back())]);
            assert_eq!(seen[0].flow.midstream, midstream, "first {first:#x}");
            let closed = midstream || first & RST != 0;
            assert_eq!(seen[1].events.ended, (closed && opens).then_some(End::Closed), "first {first:#x}, then {flags:#x}");
        }
    }
}

#[test]
fn fin_closes_from_both_sides_and_rst_from_either() {
    let closed = |packets: Vec<Recipe>| observe_all(packets.into_iter().map(|recipe| (0, recipe))).last().unwrap().flow.is_closed();
    assert!(!closed(vec![Recipe::tcp(FIN), Recipe::tcp(FIN)]));
    assert!(closed(vec![Recipe::tcp(FIN), Recipe::tcp(FIN).back()]));
    assert!(closed(vec![Recipe::tcp(FIN), Recipe::tcp(FIN).back(), Recipe::tcp(ACK)]));
    assert!(closed(vec![Recipe::tcp(RST)]));
    assert!(closed(vec![Recipe::tcp(SYN), Recipe::tcp(RST | ACK).back()]));
    assert!(!closed(vec![Recipe { flags: RST, ..Recipe::default() }]));
}

// Rule 10

#[test]
fn a_clock_that_steps_back_gives_a_gap_of_0_and_moves_nothing() {
    let seen = observe_all([100, 200, 150, 50, 260].map(|time_ns| (time_ns, Recipe::default())));
    assert_eq!(seen.iter().map(|seen| seen.features[4].value()).collect::<Vec<_>>(), [0.0, 100.0, 0.0, 0.0, 60.0]);
    assert_eq!(seen.iter().map(|seen| seen.events.clock_back).collect::<Vec<_>>(), [false, false, true, true, false]);
    assert_eq!((seen[4].flow.first_ns, seen[4].flow.last_ns), (100, 260));
}

#[test]
fn a_packet_that_opens_a_flow_in_the_past_is_not_counted_as_clock_back() {
    let seen = observe_all([(100, Recipe::tcp(RST)), (50, Recipe::tcp(SYN))]);
    assert!(seen[1].events.opened && !seen[1].events.clock_back);
    assert_eq!(seen[1].flow.last_ns, 50);
}

// The table of features

#[test]
fn features_of_three_packets_are_those_computed_by_hand() {
    let packet = |payload| Recipe { payload, ..Recipe::default() };
    let seen = observe_all([(0, packet(72)), (1_000_000, packet(172).back()), (1_000_300, packet(12))]);
    // Lengths 100, 200, 40; gaps 0, 1,000,000, 300 ns; directions 1, 0, 1.
    let expect = [1_000.0, 2_000.0, 17.0, 40.0, 300.0, 1.0, 340.0 / 3.0, 1_000_300.0 / 3.0, 2.0 / 3.0];
    for (value, expect) in seen[2].values().into_iter().zip(expect) {
        check_value(value, expect);
    }
    // |100 - 100|, |200 - 150|, |40 - 340/3| and so on.
    check_value(seen[2].values()[9], (0.0 + 50.0 + 220.0 / 3.0) / 3.0);
    check_value(seen[2].values()[10], (0.0 + 500_000.0 + (1_000_300.0 / 3.0 - 300.0)) / 3.0);
    check_value(seen[2].values()[11], (0.0 + 0.5 + 1.0 / 3.0) / 3.0);
    let fixed = |numerator: i64, denominator: i64| numerator * 65_536 / denominator;
    assert!(seen[2].features[6].admits(fixed(340, 3)) && !seen[2].features[6].admits(fixed(340, 3) + 1));
}

#[test]
fn the_bound_never_spans_two_units_more_than_it_must() {
    let seen = observe_all((0..200_u64).map(|step| {
        let payload = usize::try_from(step * step % 977).unwrap();
        (step * step * 1_001, Recipe { payload, ..Recipe::default() })
    }));
    for feature in seen.iter().flat_map(|seen| seen.features.iter().enumerate().map(|(index, feature)| (index, feature.bounds()))) {
        let (index, (below, above)) = feature;
        let most = [0.0, 1.0, 2.0][[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2][index]];
        assert!(below + above <= most, "feature {index}: {below} + {above}");
    }
}

// Rule 11

fn split(feature: usize, threshold: f64, left: usize, right: usize) -> FloatNode {
    FloatNode::Split { feature, threshold, left, right }
}

#[test]
fn a_benign_leaf_is_benign_and_a_threshold_itself_goes_left() {
    for (threshold, class) in [(27, 4), (28, 0), (29, 0)] {
        let mut pair = Pair::new(Config::default(), &[Ok((3, threshold << 16, 1, 2)), Err(0), Err(4)]);
        assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).outcome, Outcome::Judged(class));
    }
}

#[test]
fn a_tree_of_32_edges_ends_in_its_leaf() {
    // Each split sends a length of 28 right, to the next split; every left child is a leaf of class 1.
    let mut plan: Vec<_> = (0..32).flat_map(|depth| [Ok((3, 27 << 16, 2 * depth + 1, 2 * depth + 2)), Err(1)]).collect();
    plan.push(Err(7));
    let mut pair = Pair::new(Config::default(), &plan);
    assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).outcome, Outcome::Judged(7));
}

#[test]
fn nodes_that_are_no_tree_are_refused() {
    let leaf = FloatNode::Leaf { class: 0 };
    let check = |nodes: Vec<FloatNode>, expect: Option<TreeError>| assert_eq!(FloatTree::new(nodes).err(), expect);
    check(vec![], Some(TreeError::Count { count: 0 }));
    check(vec![leaf; 8_192], None);
    check(vec![leaf; 8_193], Some(TreeError::Count { count: 8_193 }));
    check(vec![split(12, 0.0, 1, 1), leaf], Some(TreeError::Split { node: 0, feature: 12 }));
    check(vec![split(0, f64::NAN, 1, 1), leaf], Some(TreeError::Split { node: 0, feature: 0 }));
    check(vec![split(0, 0.0, 1, 2), leaf], Some(TreeError::Child { node: 0, child: 2 }));
    check(vec![split(0, 0.0, 1, 0), leaf], Some(TreeError::Depth { node: 0 }));
    let chain = |edges: usize| (0..edges).map(|node| split(0, 0.0, node + 1, node + 1)).chain([leaf]).collect();
    check(chain(32), None);
    check(chain(33), Some(TreeError::Depth { node: 32 }));
}

// Rule 12

#[test]
fn only_a_malicious_packet_in_enforce_mode_is_dropped() {
    for (enforce, class, expect) in [(0, 0, false), (0, 1, false), (1, 0, false), (1, 1, true)] {
        let mut pair = Pair::new(Config { enforce, ..Config::default() }, &[Err(class)]);
        assert_eq!(pair.step(&frame(0, Recipe::default().bytes())).dropped, expect);
        assert!(!pair.step(&frame(0, vec![])).dropped);
    }
}

// The engine

#[test]
fn frames_that_are_passed_leave_no_flow() {
    let mut reference = Reference::new(Config::default(), FloatTree::constant(0));
    reference.judge(&frame(0, cut(&Recipe::default(), 40)));
    assert_eq!(reference.flows_count(), 0);
    reference.judge(&frame(0, Recipe::default().bytes()));
    reference.judge(&frame(1, Recipe::default().back().bytes()));
    assert_eq!(reference.flows_count(), 1);
}

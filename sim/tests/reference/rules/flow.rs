//! Packet to flow, and flow to features: rules 6 to 10.

use treeline_sim::reference::End;

use super::{check_value, observe_all};
use crate::recipe::{ACK, FIN, RST, Recipe, SYN};

const SECOND_NS: u64 = 1_000_000_000;

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

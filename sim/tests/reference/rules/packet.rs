//! Bytes to packet: rules 1 to 5.

use etherparse::{PacketBuilder, VlanId};
use treeline_ebpf::Skip;

use super::{changed, check_skipped, check_value, cut, observe, observe_all, ports};
use crate::recipe::{ACK, Recipe, SYN};

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

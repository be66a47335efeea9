//! What a sample promises: flows weigh alike, nothing of a test flow is trained on, and each attack is split for itself.

use treeline_ebpf::FEATURES;

use super::*;

/// `flows` are (capture, class, packets); feature 3 of a row is its packet's number.
fn sample(take: Take, flows: &[(u32, u16, u64)]) -> Sample {
    let classes = ["benign", "scan", "flood"].map(str::to_owned).to_vec();
    let mut sample = Sample::new(classes, take, 1).expect("few classes");
    for (number, &(capture, class, packets)) in (1000..).zip(flows) {
        for packet in 1..=packets {
            let mut features = [0; FEATURES];
            features[3] = packet.cast_signed();
            sample.push(&Row { capture, flow: number, packet, features, class: Some(class), ..Row::default() }).expect("few rows");
        }
    }
    sample
}

fn weights_by(sample: &Sample, by: impl Fn(&Flow) -> usize) -> Vec<f32> {
    let mut sums = vec![0.0; sample.flows.len()];
    for (&flow, weight) in sample.flow.iter().zip(&sample.table.weights) {
        sums[by(&sample.flows[flow as usize])] += weight;
    }
    sums
}

fn weighed(mut sample: Sample, class_weight: ClassWeight) -> Sample {
    let (_, numbers) = sample.model_classes(Classes::Binary);
    sample.weigh(FlowWeight::Equal, class_weight, None, &numbers);
    sample
}

#[test]
fn a_long_flow_weighs_as_much_as_a_short_one() {
    let sample = weighed(sample(Take::Packet, &[(0, 0, 4), (0, 1, 1), (0, 2, 8)]), ClassWeight::None);
    assert!(weights_by(&sample, |flow| flow.class.into()).iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    assert_eq!(sample.table.classes, [[0; 4].as_slice(), &[1; 9]].concat());
}

#[test]
fn classes_or_captures_weigh_the_same_when_asked() {
    let flows = [(0, 0, 2), (0, 0, 1), (0, 0, 1), (1, 1, 3)];
    for class_weight in [ClassWeight::Balanced, ClassWeight::Capture] {
        let sums = weights_by(&weighed(sample(Take::Packet, &flows), class_weight), |flow| flow.class.into());
        assert!((sums[0] - 2.0).abs() < 1e-6 && (sums[1] - 2.0).abs() < 1e-6, "{sums:?}");
    }
}

#[test]
fn a_flow_weighs_the_root_of_its_packets_when_asked() {
    let mut sample = sample(Take::Packet, &[(0, 0, 16), (0, 1, 1)]);
    let (_, numbers) = sample.model_classes(Classes::Binary);
    for (flow_weight, expected) in [(FlowWeight::Root, 4.0), (FlowWeight::Packets, 16.0)] {
        sample.weigh(flow_weight, ClassWeight::None, None, &numbers);
        assert!((weights_by(&sample, |flow| flow.class.into())[0] - expected).abs() < 1e-5);
    }
}

#[test]
fn named_classes_weigh_the_same_when_asked() {
    let flows = [(0, 0, 2), (0, 0, 1), (0, 1, 1), (1, 1, 3), (1, 1, 1), (1, 2, 9)];
    let sums = weights_by(&weighed(sample(Take::Packet, &flows), ClassWeight::Label), |flow| flow.class.into());
    assert!(sums[..3].iter().all(|sum| (sum - 2.0).abs() < 1e-6), "{sums:?}");
}

#[test]
fn benign_rows_weigh_what_was_asked_for() {
    let mut sample = sample(Take::Packet, &[(0, 0, 2), (0, 1, 1), (1, 2, 3)]);
    let (_, numbers) = sample.model_classes(Classes::Binary);
    sample.weigh(FlowWeight::Equal, ClassWeight::None, Some(10.0), &numbers);
    let sums = weights_by(&sample, |flow| flow.class.into());
    assert!((sums[0] - 20.0).abs() < 1e-5 && (sums[1] - 1.0).abs() < 1e-6 && (sums[2] - 1.0).abs() < 1e-6, "{sums:?}");
}

#[test]
fn classes_begin_where_they_are_told_to() {
    let mut sample = Sample::new(["benign", "guess", "slow"].map(str::to_owned).to_vec(), Take::Packet, 1)
        .expect("three classes")
        .beginning(vec![0, 3, LEFT_OUT]);
    for class in 0..3 {
        (1..=4).for_each(|packet| sample.push(&Row { flow: class.into(), packet, class: Some(class), ..Row::default() }).expect("a row"));
    }
    assert_eq!((sample.table.classes.as_slice(), sample.left_out_count), ([0, 0, 0, 0, 1, 1].as_slice(), 2 + 4));
}

#[test]
fn redrawn_ports_are_one_a_flow_and_spare_services() {
    let ports = |originator: i64, responder: i64| {
        let mut features = [0; FEATURES];
        features[feature::ORIGINATOR_PORT] = originator << 16;
        features[feature::RESPONDER_PORT] = responder << 16;
        features
    };
    let mut sample = Sample::new(vec!["benign".to_owned()], Take::Packet, 1).expect("a class").redraw_ports(Some(7));
    for (flow, packet, features) in
        [(1, 1, ports(40_000, 80)), (1, 2, ports(40_000, 80)), (2, 1, ports(40_000, 80)), (3, 1, ports(53, 0)), (4, 1, ports(4500, 50_000))]
    {
        sample.push(&Row { flow, packet, features, class: Some(0), ..Row::default() }).expect("a row");
    }
    let drawn: Vec<_> = sample.table.columns[feature::ORIGINATOR_PORT].iter().map(|port| port >> 16).collect();
    assert!(drawn[0] == drawn[1] && drawn[0] != drawn[2] && drawn[3..] == [53, 4500], "{drawn:?}");
    assert!(drawn[..3].iter().all(|port| (1024..1 << 16).contains(port)), "{drawn:?}");
}

#[test]
fn any_port_is_one_a_flow_and_of_each_second_flow_of_its_class() {
    let classes = vec!["benign".to_owned(), "portscan".to_owned()];
    let mut sample = Sample::new(classes, Take::Packet, 1).expect("two classes").any_ports(vec![None, Some(7)]);
    let mut features = [0; FEATURES];
    for flow in 0..400 {
        // Benign flows to port 80, scans of it, and scans without ports.
        features[feature::RESPONDER_PORT] = if flow % 4 == 3 { 0 } else { 80 << 16 };
        let class = Some(u16::from(flow % 4 > 1));
        (1..=2).for_each(|packet| sample.push(&Row { flow, packet, features, class, ..Row::default() }).expect("a row"));
    }
    let ports: Vec<_> = sample.table.columns[feature::RESPONDER_PORT].iter().map(|port| port >> 16).collect();
    let (mut moved, mut services) = (0, 0);
    for (flow, pair) in ports.chunks(2).enumerate() {
        assert!(pair[0] == pair[1] && (0..1 << 16).contains(&pair[0]), "{pair:?}");
        match flow % 4 {
            2 => {
                moved += usize::from(pair[0] != 80);
                services += usize::from(pair[0] != 80 && pair[0] < 1024);
            }
            3 => assert_eq!(pair[0], 0),
            _ => assert_eq!(pair[0], 80),
        }
    }
    assert!((35..=65).contains(&moved) && (5..=25).contains(&services), "{moved} of 100, {services} to services");
}

#[test]
fn flow_last_takes_the_last_of_at_most_100_packets() {
    let sample = sample(Take::FlowLast, &[(0, 0, 1), (0, 0, 250), (0, 1, 42)]);
    assert_eq!(sample.table.columns[3], [1, 100, 42]);
}

#[test]
fn packets_that_the_model_waits_for_are_left_out() {
    let mut sample = Sample::new(vec!["benign".to_owned()], Take::Packet, 3).expect("a class");
    for packet in 1..=5_u64 {
        let features = [packet.cast_signed(); FEATURES];
        sample.push(&Row { packet, features, class: Some(0), ..Row::default() }).expect("a row");
    }
    assert_eq!((sample.table.columns[0].as_slice(), sample.passed_count), ([3, 4, 5].as_slice(), 2));
}

#[test]
fn what_is_midstream_is_left_out_where_the_model_passes_it() {
    for (passes, expect) in [(false, vec![1, 2, 3, 4]), (true, vec![1, 3])] {
        let mut sample = Sample::new(vec!["benign".to_owned()], Take::Packet, 1).expect("a class").pass_midstream(passes);
        for flow in 1..=4_i64 {
            let features = [flow; FEATURES];
            let row = Row { flow: flow.cast_unsigned(), packet: 1, midstream: flow % 2 == 0, features, class: Some(0), ..Row::default() };
            sample.push(&row).expect("a row");
        }
        assert_eq!(sample.table.columns[0], expect);
        assert_eq!(sample.passed_count, 4 - expect.len() as u64);
    }
}

#[test]
fn a_test_flow_weighs_nothing_and_one_of_three_is_kept_of_each_class() {
    let flows: Vec<_> = (0..90).map(|number| (0, u16::from(number % 3 == 0), 2)).chain([(0, 2, 5)]).collect();
    for seed in 0..20 {
        let mut sample = sample(Take::Packet, &flows);
        sample.split(&Split::Flow, seed);
        let kept = |class| sample.flows.iter().filter(|flow| flow.is_test && flow.class == class).count();
        assert_eq!([kept(0), kept(1), kept(2)], [20, 10, 0], "a class with one flow is trained on");
        let sample = weighed(sample, ClassWeight::Capture);
        for (&flow, &weight) in sample.flow.iter().zip(&sample.table.weights) {
            assert_eq!(weight > 0.0, !sample.flows[flow as usize].is_test);
        }
    }
}

#[test]
fn whole_captures_are_kept_and_of_each_attack_one_is_trained_on() {
    let flows: Vec<_> = (0..12).flat_map(|capture| [(capture, 0, 1), (capture, u16::from(capture < 4), 1)]).collect();
    for seed in 0..20 {
        let mut sample = sample(Take::Packet, &flows);
        sample.split(&Split::Capture, seed);
        for pair in sample.flows.chunks(2) {
            assert_eq!(pair[0].is_test, pair[1].is_test);
        }
        let kept = |attack: bool| sample.flows.chunks(2).filter(|pair| pair[0].is_test && (pair[1].class > 0) == attack).count();
        assert_eq!((kept(true), kept(false)), (1, 3));
    }
}

#[test]
fn an_attack_that_is_only_tested_is_no_class_of_the_model() {
    let mut sample = sample(Take::Packet, &[(0, 0, 1), (0, 1, 1), (1, 2, 1)]);
    sample.split(&Split::Captures(vec![1]), 0);
    assert_eq!(sample.model_classes(Classes::Attack), (vec!["benign".to_owned(), "scan".to_owned()], vec![Some(0), Some(1), None]));
}

#[test]
fn rows_that_teach_nothing_are_refused_with_advice() {
    let check = |sample: &Sample, text: &str| assert_eq!(sample.check().expect_err(text).to_string(), text);
    let mut none = sample(Take::Packet, &[]);
    none.push(&Row { packet: 1, ..Row::default() }).expect("counted");
    check(&none, "no row has a class (1 are unlabelled); check that the labels name these captures, addresses and times");
    check(&sample(Take::Packet, &[(0, 0, 1)]), "no malicious row to train on (1 flows of benign); give labelled captures of both");
    let mut kept = sample(Take::Packet, &[(0, 0, 1), (1, 1, 1)]);
    kept.split(&Split::Captures(vec![0]), 0);
    check(
        &kept,
        "no benign row to train on (1 flows of scan); all of them are kept for the test: give more captures, or split by flow (--split flow)",
    );
    check(
        &sample(Take::Packet, &[]),
        "no packet to train on; give captures with packets that reach the classifier, or a smaller --packets-min",
    );
}

/// Rows of (capture, flow, packet), all of class 1; feature 3 is the packet's number, the responder's port its own.
fn of_rows(mut sample: Sample, rows: &[(u32, u64, u64)]) -> Sample {
    for &(capture, flow, packet) in rows {
        let mut features = [0; FEATURES];
        features[3] = packet.cast_signed();
        features[feature::RESPONDER_PORT] = fixed(80);
        features[feature::ORIGINATOR_PORT] = fixed(40_000);
        sample.push(&Row { capture, flow, packet, features, class: Some(1), ..Row::default() }).expect("few rows");
    }
    sample
}

fn empty(take: Take) -> Sample {
    Sample::new(["benign", "scan"].map(str::to_owned).to_vec(), take, 1).expect("two classes")
}

#[test]
fn flows_of_one_number_in_two_captures_stay_apart() {
    let rows = [(0, 7, 1), (1, 7, 1), (0, 7, 2), (2, 7, 1), (1, 7, 2), (1, 7, 3)];
    let sample = of_rows(empty(Take::Packet), &rows);
    let flows: Vec<_> = sample.flows.iter().map(|flow| (flow.capture, flow.rows_count)).collect();
    assert_eq!(flows, [(0, 2), (1, 3), (2, 1)]);
    assert_eq!(sample.flow, [0, 1, 0, 2, 1, 1]);
}

#[test]
fn flows_of_one_number_in_two_captures_draw_ports_of_their_own() {
    let rows = [(0, 7, 1), (1, 7, 1), (1, 7, 2), (0, 7, 2)];
    let sample = of_rows(empty(Take::Packet).redraw_ports(Some(3)), &rows);
    let ports = &sample.table.columns[feature::ORIGINATOR_PORT];
    assert_eq!((ports[0], ports[1]), (ports[3], ports[2]));
    assert_ne!(ports[0], ports[1]);
    let alone = of_rows(empty(Take::Packet).redraw_ports(Some(3)), &rows[..1]);
    assert_eq!(alone.table.columns[feature::ORIGINATOR_PORT][0], ports[0], "one run's draws stay as they were");
}

#[test]
fn the_last_packet_of_a_flow_is_taken_whatever_the_order_of_rows() {
    let rows = [(0, 7, 2), (1, 7, 5), (0, 7, 9), (0, 7, 101), (1, 7, 4), (0, 7, 3)];
    let sample = of_rows(empty(Take::FlowLast), &rows);
    assert_eq!(sample.table.columns[3], [9, 5]);
}

//! The figures of an evaluation: small cases counted by hand, and random ones against the definitions read literally.

use proptest::collection::vec;
use proptest::prelude::*;
use treeline_data::evaluate::{Binary, Detection, Importance, Judged, Matrix, Meter, Score, Visit, Visits};
use treeline_ebpf::{Counter, Counters, Features, Skip};
use treeline_model::strategy::{features_near, model};
use treeline_model::vote::{Arithmetic, Choice, Combination, Estimator};
use treeline_model::{Model, Node, Rule, Vote};

const FLOWS_MAX: u32 = 4096;

/// Each packet: its flow, its number there, its flow's label, its verdict.
type Packet = (u64, u64, Option<u16>, u16);

fn score(packets: &[Packet]) -> Score {
    let mut meter = Meter::new(FLOWS_MAX);
    for &(flow, packet, label, verdict) in packets {
        meter.judge(&Judged { flow, packet, label, verdict });
    }
    meter.finish(&Counters::default())
}

#[test]
fn six_packets_of_four_flows_give_the_figures_counted_by_hand() {
    let score = score(&[
        (1, 1, Some(1), 0),
        (2, 1, Some(0), 0),
        (1, 2, Some(1), 1),
        (3, 1, Some(1), 0),
        (2, 2, Some(0), 1),
        (1, 3, Some(1), 1),
        (4, 1, None, 1),
    ]);
    let packets = Binary { true_positives: 2, false_positives: 1, false_negatives: 2, true_negatives: 1 };
    assert_eq!(score.packets.binary(), packets);
    assert_eq!(packets.accuracy(), Some(0.5));
    assert_eq!(packets.precision(), Some(2.0 / 3.0));
    assert_eq!(packets.recall(), Some(0.5));
    assert_eq!(packets.f1(), Some(4.0 / 7.0));
    assert_eq!(packets.false_positive_rate(), Some(0.5));
    let flows = Binary { true_positives: 1, false_positives: 1, false_negatives: 1, true_negatives: 0 };
    assert_eq!(score.flows.binary(), flows);
    assert_eq!(score.flows_by(1), Binary { true_positives: 0, false_positives: 0, false_negatives: 2, true_negatives: 1 });
    assert_eq!(score.flows_by(2), flows);
    assert_eq!((score.packets_unlabelled, score.flows_unlabelled, score.frames()), (1, 1, 7));
}

#[test]
fn a_ratio_of_nothing_is_none() {
    let none = Binary::default();
    assert_eq!([none.accuracy(), none.precision(), none.recall(), none.f1(), none.false_positive_rate()], [None; 5]);
    let benign = Binary { true_negatives: 3, ..none };
    assert_eq!([benign.accuracy(), benign.false_positive_rate()], [Some(1.0), Some(0.0)]);
    assert_eq!([benign.precision(), benign.recall(), benign.f1()], [None; 3]);
    assert_eq!(Detection::default().quantile(50), None);
}

#[test]
fn the_first_malicious_verdict_is_the_flows() {
    let score = score(&[(1, 1, Some(2), 0), (1, 2, Some(2), 3), (1, 3, Some(2), 2)]);
    assert_eq!(score.flows.row(2).collect::<Vec<_>>(), [(3, 1)]);
    assert_eq!(score.packets.named(2, 2), Binary { true_positives: 1, false_negatives: 2, ..Binary::default() });
}

#[test]
fn skipped_packets_are_counted_by_reason_and_left_out() {
    let mut counters = Counters::default();
    counters[Counter::Malformed as usize] = 2;
    counters[Counter::Benign as usize] = 5;
    let score = Meter::new(FLOWS_MAX).finish(&counters);
    assert_eq!((score.skipped[Skip::Malformed as usize], score.frames(), score.packets.total()), (2, 2, 0));
}

#[test]
fn a_quantile_is_a_packet_number_that_occurred() {
    let mut detection = Detection::default();
    for packet in [1, 2, 2, 5, 100] {
        detection.open();
        detection.find(packet);
    }
    assert_eq!([1, 20, 21, 50, 60, 61, 80, 90, 100].map(|percent| detection.quantile(percent)), [1, 1, 2, 2, 2, 5, 5, 100, 100].map(Some));
}

#[test]
fn an_ensembles_importances_are_those_of_all_its_trees() {
    let stump = |feature| Estimator {
        output: 0,
        nodes: vec![Node::Inner { feature, threshold: 0, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }],
        values: vec![vec![0.0], vec![1.0]],
    };
    let vote = Combination { choice: Choice::Above(1.5), arithmetic: Arithmetic::F64, base: vec![0.0], classes: vec![0, 1] };
    let classes = ["benign", "malicious"].map(str::to_owned).to_vec();
    let model =
        Vote::new(vote, vec![stump(3), stump(5), stump(3)]).and_then(|vote| Model::new("", classes, Rule::Vote(vote))).expect("a vote");
    let mut visits = Visits::new(&model);
    for (length, direction, is_malicious) in [(0, 0, false), (0, 1, false), (1, 0, true), (1, 1, true)] {
        let mut features = Features::default();
        features.set(3, length << 16);
        features.set(5, direction << 16);
        visits.pass(&model, &features, is_malicious);
    }
    assert_eq!((visits.at(1, 0).packets, visits.at(2, 2)), (4, Visit { packets: 2, malicious: 2 }));
    let importances = visits.importances(&model);
    assert_eq!(importances[3], Importance { gini: 1.0, questions: 2.0 / 3.0 });
    assert_eq!(importances[5], Importance { gini: 0.0, questions: 1.0 / 3.0 }, "the direction tells nothing");
}

#[test]
fn the_importance_of_one_right_split_is_whole() {
    let nodes = vec![
        Node::Inner { feature: 3, threshold: 100 << 16, left: 1, right: 2 },
        Node::Leaf { class: 0 },
        Node::Inner { feature: 5, threshold: 0, left: 3, right: 4 },
        Node::Leaf { class: 1 },
        Node::Leaf { class: 1 },
    ];
    let model = Model::from_nodes("", vec!["benign".to_owned(), "malicious".to_owned()], nodes).expect("a tree");
    let mut visits = Visits::new(&model);
    for (length, direction, is_malicious) in [(50, 1, false), (60, 0, false), (200, 0, true), (300, 1, true)] {
        let mut features = Features::default();
        features.set(3, length << 16);
        features.set(5, direction << 16);
        visits.pass(&model, &features, is_malicious);
    }
    assert_eq!(visits.at(0, 2), Visit { packets: 2, malicious: 2 });
    let importances = visits.importances(&model);
    assert_eq!(importances[3], Importance { gini: 1.0, questions: 4.0 / 6.0 });
    assert_eq!(importances[5], Importance { gini: 0.0, questions: 2.0 / 6.0 });
}

/// Packets of up to eight flows, mixed.
fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let labels = vec(proptest::option::weighted(0.9, 0_u16..4), 8);
    let packets = vec((0_u64..8, prop_oneof![2 => Just(0_u16), 1 => 1_u16..4]), 0..100);
    (labels, packets).prop_map(|(labels, packets)| {
        let mut numbers = [0; 8];
        let numbered = packets.into_iter().map(|(flow, verdict)| {
            let index = usize::try_from(flow).expect("small");
            numbers[index] += 1;
            (flow, numbers[index], labels[index], verdict)
        });
        numbered.collect()
    })
}

/// Every flow with a label, with the verdicts on its packets in their order.
fn flows(packets: &[Packet]) -> Vec<(u16, Vec<u16>)> {
    let verdicts = |flow| packets.iter().filter(|packet| packet.0 == flow).map(|packet| packet.3).collect();
    packets.iter().filter(|packet| packet.1 == 1).filter_map(|packet| Some((packet.2?, verdicts(packet.0)))).collect()
}

fn count(items: &[(u16, u16)], is_wanted: impl Fn(bool, bool) -> bool) -> u64 {
    items.iter().filter(|(label, verdict)| is_wanted(*label != 0, *verdict != 0)).count() as u64
}

fn binary(items: &[(u16, u16)]) -> Binary {
    Binary {
        true_positives: count(items, |malicious, flagged| malicious && flagged),
        false_positives: count(items, |malicious, flagged| !malicious && flagged),
        false_negatives: count(items, |malicious, flagged| malicious && !flagged),
        true_negatives: count(items, |malicious, flagged| !malicious && !flagged),
    }
}

proptest! {
    #[test]
    fn counting_one_at_a_time_is_counting_all_at_once(packets in packets(), by in 1_u64..12, percent in 0_u64..=100) {
        let score = score(&packets);
        let labelled: Vec<_> = packets.iter().filter_map(|packet| Some((packet.2?, packet.3))).collect();
        prop_assert_eq!(score.packets.binary(), binary(&labelled));
        let flows = flows(&packets);
        let verdict = |verdicts: &[u16]| verdicts.iter().copied().find(|&verdict| verdict != 0).unwrap_or(0);
        let ended: Vec<_> = flows.iter().map(|(label, verdicts)| (*label, verdict(verdicts))).collect();
        let mut matrix = Matrix::default();
        for &(label, verdict) in &ended {
            matrix.add(label, verdict);
        }
        prop_assert_eq!(&score.flows, &matrix);
        prop_assert_eq!(score.flows.binary(), score.flows_by(u64::MAX));
        let early = |verdicts: &[u16]| verdict(&verdicts[..verdicts.len().min(usize::try_from(by).expect("small"))]);
        let early: Vec<_> = flows.iter().map(|(label, verdicts)| (*label, early(verdicts))).collect();
        prop_assert_eq!(score.flows_by(by), binary(&early));

        let mut firsts: Vec<u64> = flows.iter().filter(|(label, _)| *label != 0)
            .filter_map(|(_, verdicts)| Some(verdicts.iter().position(|&verdict| verdict != 0)? as u64 + 1)).collect();
        firsts.sort_unstable();
        let quantile = firsts.iter().enumerate()
            .find(|(rank, _)| (*rank as u64 + 1) * 100 >= percent * firsts.len() as u64)
            .map(|(rank, _)| *firsts[..=rank].last().expect("not empty"));
        prop_assert_eq!(score.malicious().quantile(percent), quantile);
    }

    #[test]
    fn two_halves_merge_to_the_whole(first in packets(), second in packets()) {
        let apart: Vec<_> = second.iter().map(|&(flow, packet, label, verdict)| (flow + 100, packet, label, verdict)).collect();
        let mut merged = score(&first);
        merged.merge(&score(&apart));
        prop_assert_eq!(merged, score(&[first, apart].concat()));
    }

    #[test]
    fn importances_are_shares(
        (model, seen) in model().prop_flat_map(|model| {
            let seen = vec((features_near(&model), any::<bool>()), 0..60);
            (Just(model), seen)
        })
    ) {
        let nodes = model.tree().expect("a tree").nodes().to_vec();
        let model = model;
        let mut visits = Visits::new(&model);
        for (features, is_malicious) in &seen {
            visits.pass(&model, features, *is_malicious);
        }
        prop_assert_eq!(visits.at(0, 0).packets, seen.len() as u64);
        for (index, node) in nodes.iter().enumerate() {
            if let Node::Inner { left, right, .. } = *node {
                let below = visits.at(0, left.into()).packets + visits.at(0, right.into()).packets;
                prop_assert_eq!(visits.at(0, index).packets, below);
            }
        }
        let importances = visits.importances(&model);
        for sum in [importances.iter().map(|one| one.gini).sum::<f64>(), importances.iter().map(|one| one.questions).sum()] {
            prop_assert!(sum.abs() < 1e-9 || (sum - 1.0).abs() < 1e-9, "{sum}");
        }
        prop_assert!(importances.iter().all(|one| one.gini >= 0.0));
    }
}

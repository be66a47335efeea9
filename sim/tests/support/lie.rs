//! Lies about every part of an observation, and what the oracle must call each: the negative control of the oracle.
//!
//! A part without a lie does not compile: [`about!`] takes each type apart without `..`.

use treeline_ebpf::feature::{NAMES, TO_DEVIATION};
use treeline_ebpf::flow::{FIN_ORIGINATOR, FIN_RESPONDER, MIDSTREAM, ORIGINATOR_LOW, RESET};
use treeline_ebpf::{Counter, Flow, Key, Outcome, Skip};
use treeline_sim::engine::{Hook, Observation};

/// What a lie does to an observation.
pub type Change = Box<dyn Fn(&mut Observation) + Send>;

/// A lie, told once.
pub struct Lie {
    /// What it is about, unlike all others.
    pub about: String,
    /// The frame at which it is told.
    pub at: u64,
    pub change: Change,
    /// The differences that the oracle must name, and no others. None: what the oracle cannot compare.
    pub named: Vec<String>,
}

/// A packet of a flow that has seen 1,000 others.
const IN_A_FLOW: u64 = 1000;
/// A frame without IP.
pub const OUTSIDE: u64 = 1100;

/// One lie with what an exact engine and the reference must name.
struct Row {
    about: String,
    at: u64,
    change: Change,
    exact: Vec<&'static str>,
    reference: Vec<&'static str>,
}

/// Rows of lies about the fields of a type.
macro_rules! about {
    ($type:ident of $part:expr; $($field:ident: $($about:literal $change:expr, exact $exact:expr, reference $reference:expr;)+)*) => {{
        let _ = |$type { $($field: _),* }: $type| ();
        let part: fn(&mut Observation) -> &mut $type = $part;
        let mut rows = Vec::new();
        $($(
            let change: fn(&mut $type) = $change;
            rows.push(Row {
                about: concat!(stringify!($type), ".", stringify!($field), $about).to_lowercase(),
                at: IN_A_FLOW,
                change: Box::new(move |observation| change(part(observation))),
                exact: $exact.to_vec(),
                reference: $reference.to_vec(),
            });
        )+)*
        rows
    }};
}

const NOTHING: [&str; 0] = [];

fn flow(observation: &mut Observation) -> &mut Flow {
    observation.flow.as_mut().expect("the packet reached its flow")
}

/// The sums that a count of packets divides.
const DEVIATIONS: [&str; 3] = ["flow.length_deviation_sum", "flow.gap_deviation_sum", "flow.direction_deviation_sum"];

fn about_flow() -> Vec<Row> {
    about! { Flow of flow;
        lock: "" |flow| flow.lock ^= 1, exact ["flow.lock"], reference ["flow.lock"];
        // Its parts have lies of their own.
        key: "" |flow| flow.key = Key::default(), exact ["flow.key"], reference ["flow.key", "originator", "responder", "protocol"];
        flags:
            " originator" |flow| flow.flags ^= ORIGINATOR_LOW, exact ["flow.flags"], reference ["originator", "responder"];
            " fin from originator" |flow| flow.flags ^= FIN_ORIGINATOR, exact ["flow.flags"], reference ["fin from originator"];
            " fin from responder" |flow| flow.flags ^= FIN_RESPONDER, exact ["flow.flags"], reference ["fin from responder"];
            " reset" |flow| flow.flags ^= RESET, exact ["flow.flags"], reference ["reset"];
            " midstream" |flow| flow.flags ^= MIDSTREAM, exact ["flow.flags"], reference ["midstream"];
            " unknown" |flow| flow.flags ^= 1 << 63, exact ["flow.flags"], reference ["flow.flags, others"];
        first_ns: "" |flow| flow.first_ns += 1, exact ["flow.first_ns"], reference ["flow.first_ns"];
        last_ns: "" |flow| flow.last_ns += 1, exact ["flow.last_ns"], reference ["flow.last_ns"];
        packets:
            "" |flow| flow.packets += 1, exact ["flow.packets"],
                reference ["flow.packets", DEVIATIONS[0], DEVIATIONS[1], DEVIATIONS[2]];
            " none" |flow| flow.packets = 0, exact ["flow.packets"],
                reference ["flow.packets", DEVIATIONS[0], DEVIATIONS[1], DEVIATIONS[2]];
        packets_forward: "" |flow| flow.packets_forward += 1, exact ["flow.packets_forward"], reference ["flow.packets_forward"];
        length_sum: "" |flow| flow.length_sum += 1, exact ["flow.length_sum"], reference ["flow.length_sum"];
        // To the reference a lie must be worth a unit of the feature: one for each packet.
        length_deviation_sum:
            "" |flow| flow.length_deviation_sum ^= 1, exact [DEVIATIONS[0]], reference NOTHING;
            " a unit" |flow| flow.length_deviation_sum += flow.packets, exact [DEVIATIONS[0]], reference [DEVIATIONS[0]];
        gap_deviation_sum:
            "" |flow| flow.gap_deviation_sum ^= 1, exact [DEVIATIONS[1]], reference NOTHING;
            " a unit" |flow| flow.gap_deviation_sum += flow.packets, exact [DEVIATIONS[1]], reference [DEVIATIONS[1]];
        direction_deviation_sum:
            "" |flow| flow.direction_deviation_sum ^= 1, exact [DEVIATIONS[2]], reference NOTHING;
            " a unit" |flow| flow.direction_deviation_sum += flow.packets, exact [DEVIATIONS[2]], reference [DEVIATIONS[2]];
        alerted_ns: "" |flow| flow.alerted_ns += 1, exact ["flow.alerted_ns"], reference ["flow.alerted_ns"];
    }
}

/// The low endpoint is the originator.
fn about_key() -> Vec<Row> {
    about! { Key of |observation| &mut flow(observation).key;
        low:
            "" |key| key.low[1] ^= 1, exact ["flow.key"], reference ["originator"];
            " beyond IPv4" |key| key.low[0] ^= 1, exact ["flow.key"], reference ["flow.key"];
        high:
            "" |key| key.high[1] ^= 1, exact ["flow.key"], reference ["responder"];
            " beyond IPv4" |key| key.high[0] ^= 1, exact ["flow.key"], reference ["flow.key"];
        low_port: "" |key| key.low_port ^= 1, exact ["flow.key"], reference ["originator"];
        high_port: "" |key| key.high_port ^= 1, exact ["flow.key"], reference ["responder"];
        protocol: "" |key| key.protocol ^= 1, exact ["flow.key"], reference ["protocol"];
        version:
            "" |key| key.version = 6, exact ["flow.key"], reference ["originator", "responder"];
            " of none" |key| key.version = 5, exact ["flow.key"], reference ["flow.key", "originator", "responder"];
        reserved: "" |key| key.reserved = 1, exact ["flow.key"], reference ["flow.key"];
    }
}

fn about_observation() -> Vec<Row> {
    let mut rows = about! { Observation of |observation| observation;
        outcome:
            " malicious" |seen| seen.outcome = Outcome::Judged(1), exact ["outcome"], reference ["outcome", "benign", "malicious"];
            " another class" |seen| seen.outcome = Outcome::Judged(2), exact ["outcome"], reference ["outcome", "benign", "malicious"];
            " skipped" |seen| seen.outcome = Outcome::Skipped(Skip::NotIp), exact ["outcome"], reference ["outcome", "benign", "not-ip"];
        // The reference knows no hook.
        returned: "" |seen| seen.returned = Hook::Xdp.returned(true), exact ["returned"], reference NOTHING;
        features: "" |seen| seen.features = None, exact ["features"], reference ["has features"];
        flow:
            "" |seen| seen.flow = None, exact ["flow"], reference ["has a flow"];
            " and features" |seen| (seen.flow, seen.features) = (None, None), exact ["features", "flow"],
                reference ["has features", "has a flow"];
        counted: "" |seen| seen.counted[0] += 1, exact ["benign"], reference ["benign"];
    };
    rows.extend(
        about! { Observation of |observation| observation;
            outcome:
                " outside" |seen| seen.outcome = Outcome::Judged(0), exact ["outcome"], reference ["outcome", "benign", "not-ip"];
                " another reason" |seen| seen.outcome = Outcome::Skipped(Skip::Truncated), exact ["outcome"],
                    reference ["outcome", "not-ip", "truncated"];
            returned: " outside" |seen| seen.returned = Hook::Xdp.returned(true), exact ["returned"], reference NOTHING;
            features: " outside" |seen| seen.features = Some([0; 12]), exact ["features"], reference ["has features"];
            flow: " outside" |seen| seen.flow = Some(Flow::EMPTY), exact ["flow"], reference ["has a flow"];
            counted: " outside" |seen| seen.counted[Counter::Opened as usize] += 1, exact ["flows-opened"], reference ["flows-opened"];
        }
        .into_iter()
        .map(|row| Row { at: OUTSIDE, ..row }),
    );
    for counter in Counter::ALL {
        for (at, place) in [(IN_A_FLOW, ""), (OUTSIDE, " outside")] {
            let change: Change = Box::new(move |seen| seen.counted[counter as usize] += 1);
            let (exact, reference) = (vec![counter.name()], vec![counter.name()]);
            rows.push(Row { about: format!("counter {}{place}", counter.name()), at, change, exact, reference });
        }
    }
    rows
}

/// Features one unit off for an exact engine, and beyond its bound for the reference.
fn about_features(units: impl Fn(usize) -> i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, (name, _)) in NAMES.iter().enumerate() {
        for (units, sign) in [(-units(index), "less"), (units(index), "more")] {
            let change: Change = Box::new(move |seen| seen.features.as_mut().expect("the packet reached its flow")[index] += units);
            let mut reference = vec![*name];
            // A sum of deviations is compared with its feature.
            reference.extend(index.checked_sub(treeline_ebpf::feature::LENGTH + TO_DEVIATION).map(|place| DEVIATIONS[place]));
            rows.push(Row { about: format!("{name} {sign}"), at: IN_A_FLOW, change, exact: vec![*name], reference });
        }
    }
    rows
}

fn rows(features: Vec<Row>) -> impl Iterator<Item = Row> {
    [about_flow(), about_key(), about_observation(), features].into_iter().flatten()
}

fn lie(row: Row, named: impl Fn(&Row) -> &[&'static str]) -> Lie {
    let named = named(&row).iter().map(|&name| name.to_owned()).collect();
    Lie { about: row.about.replace(' ', "_"), at: row.at, change: row.change, named }
}

/// Lies of one of two exact engines.
pub fn to_an_exact_engine() -> Vec<Lie> {
    rows(about_features(|_| 1)).map(|row| lie(row, |row| &row.exact)).collect()
}

/// Lies of the one exact engine. Whole numbers are exact; a mean may be off by less than one unit, a deviation by less than two.
pub fn to_the_reference() -> Vec<Lie> {
    rows(about_features(|index| [1, 1, 2, 3][index / 3])).map(|row| lie(row, |row| &row.reference)).collect()
}

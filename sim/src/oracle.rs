//! Observations -> agreement, or the first divergence.
//!
//! What it verifies, after each packet: between exact engines everything in an [`Observation`] (outcome, return code, all twelve features,
//! the flow's whole state, every counter's step); between an exact engine and the reference the outcome (a class may differ
//! only where the reference says a threshold lies within a feature's bound), each feature within its bound, the flow's endpoints, times,
//! packet counts, flags and sums, and every counter's step. What it does not: frames that an engine cannot take, which the replay counts;
//! against the reference, which knows no hook, the return code and whether a malicious packet is dropped.
//!
//! Nothing new goes unseen: both comparisons take observation and flow apart field by field, without `..`, so that a new field does not
//! compile until it is compared, and two observations that are not equal and show no difference are a panic.

use std::fmt;

use treeline_ebpf::flow::{FIN_ORIGINATOR, FIN_RESPONDER, MIDSTREAM, ORIGINATOR_LOW, RESET};
use treeline_ebpf::{Counter, Counters, FEATURES, Flow, Outcome, feature};

use crate::conversation::Conversation;
use crate::engine::Observation;
use crate::reference;
use crate::reference::{End, Events, Judgement};
use treeline_lab::Frame;
use treeline_lab::lab::Difference;

/// A packet on which two engines differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Names of the two engines.
    pub engines: [&'static str; 2],
    /// The packet.
    pub frame: Frame,
    /// All differences, at least one.
    pub differences: Vec<Difference>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { index, time_ns, original_length, bytes } = &self.frame;
        let [first, second] = self.engines;
        writeln!(f, "{first} and {second} differ at frame {index} (time {time_ns} ns, {original_length} bytes on the wire)")?;
        let width = self.differences.iter().map(|difference| difference.what.len()).max().unwrap_or(0);
        for difference in &self.differences {
            writeln!(f, "  {:width$}  {first}: {}  {second}: {}", difference.what, difference.first, difference.second)?;
        }
        write!(f, "  bytes")?;
        for (position, byte) in bytes.iter().enumerate() {
            write!(f, "{}{byte:02x}", if position % 32 == 0 { "\n    " } else { " " })?;
        }
        Ok(())
    }
}

/// Collects differences; values are rendered only when they differ.
#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn check<T: PartialEq + fmt::Debug>(&mut self, what: &str, first: &T, second: &T) {
        if first != second {
            self.0.push(Difference { what: what.to_owned(), first: format!("{first:?}"), second: format!("{second:?}") });
        }
    }
}

/// Compares the fields of two values of one type by name. It lists them all: a field that is not named does not compile.
macro_rules! check_fields {
    ($differences:ident, $first:expr, $second:expr, $type:ident { $($field:ident: $what:literal,)* }) => {
        let $type { $($field),* } = $first;
        $($differences.check($what, $field, &$second.$field);)*
    };
}

/// All differences between two exact engines; empty if they agree.
///
/// Panics if two observations differ in something that is not compared.
#[must_use]
pub fn compare(first: &Observation, second: &Observation) -> Vec<Difference> {
    if first == second {
        return Vec::new();
    }
    let mut differences = Differences::default();
    let Observation { outcome, returned, features, flow, counted } = first;
    differences.check("outcome", outcome, &second.outcome);
    differences.check("returned", returned, &second.returned);
    if let (Some(one), Some(two)) = (features, &second.features) {
        for ((name, _), (one, two)) in feature::NAMES.iter().zip(one.iter().zip(two)) {
            differences.check(name, one, two);
        }
    } else {
        differences.check("features", features, &second.features);
    }
    if let (Some(one), Some(two)) = (flow, &second.flow) {
        compare_flows(&mut differences, one, two);
    } else {
        differences.check("flow", flow, &second.flow);
    }
    for counter in Counter::ALL {
        differences.check(counter.name(), &counted[counter as usize], &second.counted[counter as usize]);
    }
    assert!(!differences.0.is_empty(), "a difference that is not compared: {first:?} and {second:?}");
    differences.0
}

fn compare_flows(differences: &mut Differences, first: &Flow, second: &Flow) {
    check_fields!(
        differences,
        first,
        second,
        Flow {
            lock: "flow.lock",
            key: "flow.key",
            flags: "flow.flags",
            first_ns: "flow.first_ns",
            last_ns: "flow.last_ns",
            packets: "flow.packets",
            packets_forward: "flow.packets_forward",
            length_sum: "flow.length_sum",
            length_deviation_sum: "flow.length_deviation_sum",
            gap_deviation_sum: "flow.gap_deviation_sum",
            direction_deviation_sum: "flow.direction_deviation_sum",
            alerted_ns: "flow.alerted_ns",
        }
    );
}

/// All differences between an exact engine and the reference; empty if they agree within the bounds.
#[must_use]
pub fn compare_reference(exact: &Observation, real: &Judgement) -> Vec<Difference> {
    let mut differences = Differences::default();
    // The return code is the hook's, which the reference does not know.
    let Observation { outcome, returned: _, features, flow, counted } = exact;
    let Judgement { outcome: real_outcome, dropped, ambiguous, observation: observed } = real;
    let both_judged = matches!((outcome, real_outcome), (Outcome::Judged(_), Outcome::Judged(_)));
    if !(both_judged && *ambiguous) {
        differences.check("outcome", outcome, real_outcome);
    }
    differences.check("has features", &features.is_some(), &observed.is_some());
    differences.check("has a flow", &flow.is_some(), &observed.is_some());
    if let (Some(features), Some(flow), Some(observed)) = (features, flow, observed) {
        reference_features(&mut differences, features, &observed.features);
        reference_flow(&mut differences, features, flow, &observed.flow);
    }
    reference_counters(&mut differences, *outcome, counted, observed.as_ref().map(|observed| observed.events));
    // A hook that only sees copies drops nothing; where the class is open, so is this.
    let (drops, drops_max) = (counted[Counter::Dropped as usize], u64::from(*dropped || *ambiguous));
    differences.check(Counter::Dropped.name(), &drops, &drops.min(drops_max));
    differences.0
}

fn reference_features(differences: &mut Differences, exact: &[i64; FEATURES], real: &[reference::Feature; FEATURES]) {
    for ((name, _), (exact, real)) in feature::NAMES.iter().zip(exact.iter().zip(real)) {
        if !real.admits(*exact) {
            let (below, above) = real.bounds();
            differences.0.push(Difference {
                what: (*name).to_owned(),
                first: format!("{exact} / 65536"),
                second: format!("{} (fixed point may be {below} / 65536 below and {above} / 65536 above)", real.value()),
            });
        }
    }
}

fn reference_flow(differences: &mut Differences, features: &[i64; FEATURES], exact: &Flow, real: &reference::Flow) {
    let Flow {
        lock,
        key,
        flags,
        first_ns,
        last_ns,
        packets,
        packets_forward,
        length_sum,
        length_deviation_sum,
        gap_deviation_sum,
        direction_deviation_sum,
        alerted_ns,
    } = exact;
    let reference::Flow {
        originator,
        responder,
        protocol,
        first_ns: real_first_ns,
        last_ns: real_last_ns,
        packets: real_packets,
        packets_forward: real_packets_forward,
        fin_originator,
        fin_responder,
        reset,
        midstream,
        length,
        // Their sums are the flow's age and its packets forward; their deviations, features.
        gap: _,
        direction: _,
    } = real;
    differences.check("flow.lock", lock, &0);
    let conversation = Conversation::of(exact);
    differences.check("flow.key", key, &conversation.key());
    differences.check("originator", &conversation.originator, &(originator.address, originator.port));
    differences.check("responder", &conversation.responder, &(responder.address, responder.port));
    differences.check("protocol", &conversation.protocol, protocol);
    differences.check("fin from originator", &(flags & FIN_ORIGINATOR != 0), fin_originator);
    differences.check("fin from responder", &(flags & FIN_RESPONDER != 0), fin_responder);
    differences.check("reset", &(flags & RESET != 0), reset);
    differences.check("midstream", &exact.is_midstream(), midstream);
    let others = flags & !(ORIGINATOR_LOW | FIN_ORIGINATOR | FIN_RESPONDER | RESET | MIDSTREAM);
    differences.check("flow.flags, others", &others, &0);
    differences.check("flow.first_ns", first_ns, real_first_ns);
    differences.check("flow.last_ns", last_ns, real_last_ns);
    differences.check("flow.packets", packets, real_packets);
    differences.check("flow.packets_forward", packets_forward, real_packets_forward);
    differences.check("flow.length_sum", length_sum, &length.sum);
    // A sum of deviations gives the feature that was compared within its bound.
    let deviations = [
        ("flow.length_deviation_sum", length_deviation_sum, feature::LENGTH),
        ("flow.gap_deviation_sum", gap_deviation_sum, feature::GAP),
        ("flow.direction_deviation_sum", direction_deviation_sum, feature::DIRECTION),
    ];
    for (what, sum, base) in deviations {
        let given = sum.checked_div(*packets).map(i128::from);
        differences.check(what, &given, &Some(i128::from(features[base + feature::TO_DEVIATION])));
    }
    // Nobody is alerted in a replay.
    differences.check("flow.alerted_ns", alerted_ns, &0);
}

/// Each counter but [`Counter::Dropped`]: the outcome's moved by one, and those of what happened to flows.
fn reference_counters(differences: &mut Differences, outcome: Outcome, counted: &Counters, events: Option<Events>) {
    let Events { opened, ended, clock_back } = events.unwrap_or(Events { opened: false, ended: None, clock_back: false });
    for counter in Counter::ALL {
        let is_due = match counter {
            Counter::Dropped => continue,
            Counter::Opened => opened,
            Counter::EndedIdle => ended == Some(End::Idle),
            Counter::EndedActive => ended == Some(End::Active),
            Counter::EndedLimit => ended == Some(End::Limit),
            Counter::EndedClosed => ended == Some(End::Closed),
            Counter::ClockBack => clock_back,
            // An engine without limits loses no flow.
            Counter::Evicted => false,
            Counter::Benign
            | Counter::Malicious
            | Counter::NotIp
            | Counter::Truncated
            | Counter::Malformed
            | Counter::LaterFragment
            | Counter::HeaderChain
            | Counter::Allowed
            | Counter::TableFull
            | Counter::Contended
            | Counter::Undecided => outcome.counter() == counter,
        };
        differences.check(counter.name(), &counted[counter as usize], &u64::from(is_due));
    }
}

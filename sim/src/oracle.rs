//! Observations -> agreement, or the first divergence.
//!
//! What it verifies, after each packet: between exact engines everything in an [`Observation`] (outcome, return code, all twelve features,
//! the flow's whole state, every counter's step); between an exact engine and the reference the outcome (a class may differ
//! only where the reference says a threshold lies within a feature's bound), each feature within its bound, and the flow's endpoints,
//! times, packet counts and flags. What it does not: frames that an engine cannot take, which the replay counts.

use std::fmt;

use treeline_ebpf::flow::{FIN_ORIGINATOR, FIN_RESPONDER, RESET};
use treeline_ebpf::{Counter, Flow, Outcome, feature};

use crate::conversation::Conversation;
use crate::engine::Observation;
use crate::reference::{End, Judgement};
use crate::{Frame, reference};

/// One thing on which two engines differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: `outcome`, a feature's name, a field of the flow, a counter.
    pub what: String,
    /// The first engine's value.
    pub first: String,
    /// The second's.
    pub second: String,
}

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

/// All differences between two exact engines; empty if they agree.
#[must_use]
pub fn compare(first: &Observation, second: &Observation) -> Vec<Difference> {
    if first == second {
        return Vec::new();
    }
    let mut differences = Differences::default();
    differences.check("outcome", &first.outcome, &second.outcome);
    differences.check("returned", &first.returned, &second.returned);
    if let (Some(one), Some(two)) = (&first.features, &second.features) {
        for ((name, _), (one, two)) in feature::NAMES.iter().zip(one.iter().zip(two)) {
            differences.check(name, one, two);
        }
    } else {
        differences.check("features", &first.features, &second.features);
    }
    if let (Some(one), Some(two)) = (&first.flow, &second.flow) {
        flow(&mut differences, one, two);
    } else {
        differences.check("flow", &first.flow, &second.flow);
    }
    for counter in Counter::ALL {
        differences.check(counter.name(), &first.counted[counter as usize], &second.counted[counter as usize]);
    }
    differences.0
}

fn flow(differences: &mut Differences, first: &Flow, second: &Flow) {
    differences.check("flow.lock", &first.lock, &second.lock);
    differences.check("flow.key", &first.key, &second.key);
    differences.check("flow.flags", &first.flags, &second.flags);
    differences.check("flow.first_ns", &first.first_ns, &second.first_ns);
    differences.check("flow.last_ns", &first.last_ns, &second.last_ns);
    differences.check("flow.packets", &first.packets, &second.packets);
    differences.check("flow.packets_forward", &first.packets_forward, &second.packets_forward);
    differences.check("flow.length_sum", &first.length_sum, &second.length_sum);
    differences.check("flow.length_deviation_sum", &first.length_deviation_sum, &second.length_deviation_sum);
    differences.check("flow.gap_deviation_sum", &first.gap_deviation_sum, &second.gap_deviation_sum);
    differences.check("flow.direction_deviation_sum", &first.direction_deviation_sum, &second.direction_deviation_sum);
    differences.check("flow.alerted_ns", &first.alerted_ns, &second.alerted_ns);
}

/// All differences between an exact engine and the reference; empty if they agree within the bounds.
#[must_use]
pub fn compare_reference(exact: &Observation, real: &Judgement) -> Vec<Difference> {
    let mut differences = Differences::default();
    let both_judged = matches!((exact.outcome, real.outcome), (Outcome::Judged(_), Outcome::Judged(_)));
    if !(both_judged && real.ambiguous) {
        differences.check("outcome", &exact.outcome, &real.outcome);
    }
    match (&exact.features, &exact.flow, &real.observation) {
        (Some(features), Some(flow), Some(observed)) => {
            for (index, (name, _)) in feature::NAMES.iter().enumerate() {
                if !observed.features[index].admits(features[index]) {
                    let (below, above) = observed.features[index].bounds();
                    differences.0.push(Difference {
                        what: (*name).to_owned(),
                        first: format!("{} / 65536", features[index]),
                        second: format!(
                            "{} (fixed point may be {below} / 65536 below and {above} / 65536 above)",
                            observed.features[index].value()
                        ),
                    });
                }
            }
            reference_flow(&mut differences, flow, &observed.flow);
            let step = |counter: Counter| exact.counted[counter as usize];
            let ended = [
                (Counter::EndedIdle, End::Idle),
                (Counter::EndedActive, End::Active),
                (Counter::EndedLimit, End::Limit),
                (Counter::EndedClosed, End::Closed),
            ];
            for (counter, end) in ended {
                differences.check(counter.name(), &step(counter), &u64::from(observed.events.ended == Some(end)));
            }
            differences.check("flows-opened", &step(Counter::Opened), &u64::from(observed.events.opened));
            differences.check("clock-back", &step(Counter::ClockBack), &u64::from(observed.events.clock_back));
        }
        (None, None, None) => {}
        (features, _, observed) => differences.check("reached a flow", &features.is_some(), &observed.is_some()),
    }
    differences.0
}

fn reference_flow(differences: &mut Differences, exact: &Flow, real: &reference::Flow) {
    let conversation = Conversation::of(exact);
    differences.check("originator", &conversation.originator, &(real.originator.address, real.originator.port));
    differences.check("responder", &conversation.responder, &(real.responder.address, real.responder.port));
    differences.check("protocol", &conversation.protocol, &real.protocol);
    differences.check("flow.first_ns", &exact.first_ns, &real.first_ns);
    differences.check("flow.last_ns", &exact.last_ns, &real.last_ns);
    differences.check("flow.packets", &exact.packets, &real.packets);
    differences.check("flow.packets_forward", &exact.packets_forward, &real.packets_forward);
    differences.check("fin from originator", &(exact.flags & FIN_ORIGINATOR != 0), &real.fin_originator);
    differences.check("fin from responder", &(exact.flags & FIN_RESPONDER != 0), &real.fin_responder);
    differences.check("reset", &(exact.flags & RESET != 0), &real.reset);
    differences.check("midstream", &exact.is_midstream(), &real.midstream);
}

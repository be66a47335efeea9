//! An explanation for people.

use std::fmt::Write;

use comfy_table::Table;
use treeline_ebpf::Outcome;
use treeline_ebpf::feature::{DIRECTION, NAMES};
use treeline_sim::conversation::Conversation;
use treeline_sim::reference::Judgement;

use super::{Explanation, real, vote};
use crate::figure::{decimal, plain};
use crate::report::{class, endpoint, headed, number, protocol_name};

/// The report.
pub fn text(explanation: &Explanation<'_>) -> String {
    let frame = &explanation.frame;
    let mut text = format!("{}, frame {}\n", explanation.options.capture.display(), frame.index);
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<11}{value}");
    };
    line("time", format!("{}.{:09} s", frame.time_ns / 1_000_000_000, frame.time_ns % 1_000_000_000));
    line("length", format!("{} bytes on the wire, {} captured", frame.original_length, frame.bytes.len()));
    if let (Some(flow), Some((packet, values))) = (explanation.observation.flow, explanation.reached()) {
        let Conversation { originator, responder, protocol } = Conversation::of(&flow);
        line("originator", endpoint(originator, protocol));
        line("responder", endpoint(responder, protocol));
        line("protocol", protocol_name(protocol));
        let from = if values[DIRECTION] == 0 { "responder" } else { "originator" };
        line("packet", format!("number {} of its flow, from the {from}", number(packet)));
    }
    line("verdict", verdict(explanation));
    line("reference", reference(explanation));
    if let Some((_, values)) = explanation.reached() {
        let _ = write!(text, "\n{}\n", features(&values, explanation.judgement.as_ref()));
    }
    if let Some((splits, leaf)) = explanation.path() {
        let mut table = headed(["node", "feature", "value", "threshold", "fixed value", "fixed threshold", "way"], 2..6);
        for split in splits {
            let way = if split.goes_left { "<=, left" } else { ">, right" };
            table.add_row([
                split.node.to_string(),
                NAMES[split.feature].0.to_owned(),
                decimal(real(split.value)),
                decimal(real(split.threshold)),
                split.value.to_string(),
                split.threshold.to_string(),
                format!("{way} to {}", split.child),
            ]);
        }
        let _ = write!(text, "\n{table}\n {leaf}: a leaf\n");
    }
    if let Some((vote, votes)) = explanation.votes() {
        text.push_str(&vote::text(explanation.model, vote, &votes));
    }
    text
}

fn verdict(explanation: &Explanation<'_>) -> String {
    match explanation.observation.outcome {
        Outcome::Judged(_) if explanation.passes() => {
            let midstream = explanation.observation.flow.is_some_and(|flow| flow.is_midstream());
            match explanation.model.precondition().packets_min() {
                _ if midstream && explanation.model.precondition().midstream_passes() => {
                    "benign: the connection is older than its flow, and the model passes what is midstream".to_owned()
                }
                packets_min => format!("benign: the model is asked from packet {packets_min} of a flow on"),
            }
        }
        Outcome::Judged(judged) => plain(class(explanation.model.classes(), judged)),
        Outcome::Skipped(skip) => format!("none: {} (docs/classifier.md, rules 1 to 4)", skip.name()),
    }
}

fn reference(explanation: &Explanation<'_>) -> String {
    let Some(judgement) = &explanation.judgement else {
        return "left out: more flows than --flows, and it evicts none".to_owned();
    };
    let same = if judgement.outcome == explanation.observation.outcome { "the same" } else { "another" };
    let what = match judgement.outcome {
        Outcome::Judged(judged) => plain(class(explanation.model.classes(), judged)),
        Outcome::Skipped(skip) => format!("none: {}", skip.name()),
    };
    let note = if judgement.ambiguous { "; a threshold on its path lies within the bound of the feature" } else { "" };
    format!("{same}: {what}{note}")
}

/// Fixed point and real numbers side by side.
fn features(values: &[i64], judgement: Option<&Judgement>) -> Table {
    let mut table = headed(["feature, unit", "fixed", "number", "reference", "bound, 2^-16", "kept"], 1..5);
    let real_features = judgement.and_then(|judgement| judgement.observation.as_ref()).map(|observed| observed.features);
    for (index, ((name, unit), &fixed)) in NAMES.iter().zip(values).enumerate() {
        // What a share counts is said by its name, and by a unit that a column has no room for.
        let label = if unit.contains(' ') { (*name).to_owned() } else { format!("{name}, {unit}") };
        let mut row = vec![label, fixed.to_string(), decimal(real(fixed))];
        match real_features.map(|features| features[index]) {
            Some(feature) => {
                let (below, above) = feature.bounds();
                let kept = if feature.admits(fixed) { "yes" } else { "NO" };
                row.extend([decimal(feature.value()), bound(below, above), kept.to_owned()]);
            }
            None => row.extend(["-", "-", "-"].map(str::to_owned)),
        }
        table.add_row(row);
    }
    table
}

/// How far below and above, rounded up, but for what f64 alone loses.
fn bound(below: f64, above: f64) -> String {
    const LOST: f64 = 1e-6;
    let side = |sign: char, side: f64| {
        if side > LOST { format!("{sign}{:.2}", ((side - LOST) * 100.0).ceil() / 100.0) } else { "0".to_owned() }
    };
    if below <= LOST && above <= LOST { "exact".to_owned() } else { format!("{} {}", side('-', below), side('+', above)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_of_nothing_is_exact_and_none_is_understated() {
        let sides = [(0.0, 0.0), (2.0 / 3.0, 6e-11), (0.001, 0.5), (-0.0, 1.0 + 6e-11)];
        assert_eq!(sides.map(|(below, above)| bound(below, above)), ["exact", "-0.67 0", "-0.01 +0.50", "0 +1.00"]);
    }
}

//! An explanation for machines.

use serde_json::{Value, json};
use treeline_ebpf::Outcome;
use treeline_ebpf::feature::NAMES;
use treeline_sim::conversation::Conversation;

use super::{Explanation, real, vote};
use crate::read;
use crate::report::class;

/// The document. What the packet did not reach is null.
pub fn json(explanation: &Explanation<'_>) -> Value {
    let Explanation { options, model, frame, observation, .. } = explanation;
    let named = |outcome| verdict(outcome, model.classes());
    let flow = observation.flow.map(|flow| {
        let Conversation { originator, responder, protocol } = Conversation::of(&flow);
        json!({
            "originator": { "address": originator.0, "port": originator.1 },
            "responder": { "address": responder.0, "port": responder.1 },
            "protocol": protocol,
            "first_ns": flow.first_ns,
            "packet": flow.packets,
            "midstream": flow.is_midstream(),
        })
    });
    let path = explanation.path().map(|(splits, leaf)| {
        let splits = splits.iter().map(|split| {
            json!({
                "node": split.node,
                "feature": NAMES[split.feature].0,
                "unit": NAMES[split.feature].1,
                "value": real(split.value),
                "threshold": real(split.threshold),
                "value_fixed": split.value,
                "threshold_fixed": split.threshold,
                "way": if split.goes_left { "left" } else { "right" },
            })
        });
        json!({ "splits": splits.collect::<Vec<_>>(), "leaf": leaf })
    });
    json!({
        "model": read::model_path(options.model.as_deref()).display().to_string(),
        "capture": options.capture.display().to_string(),
        "index": frame.index,
        "time_ns": frame.time_ns,
        "flow": flow,
        "verdict": named(observation.outcome),
        "skip": skip(observation.outcome),
        "passes": explanation.passes(),
        "features": features(explanation),
        "path": path,
        "vote": explanation.votes().map(|(vote, votes)| vote::json(model, vote, &votes)),
        "reference": explanation.judgement.as_ref().map(|judgement| json!({
            "verdict": named(judgement.outcome),
            "skip": skip(judgement.outcome),
            "same": judgement.outcome == observation.outcome,
            "ambiguous": judgement.ambiguous,
        })),
    })
}

fn verdict(outcome: Outcome, classes: &[String]) -> Option<&str> {
    match outcome {
        Outcome::Judged(judged) => Some(class(classes, judged)),
        Outcome::Skipped(_) => None,
    }
}

fn skip(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Judged(_) => None,
        Outcome::Skipped(skip) => Some(skip.name()),
    }
}

fn features(explanation: &Explanation<'_>) -> Option<Vec<Value>> {
    let (_, values) = explanation.reached()?;
    let observed = explanation.judgement.as_ref().and_then(|judgement| judgement.observation.as_ref());
    let feature = |(index, fixed): (usize, i64)| {
        let (name, unit) = NAMES[index];
        let reference = observed.map(|observed| {
            let feature = observed.features[index];
            let (below, above) = feature.bounds();
            json!({ "value": feature.value(), "units_below_max": below, "units_above_max": above, "within": feature.admits(fixed) })
        });
        json!({ "feature": name, "unit": unit, "fixed": fixed, "value": real(fixed), "reference": reference })
    };
    Some(values.into_iter().enumerate().map(feature).collect())
}

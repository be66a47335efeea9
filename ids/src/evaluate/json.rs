//! An evaluation as one JSON document. A ratio of nothing is null.

use serde_json::{Map, Value, json};
use treeline_data::evaluate::{Binary, Detection, Matrix, PACKETS, Score};
use treeline_lab::cause::explain;
use treeline_model::{Node, depth, leaves};

use crate::page::subject::{Class, Subject};
use crate::report::{link_types, skipped_json};

/// The document.
pub fn json(subject: &Subject<'_>) -> Value {
    let total = &subject.evaluation.total;
    let captures = subject.evaluation.captures.iter().map(|capture| {
        let mut value = score(subject, &capture.score);
        value.insert("warnings".to_owned(), json!(capture.warnings));
        value.insert("damage".to_owned(), json!(capture.damage.as_ref().map(|damage| explain(damage))));
        value.shift_insert(0, "capture".to_owned(), json!(capture.path.display().to_string()));
        Value::Object(value)
    });
    let importances = subject
        .importances()
        .into_iter()
        .map(|(name, gini, questions)| json!({ "feature": name, "importance": gini, "questions": questions }));
    let mut value = Map::new();
    value.insert("model".to_owned(), json!(subject.model_path.display().to_string()));
    value.insert("classes".to_owned(), json!(subject.model.classes()));
    value.insert("packets_min".to_owned(), json!(subject.model.precondition().packets_min()));
    value.insert("midstream_passes".to_owned(), json!(subject.model.precondition().midstream_passes()));
    value.insert("trees".to_owned(), subject.model.trees().map(tree).collect());
    value.insert("labels".to_owned(), json!(subject.labels));
    value.insert("labels_unmatched".to_owned(), json!(subject.report.map(|report| report.rows - report.matched)));
    value.extend(score(subject, total));
    value.insert("by_class".to_owned(), subject.classes().iter().map(class).collect());
    value.insert("by_capture".to_owned(), captures.collect());
    value.insert("features".to_owned(), importances.collect());
    Value::Object(value)
}

fn tree(nodes: &[Node]) -> Value {
    json!({ "leaves": leaves(nodes), "depth": depth(nodes) })
}

fn score(subject: &Subject<'_>, score: &Score) -> Map<String, Value> {
    let by_packet = PACKETS.iter().map(|&packet| {
        let mut value = binary(&score.flows_by(packet));
        value.shift_insert(0, "packet".to_owned(), json!(packet));
        Value::Object(value)
    });
    let mut flows = counted(subject, &score.flows, score.flows_unlabelled);
    flows.insert("by_packet".to_owned(), by_packet.collect());
    flows.insert("packets_to_detection".to_owned(), detection(&score.malicious()));
    let mut value = Map::new();
    value.insert("frames".to_owned(), json!(score.frames()));
    value.insert("skipped".to_owned(), skipped_json(score.skipped, &score.unsupported));
    value.insert("unsupported_link_types".to_owned(), link_types(&score.unsupported));
    value.insert("packets".to_owned(), Value::Object(counted(subject, &score.packets, score.packets_unlabelled)));
    value.insert("flows".to_owned(), Value::Object(flows));
    value
}

fn counted(subject: &Subject<'_>, matrix: &Matrix, unlabelled: u64) -> Map<String, Value> {
    let mut value = binary(&matrix.binary());
    value.shift_insert(0, "labelled".to_owned(), json!(matrix.total()));
    value.shift_insert(1, "unlabelled".to_owned(), json!(unlabelled));
    value.insert("accuracy_named".to_owned(), json!(subject.accuracy_named(matrix)));
    let name = |verdict: u16| subject.model.classes().get(usize::from(verdict)).cloned().unwrap_or_default();
    let rows = matrix.labels().into_iter().map(|label| {
        let cells: Map<_, _> = matrix.row(label).map(|(verdict, count)| (name(verdict), json!(count))).collect();
        (subject.label(label).to_owned(), Value::Object(cells))
    });
    value.insert("confusion".to_owned(), Value::Object(rows.collect()));
    value
}

fn binary(binary: &Binary) -> Map<String, Value> {
    let value = json!({
        "true_positives": binary.true_positives,
        "false_positives": binary.false_positives,
        "false_negatives": binary.false_negatives,
        "true_negatives": binary.true_negatives,
        "accuracy": binary.accuracy(),
        "precision": binary.precision(),
        "recall": binary.recall(),
        "f1": binary.f1(),
        "false_positive_rate": binary.false_positive_rate(),
    });
    let Value::Object(map) = value else { unreachable!("an object was written") };
    map
}

/// Quantiles of the packets to a detection.
fn detection(detection: &Detection) -> Value {
    let [p25, p50, p75, p90, p99, max] = [25, 50, 75, 90, 99, 100].map(|percent| detection.quantile(percent));
    json!({ "p25": p25, "median": p50, "p75": p75, "p90": p90, "p99": p99, "max": max })
}

fn class(class: &Class<'_>) -> Value {
    let by_packet =
        PACKETS.iter().map(|&packet| json!({ "packet": packet, "flows": class.flows.found_by(packet), "share": class.found_by(packet) }));
    let named = |index: usize| {
        class.named.map(|named| json!({ "precision": named[index].precision(), "recall": named[index].recall(), "f1": named[index].f1() }))
    };
    json!({
        "class": class.name,
        "packets": class.packets,
        "packets_flagged": class.packets_flagged,
        "packets_flagged_share": class.flagged(),
        "packets_named": named(0),
        "flows": class.flows.flows(),
        "flows_found": class.flows.found_by(u64::MAX),
        "flows_found_share": class.found_by(u64::MAX),
        "flows_found_by_packet": by_packet.collect::<Vec<_>>(),
        "flows_named": named(1),
        "packets_to_detection": detection(&class.flows),
    })
}

//! The page's sections but for the tree: figures, matrices, tables, and what frames the charts.

use std::fmt::Write;

use treeline_data::evaluate::matrix::ratio;
use treeline_data::evaluate::{BENIGN, Binary, Matrix, PACKETS};
use treeline_model::{Rule, depth};

use super::chart;
use super::markup::{Cell, clip, escape, heads, table};
use super::subject::Subject;
use crate::figure::{NONE, percent};
use crate::report::{number, skipped};

const RATIOS: [&str; 5] = ["accuracy", "precision", "recall", "F1", "false-positive rate"];
/// A model may have more classes than a page can show as columns; the rest of a row is summed up.
const VERDICTS_MAX: usize = 40;

/// What was evaluated, and what was left out.
pub fn head(subject: &Subject<'_>, title: &str) -> String {
    let (model, total) = (subject.model, &subject.evaluation.total);
    let damaged = subject.evaluation.captures.iter().filter(|capture| capture.damage.is_some()).count();
    let depth = model.trees().map(depth).max().unwrap_or_default();
    let mut facts = vec![
        ("model", format!("{} classes, {}, depth {depth}", model.classes().len(), subject.size())),
        ("description", model.description().to_owned()),
        ("labels", subject.labels.to_owned()),
        ("evaluated", format!("{} packets in {} flows", number(total.packets.total()), number(total.flows.total()))),
        ("without a label", format!("{} packets in {} flows, left out", number(total.packets_unlabelled), number(total.flows_unlabelled))),
        ("skipped", skipped(total.skipped, &total.unsupported)),
    ];
    if model.precondition().packets_min() > 1 {
        facts.push(("first verdict", format!("at packet {} of a flow", model.precondition().packets_min())));
    }
    if model.precondition().midstream_passes() {
        facts.push(("midstream", "connections older than their flows pass".to_owned()));
    }
    if damaged > 0 {
        facts.push(("damaged captures", format!("{damaged}, evaluated up to the damage")));
    }
    let mut head = format!("<header><h1>{title}</h1>\n<dl class=\"facts\">\n");
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(head, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    head.push_str("</dl></header>\n<main>\n");
    head
}

/// Four figures in large, all of them in a table.
pub fn summary(subject: &Subject<'_>) -> String {
    let total = &subject.evaluation.total;
    let (flows, malicious) = (total.flows.binary(), total.malicious());
    let big = [
        ("malicious flows found", percent(flows.recall())),
        ("benign flows flagged", percent(flows.false_positive_rate())),
        ("packets until found, median", malicious.quantile(50).map_or_else(|| NONE.to_owned(), number)),
        ("packets classified correctly", percent(total.packets.binary().accuracy())),
    ];
    let mut section = "<section><h2>Summary</h2>\n<dl class=\"big\">\n".to_owned();
    for (name, value) in big {
        let _ = writeln!(section, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    section.push_str("</dl>\n");
    let rows = [("packets", &total.packets), ("flows", &total.flows)].map(|(what, matrix)| {
        let mut row = vec![Cell::text(what), Cell::text(&number(matrix.total()))];
        row.extend(ratios(&matrix.binary()));
        row.extend(subject.accuracy_named(matrix).map(|share| Cell::text(&percent(Some(share)))));
        row
    });
    let named = subject.accuracy_named(&total.packets).map(|_| "right by name");
    let head: Vec<_> = ["", "number"].into_iter().chain(RATIOS).chain(named).map(str::to_owned).collect();
    section.push_str(&table("Malicious against benign", &head, rows));
    section.push_str("</section>\n");
    section
}

fn ratios(binary: &Binary) -> impl Iterator<Item = Cell> {
    let ratios = [binary.accuracy(), binary.precision(), binary.recall(), binary.f1(), binary.false_positive_rate()];
    ratios.into_iter().map(|ratio| Cell::text(&percent(ratio)))
}

/// Both matrices, shaded by the share of their row.
pub fn confusion(subject: &Subject<'_>) -> String {
    let total = &subject.evaluation.total;
    let tables = [("Flows", &total.flows), ("Packets", &total.packets)].map(|(what, matrix)| matrix_table(subject, what, matrix));
    format!(
        "<section><h2>Confusion matrix</h2>\n<p>Rows are labels, columns are verdicts; the stronger a cell's shade, the more of its row it holds.</p>\n\
         <div class=\"pair\">{}</div></section>\n",
        tables.concat()
    )
}

fn matrix_table(subject: &Subject<'_>, what: &str, matrix: &Matrix) -> String {
    let classes = subject.model.classes();
    let shown = classes.len().min(VERDICTS_MAX);
    let mut head = vec![format!("{what} labelled")];
    head.extend(classes.iter().take(shown).map(|class| clip(class, 24)));
    if shown < classes.len() {
        head.push("other verdicts".to_owned());
    }
    let rows = matrix.labels().into_iter().map(|label| {
        let all = matrix.labelled(label);
        let mut counts: Vec<_> = (BENIGN..).take(shown).map(|verdict| matrix.count(label, verdict)).collect();
        if shown < classes.len() {
            counts.push(all - counts.iter().sum::<u64>());
        }
        let cell = |count| Cell::text(&number(count)).shaded(ratio(count, all));
        [Cell::text(subject.label(label))].into_iter().chain(counts.into_iter().map(cell)).collect()
    });
    table(&format!("Verdicts on {}", what.to_lowercase()), &head, rows)
}

/// When flows are found: the chart, and what the figures would be with the first packets alone.
pub fn detection(subject: &Subject<'_>) -> String {
    let total = &subject.evaluation.total;
    let rows = PACKETS.map(|packet| (packet.to_string(), total.flows_by(packet))).into_iter();
    let rows = rows.chain([("the last".to_owned(), total.flows.binary())]);
    let rows = rows.map(|(packet, binary)| [Cell::text(&packet)].into_iter().chain(ratios(&binary)).collect());
    let head: Vec<_> = ["by packet"].into_iter().chain(RATIOS).map(str::to_owned).collect();
    format!(
        "<section><h2>Detection by packet number</h2>\n{}{}</section>\n",
        chart::detection(subject),
        table("Flows classified by their first packets", &head, rows)
    )
}

/// Flows and packets of each label.
pub fn classes(subject: &Subject<'_>) -> String {
    let classes = subject.classes();
    let quantile = |value: Option<u64>| Cell::text(&value.map_or_else(|| NONE.to_owned(), number));
    let share = |share| Cell::text(&percent(share));
    let flows = classes.iter().map(|class| {
        let name = if class.is_benign { format!("{} (false alarms)", class.name) } else { class.name.to_owned() };
        let mut row = vec![Cell::text(&name), Cell::text(&number(class.flows.flows())), share(class.found_by(u64::MAX))];
        row.extend(PACKETS.map(|packet| share(class.found_by(packet))));
        row.extend([50, 90, 99].map(|percent| quantile(class.flows.quantile(percent))));
        row
    });
    let mut head = heads(["class", "flows", "found"]);
    head.extend(PACKETS.map(|packet| format!("by {packet}")));
    head.extend(heads(["median packet", "90 %", "99 %"]));
    let flows = table("Flows found", &head, flows);
    let packets = classes.iter().map(|class| {
        let named = class.named.map_or([None; 3], |[packets, _]| [packets.precision(), packets.recall(), packets.f1()]);
        let mut row = vec![Cell::text(class.name), Cell::text(&number(class.packets)), share(class.flagged())];
        row.extend(named.map(share));
        row
    });
    let head = heads(["class", "packets", "flagged", "precision by name", "recall by name", "F1 by name"]);
    format!("<section><h2>By class</h2>\n{flows}{}</section>\n", table("Packets", &head, packets))
}

/// Each capture on its own.
pub fn captures(subject: &Subject<'_>) -> String {
    let rows = subject.evaluation.captures.iter().map(|capture| {
        let (packets, flows) = (capture.score.packets.binary(), capture.score.flows.binary());
        let damaged = if capture.damage.is_some() { " (damaged)" } else { "" };
        let mut row = vec![Cell::text(&format!("{}{damaged}", capture.path.display())), Cell::text(&number(capture.score.packets.total()))];
        let ratios = [packets.accuracy(), packets.precision(), packets.recall(), packets.f1(), packets.false_positive_rate()];
        row.extend(ratios.map(|ratio| Cell::text(&percent(ratio))));
        row.push(Cell::text(&number(capture.score.flows.total())));
        row.extend([flows.recall(), flows.false_positive_rate()].map(|ratio| Cell::text(&percent(ratio))));
        row
    });
    let columns = ["capture", "packets"].into_iter().chain(RATIOS).chain(["flows", "found", "benign flagged"]);
    let head: Vec<_> = columns.map(str::to_owned).collect();
    format!("<section><h2>By capture</h2>\n{}</section>\n", table("Packets, then flows", &head, rows))
}

/// What each feature decides.
pub fn importances(subject: &Subject<'_>) -> String {
    let rows = subject.importances();
    let cells = rows
        .iter()
        .map(|(name, gini, questions)| vec![Cell::text(name), Cell::text(&percent(Some(*gini))), Cell::text(&percent(Some(*questions)))]);
    format!(
        "<section><h2>Feature importance</h2>\n<p>Importance: how much of the mixture of malicious and benign packets the feature's splits take \
         away, as a share of what all splits take (Gini, on the packets evaluated here). Questions: its share of all questions asked.{}</p>\n\
         <div class=\"pair\">{}{}</div></section>\n",
        if let Rule::Vote(_) = subject.model.rule() { " The splits of all trees are taken together." } else { "" },
        chart::importances(&rows),
        table("Features", &heads(["feature", "importance", "questions"]), cells)
    )
}

/// The words used above.
pub fn definitions() -> String {
    "<section><h2>Words</h2>\n<p>A packet is malicious if its flow has any label but benign, and flagged if its verdict is any class but benign. \
     A flow is found at its first flagged packet, and that packet's class is its verdict. Precision is the share of the flagged that is malicious, \
     recall the share of the malicious that is flagged, F1 their harmonic mean, the false-positive rate the share of the benign that is flagged, \
     accuracy the share classified correctly. By packet n, each flow is judged by its first n packets alone. By name, one class stands against all \
     others; the model must have a class of that name. A dash is a ratio of nothing. Made by treeline "
        .to_owned()
        + env!("CARGO_PKG_VERSION")
        + ".</p></section>\n</main>\n"
}

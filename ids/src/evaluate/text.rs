//! An evaluation for a terminal of 80 columns.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table};
use treeline_data::evaluate::{Binary, Matrix, PACKETS, Score};

use crate::figure::{NONE, percent, percentage, plain};
use crate::page::subject::Subject;
use crate::report::{self, number, skipped};

const COLUMNS: u16 = 80;
/// A matrix of more model classes becomes a list of its cells.
const MATRIX_CLASSES_MAX: usize = 4;
const RATIOS: [&str; 5] = ["accuracy", "precision", "recall", "F1", "false positives"];

/// The report for people.
pub fn text(subject: &Subject<'_>) -> String {
    let total = &subject.evaluation.total;
    let mut text = head(subject);
    let mut section = |title: &str, table: Table| {
        let _ = write!(text, "\n{title}\n{table}\n");
    };
    section("Malicious against benign", figures(total));
    section(&format!("Flows classified by their first packets\n{}", detection(total)), by_packet(total));
    for (what, matrix) in [("flows", &total.flows), ("packets", &total.packets)] {
        section(&format!("Verdicts on {what} (one row per label)"), confusion(subject, matrix));
    }
    section("Flows found, % by packet number; of benign ones these are false alarms", found(subject));
    section("Packets by class, %", classes(subject));
    section("Captures, % (FPR: false-positive rate)", captures(subject));
    section("Features by what their splits decide, %", importances(subject));
    text
}

fn head(subject: &Subject<'_>) -> String {
    let total = &subject.evaluation.total;
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<12}{value}");
    };
    line("model", format!("{}: {} classes, {}", subject.model_path.display(), subject.model.classes().len(), subject.size()));
    let unused = subject.report.filter(|report| report.matched < report.rows);
    let unused =
        unused.map_or(String::new(), |report| format!(": {} of {} lines labelled a flow", number(report.matched), number(report.rows)));
    line("labels", format!("{}{unused}", plain(subject.labels)));
    line("frames", format!("{} in {} captures", number(total.frames()), subject.evaluation.captures.len()));
    line("evaluated", format!("{} packets in {} flows", number(total.packets.total()), number(total.flows.total())));
    line("unlabelled", format!("{} packets in {} flows, left out", number(total.packets_unlabelled), number(total.flows_unlabelled)));
    line("skipped", skipped(total.skipped, &total.unsupported));
    text
}

fn figures(total: &Score) -> Table {
    let mut table = table(["", "number"].into_iter().chain(RATIOS));
    for (what, matrix) in [("packets", &total.packets), ("flows", &total.flows)] {
        table.add_row([what.to_owned(), number(matrix.total())].into_iter().chain(ratios(&matrix.binary())));
    }
    table
}

fn by_packet(total: &Score) -> Table {
    let mut table = table(["by packet"].into_iter().chain(RATIOS));
    for packet in PACKETS {
        table.add_row([packet.to_string()].into_iter().chain(ratios(&total.flows_by(packet))));
    }
    table.add_row(["the last".to_owned()].into_iter().chain(ratios(&total.flows.binary())));
    table
}

fn detection(total: &Score) -> String {
    let malicious = total.malicious();
    let [half, most, nearly, all] = [50, 90, 99, 100].map(|percent| malicious.quantile(percent).map_or_else(|| NONE.to_owned(), number));
    format!("  packets until a malicious flow is found: median {half}, 90 % {most}, 99 % {nearly}, all {all}")
}

fn ratios(binary: &Binary) -> [String; 5] {
    [binary.accuracy(), binary.precision(), binary.recall(), binary.f1(), binary.false_positive_rate()].map(percent)
}

/// A matrix where it fits, else one line per cell.
fn confusion(subject: &Subject<'_>, matrix: &Matrix) -> Table {
    let names = subject.model.classes();
    if names.len() > MATRIX_CLASSES_MAX {
        let mut table = table(["label", "verdict", "count"]);
        for label in matrix.labels() {
            for (verdict, count) in matrix.row(label) {
                let verdict = names.get(usize::from(verdict)).map_or(NONE, String::as_str);
                table.add_row([plain(subject.label(label)), plain(verdict), number(count)]);
            }
        }
        return table;
    }
    let mut table = table([String::new()].into_iter().chain(names.iter().map(|name| plain(name))));
    for label in matrix.labels() {
        let counts = (0..).zip(names).map(|(verdict, _)| number(matrix.count(label, verdict)));
        table.add_row([plain(subject.label(label))].into_iter().chain(counts));
    }
    table
}

fn found(subject: &Subject<'_>) -> Table {
    let numbers = PACKETS.map(|packet| packet.to_string());
    let mut table = table(["class".to_owned(), "flows".to_owned()].into_iter().chain(numbers).chain(["all", "median"].map(str::to_owned)));
    for class in subject.classes() {
        let shares = PACKETS.into_iter().chain([u64::MAX]).map(|packet| percentage(class.found_by(packet)));
        let median = class.flows.quantile(50).map_or_else(|| NONE.to_owned(), number);
        table.add_row([plain(class.name), number(class.flows.flows())].into_iter().chain(shares).chain([median]));
    }
    table
}

fn classes(subject: &Subject<'_>) -> Table {
    let mut table = table(["class", "packets", "flagged", "precision", "recall", "F1 (by its name)"]);
    for class in subject.classes() {
        let named = class.named.map(|[packets, _]| packets);
        let ratios = [named.and_then(|one| one.precision()), named.and_then(|one| one.recall()), named.and_then(|one| one.f1())];
        let cells = [plain(class.name), number(class.packets), percentage(class.flagged())];
        table.add_row(cells.into_iter().chain(ratios.map(percentage)));
    }
    table
}

fn captures(subject: &Subject<'_>) -> Table {
    let mut table = table(["", "packets", "recall", "FPR", "flows", "found", "FPR"]);
    for capture in &subject.evaluation.captures {
        let (packets, flows) = (capture.score.packets.binary(), capture.score.flows.binary());
        let name = capture.path.file_name().map_or_else(|| NONE.to_owned(), |name| plain(&name.to_string_lossy()));
        table.add_row([
            name,
            number(capture.score.packets.total()),
            percentage(packets.recall()),
            percentage(packets.false_positive_rate()),
            number(capture.score.flows.total()),
            percentage(flows.recall()),
            percentage(flows.false_positive_rate()),
        ]);
    }
    table
}

fn importances(subject: &Subject<'_>) -> Table {
    let mut table = table(["feature", "importance", "questions"]);
    for (name, gini, questions) in subject.importances().into_iter().filter(|(_, _, questions)| *questions > 0.0) {
        table.add_row([name.to_owned(), percentage(Some(gini)), percentage(Some(questions))]);
    }
    table
}

/// A table whose columns but the first stand to the right, no wider than the terminal.
fn table<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Table {
    let head: Vec<String> = head.into_iter().map(Into::into).collect();
    let columns = head.len();
    let mut table = report::plain();
    table.set_header(head).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    report::right(&mut table, 1..columns);
    table
}

//! Runs -> rows: means, standard deviations, and ratios to "no IDS" pair by pair, as Markdown and JSON.

use serde_json::{Value, json};

use super::alternative::{Alternative, NONE};
use super::median;

/// The head of a table.
const HEADER: &str = "\
| alternative | inspected/s, mean | SD | uninspected, mean | CPU s per million packets | added to no IDS | times no IDS | goodput, Gbit/s | of no IDS |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
";

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Its round.
    pub round: u32,
    /// Packets that the alternative saw; 0 without one.
    pub inspected: u64,
    /// Packets that arrived at the interface.
    pub arrived: u64,
    /// Seconds of sending.
    pub seconds: f64,
    /// CPU seconds of the whole machine.
    pub busy_seconds: f64,
    /// Bits a second.
    pub goodput: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
impl Run {
    /// Packets inspected a second.
    fn rate(&self) -> f64 {
        self.inspected as f64 / self.seconds
    }

    /// Packets that arrived and were not inspected.
    fn missed(&self) -> f64 {
        self.arrived.saturating_sub(self.inspected) as f64
    }

    /// CPU seconds of the whole machine for a million packets that arrived.
    fn cpu(&self) -> f64 {
        self.busy_seconds / (self.arrived.max(1) as f64 / 1e6)
    }
}

/// One alternative under one setting of offload.
#[derive(Debug, Clone)]
pub struct Row {
    pub alternative: Alternative,
    pub offload: bool,
    pub runs: Vec<Run>,
    /// Why there are no runs.
    pub not_available: Option<String>,
}

/// A mean and its standard deviation (of a sample).
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub mean: f64,
    pub deviation: f64,
}

#[expect(clippy::cast_precision_loss, reason = "few runs")]
fn spread(values: &[f64]) -> Spread {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Spread { mean, deviation: if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
}

impl Row {
    fn over(&self, figure: impl Fn(&Run) -> f64) -> Spread {
        spread(&self.runs.iter().map(figure).collect::<Vec<_>>())
    }

    /// Packets inspected a second.
    pub fn rate(&self) -> Spread {
        self.over(Run::rate)
    }

    /// Bits a second.
    pub fn goodput(&self) -> Spread {
        self.over(|run| run.goodput)
    }

    /// The median over rounds of a figure of both runs of a round.
    fn paired(&self, none: &Row, figure: impl Fn(&Run, &Run) -> f64) -> f64 {
        let pairs = self.runs.iter().filter_map(|run| Some((run, none.runs.iter().find(|none| none.round == run.round)?)));
        median(&pairs.map(|(run, none)| figure(run, none)).collect::<Vec<_>>())
    }

    /// Goodput as a share of "no IDS".
    fn goodput_ratio(&self, none: &Row) -> f64 {
        self.paired(none, |run, none| run.goodput / none.goodput.max(1.0))
    }

    /// CPU seconds a million packets, as a ratio to "no IDS".
    fn cpu_ratio(&self, none: &Row) -> f64 {
        self.paired(none, |run, none| run.cpu() / none.cpu().max(1e-9))
    }

    /// CPU seconds a million packets, beyond those of "no IDS".
    fn cpu_added(&self, none: &Row) -> f64 {
        self.paired(none, |run, none| run.cpu() - none.cpu())
    }

    fn markdown(&self, none: &Row) -> String {
        let name = self.alternative.name;
        if let Some(reason) = &self.not_available {
            return format!("| {name} | not available: {reason} | | | | | | | |\n");
        }
        let (rate, missed, cpu, goodput) = (self.rate(), self.over(Run::missed), self.over(Run::cpu), self.goodput());
        let inspected = if self.alternative == NONE { "- |".to_owned() } else { format!("{:.0} | {:.0}", rate.mean, rate.deviation) };
        format!(
            "| {name} | {inspected} | {:.0} | {:.2} ± {:.2} | {:+.2} | {:.2} | {:.2} ± {:.2} | {:.3} |\n",
            missed.mean,
            cpu.mean,
            cpu.deviation,
            self.cpu_added(none),
            self.cpu_ratio(none),
            goodput.mean / 1e9,
            goodput.deviation / 1e9,
            self.goodput_ratio(none)
        )
    }

    fn to_json(&self, none: &Row) -> Value {
        let spread = |Spread { mean, deviation }| json!({ "mean": mean, "sd": deviation });
        let runs: Vec<_> = self
            .runs
            .iter()
            .map(|run| {
                json!({
                    "round": run.round, "inspected": run.inspected, "arrived": run.arrived, "seconds": run.seconds,
                    "busy_seconds": run.busy_seconds, "goodput_bits_per_second": run.goodput,
                })
            })
            .collect();
        json!({
            "alternative": self.alternative.key,
            "name": self.alternative.name,
            "offload": if self.offload { "on" } else { "off" },
            "not_available": self.not_available,
            "inspected": self.runs.iter().map(|run| run.inspected).sum::<u64>(),
            "inspected_per_second": spread(self.rate()),
            "uninspected": spread(self.over(Run::missed)),
            "cpu_seconds_per_million_packets": spread(self.over(Run::cpu)),
            "goodput_bits_per_second": spread(self.goodput()),
            "to_none": {
                "goodput": self.goodput_ratio(none),
                "cpu": self.cpu_ratio(none),
                "cpu_seconds_added_per_million_packets": self.cpu_added(none),
            },
            "runs": runs,
        })
    }
}

/// The row that the others of its setting are compared with.
fn none<'a>(rows: &'a [Row], row: &'a Row) -> &'a Row {
    rows.iter().find(|none| none.alternative == NONE && none.offload == row.offload).unwrap_or(row)
}

/// A table for each setting of offload.
pub fn markdown(rows: &[Row]) -> String {
    let titles = [(true, "Segmentation offload on, as in the paper"), (false, "Segmentation offload off: real packets")];
    let table = |(offload, title)| {
        let lines: String = rows.iter().filter(|row| row.offload == offload).map(|row| row.markdown(none(rows, row))).collect();
        if lines.is_empty() { lines } else { format!("\n### {title}\n\n{HEADER}{lines}") }
    };
    titles.into_iter().map(table).collect()
}

/// All rows, with every run.
pub fn to_json(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(|row| row.to_json(none(rows, row))).collect()
}

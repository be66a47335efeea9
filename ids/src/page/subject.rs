//! What text, JSON and page are about, and the figures that all three show.

use std::path::Path;

use treeline_data::evaluate::matrix::ratio;
use treeline_data::evaluate::{BENIGN, Binary, Detection, Evaluation, Matrix};
use treeline_data::label::Report;
use treeline_ebpf::feature::NAMES;
use treeline_model::{Model, Rule};

use crate::report::number;

/// An evaluation with what was evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The model's file.
    pub model_path: &'a Path,
    /// The model.
    pub model: &'a Model,
    /// The labels as given.
    pub labels: &'a str,
    /// What became of the labels' rows.
    pub report: Option<&'a Report>,
    /// What was found.
    pub evaluation: &'a Evaluation,
}

/// A label with all that is said of it.
#[derive(Debug)]
pub struct Class<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is benign: what is found of it is a false alarm.
    pub is_benign: bool,
    /// Its packets.
    pub packets: u64,
    /// Its packets with a malicious verdict.
    pub packets_flagged: u64,
    /// Its flows.
    pub flows: Detection,
    /// This class against all others, by its name: packets, then flows. None if the model has no class of the name.
    pub named: Option<[Binary; 2]>,
}

impl Class<'_> {
    /// The share of its packets with a malicious verdict.
    pub fn flagged(&self) -> Option<f64> {
        ratio(self.packets_flagged, self.packets)
    }

    /// The share of its flows found by packet `packet`.
    pub fn found_by(&self, packet: u64) -> Option<f64> {
        ratio(self.flows.found_by(packet), self.flows.flows())
    }
}

impl<'a> Subject<'a> {
    /// How large the model is: its leaves, and its trees where it is an ensemble.
    pub fn size(&self) -> String {
        let leaves = number(self.model.leaves() as u64);
        match self.model.rule() {
            Rule::Tree(_) => format!("{leaves} leaves"),
            Rule::Vote(vote) => format!("{} trees with {leaves} leaves together", number(vote.estimators().len() as u64)),
        }
    }

    /// The labels that were met, benign first.
    pub fn classes(&self) -> Vec<Class<'a>> {
        let total = &self.evaluation.total;
        let class = |label: u16| {
            let packets = total.packets.labelled(label);
            let named = self.namesake(label).map(|verdict| [&total.packets, &total.flows].map(|matrix| matrix.named(label, verdict)));
            Class {
                name: self.label(label),
                is_benign: label == BENIGN,
                packets,
                packets_flagged: packets - total.packets.count(label, BENIGN),
                flows: total.detection.get(&label).cloned().unwrap_or_default(),
                named,
            }
        };
        total.packets.labels().into_iter().map(class).collect()
    }

    /// The name of a label.
    pub fn label(&self, label: u16) -> &'a str {
        self.evaluation.labels.get(usize::from(label)).map_or("unknown", String::as_str)
    }

    /// The model's class of the same name as a label.
    fn namesake(&self, label: u16) -> Option<u16> {
        let position = self.model.classes().iter().position(|class| class == self.label(label))?;
        u16::try_from(position).ok()
    }

    /// The share of a matrix with the verdict of the label's own name. None for a model that only tells malicious from benign.
    pub fn accuracy_named(&self, matrix: &Matrix) -> Option<f64> {
        if self.model.classes().len() <= 2 {
            return None;
        }
        let right = |label: u16| self.namesake(label).map_or(0, |verdict| matrix.count(label, verdict));
        ratio(matrix.labels().into_iter().map(right).sum(), matrix.total())
    }

    /// The features by importance over all trees, the most important first: name, share of impurity, share of questions.
    pub fn importances(&self) -> Vec<(&'static str, f64, f64)> {
        let importances = self.evaluation.visits.importances(self.model);
        let mut features: Vec<_> = NAMES.iter().zip(importances).map(|((name, _), one)| (*name, one.gini, one.questions)).collect();
        features.sort_by(|one, two| two.1.total_cmp(&one.1).then(two.2.total_cmp(&one.2)));
        features
    }
}

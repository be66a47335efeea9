//! Verdicts counted by label: the confusion matrix, and the ratios that follow from it.

use std::collections::{BTreeMap, BTreeSet};

/// The index of the class that is not malicious, among labels as among a model's classes.
pub const BENIGN: u16 = 0;

/// How often a label met a verdict. Only cells that are not 0 are kept, so that a model of many classes costs what it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    cells: BTreeMap<(u16, u16), u64>,
}

impl Matrix {
    /// Counts one more.
    pub fn add(&mut self, label: u16, verdict: u16) {
        *self.cells.entry((label, verdict)).or_default() += 1;
    }

    /// Takes one of `label` from the verdict benign to `verdict`.
    pub fn turn(&mut self, label: u16, verdict: u16) {
        if let Some(count) = self.cells.get_mut(&(label, BENIGN)) {
            *count -= 1;
            if *count == 0 {
                self.cells.remove(&(label, BENIGN));
            }
            self.add(label, verdict);
        }
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (&cell, count) in &other.cells {
            *self.cells.entry(cell).or_default() += count;
        }
    }

    /// How often `label` got `verdict`.
    #[must_use]
    pub fn count(&self, label: u16, verdict: u16) -> u64 {
        self.cells.get(&(label, verdict)).copied().unwrap_or_default()
    }

    /// How often `label` was seen.
    #[must_use]
    pub fn labelled(&self, label: u16) -> u64 {
        self.row(label).map(|(_, count)| count).sum()
    }

    /// All counts together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.cells.values().sum()
    }

    /// The verdicts that `label` got, in their order, and how often.
    pub fn row(&self, label: u16) -> impl Iterator<Item = (u16, u64)> {
        self.cells.range((label, 0)..=(label, u16::MAX)).map(|(&(_, verdict), &count)| (verdict, count))
    }

    /// The labels seen, in their order.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<u16> {
        self.cells.keys().map(|&(label, _)| label).collect()
    }

    /// Malicious against benign, whatever the names.
    #[must_use]
    pub fn binary(&self) -> Binary {
        self.split(|label| label != BENIGN, |verdict| verdict != BENIGN)
    }

    /// One label against all others, of a model whose class `verdict` bears its name.
    #[must_use]
    pub fn named(&self, label: u16, verdict: u16) -> Binary {
        self.split(|other| other == label, |other| other == verdict)
    }

    fn split(&self, is_positive: impl Fn(u16) -> bool, is_alarm: impl Fn(u16) -> bool) -> Binary {
        let mut binary = Binary::default();
        for (&(label, verdict), count) in &self.cells {
            *match (is_positive(label), is_alarm(verdict)) {
                (true, true) => &mut binary.true_positives,
                (true, false) => &mut binary.false_negatives,
                (false, true) => &mut binary.false_positives,
                (false, false) => &mut binary.true_negatives,
            } += count;
        }
        binary
    }
}

/// A confusion matrix of two classes. A ratio whose denominator is 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Binary {
    /// Positive, and said to be.
    pub true_positives: u64,
    /// Negative, but said to be positive.
    pub false_positives: u64,
    /// Positive, but said to be negative.
    pub false_negatives: u64,
    /// Negative, and said to be.
    pub true_negatives: u64,
}

impl Binary {
    /// (TP + TN) / all.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + self.false_positives + self.false_negatives)
    }

    /// TP / (TP + FP).
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// TP / (TP + FN).
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// 2 TP / (2 TP + FP + FN).
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// FP / (FP + TN).
    #[must_use]
    pub fn false_positive_rate(&self) -> Option<f64> {
        ratio(self.false_positives, self.false_positives + self.true_negatives)
    }
}

/// `part / whole`, none of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

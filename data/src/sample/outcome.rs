//! What a model makes of the rows kept for the test.

use treeline_model::Model;

use super::Sample;

/// Rows by their class and the model's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// For each of [`Sample::classes`], how many rows got each of the model's classes.
    pub counts: Vec<Vec<u64>>,
    /// Rows that got the very class that the model has for theirs; an attack that the model does not know has none.
    pub exact: u64,
}

/// What remains of a [`Confusion`] when all attacks are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// Malicious rows classified malicious.
    pub true_positive: u64,
    /// Benign rows classified malicious.
    pub false_positive: u64,
    /// Benign rows classified benign.
    pub true_negative: u64,
    /// Malicious rows classified benign.
    pub false_negative: u64,
}

impl Sample {
    /// Asks `model` about each row kept for the test. `numbers` are what [`Sample::model_classes`] gave.
    #[must_use]
    pub fn test(&self, model: &Model, numbers: &[Option<u16>]) -> Confusion {
        let mut confusion = Confusion { counts: vec![vec![0; model.classes().len()]; self.classes.len()], exact: 0 };
        for (row, &flow) in self.flow.iter().enumerate() {
            let flow = &self.flows[flow as usize];
            if !flow.is_test {
                continue;
            }
            // The rows that the model does not classify were left out.
            let verdict = model.decide(self.table.features(row));
            confusion.counts[usize::from(flow.class)][usize::from(verdict)] += 1;
            confusion.exact += u64::from(numbers[usize::from(flow.class)] == Some(verdict));
        }
        confusion
    }
}

impl Confusion {
    /// Benign against malicious.
    #[must_use]
    pub fn binary(&self) -> Binary {
        let sums = |counts: &[u64]| (counts[0], counts[1..].iter().sum::<u64>());
        let (true_negative, false_positive) = self.counts.first().map_or((0, 0), |counts| sums(counts));
        let attacks = self.counts.iter().skip(1).map(|counts| sums(counts));
        let (false_negative, true_positive) = attacks.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
        Binary { true_positive, false_positive, true_negative, false_negative }
    }

    /// The share of rows that got the very class.
    #[must_use]
    pub fn exact_share(&self) -> Option<f64> {
        share(self.exact, self.counts.iter().flatten().sum())
    }
}

impl Binary {
    /// All rows.
    #[must_use]
    pub fn rows_count(&self) -> u64 {
        self.true_positive + self.false_positive + self.true_negative + self.false_negative
    }

    /// The share of rows classified right.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        share(self.true_positive + self.true_negative, self.rows_count())
    }

    /// Of the rows classified malicious, the share that are.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Of the malicious rows, the share classified so.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Of the benign rows, the share classified malicious.
    #[must_use]
    pub fn false_positive_rate(&self) -> Option<f64> {
        share(self.false_positive, self.false_positive + self.true_negative)
    }

    /// The harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }
}

/// `part / whole`, if there is a whole.
#[must_use]
pub fn share(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share is for reading")]
    (whole > 0).then(|| part as f64 / whole as f64)
}

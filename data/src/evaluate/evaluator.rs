//! Captures and labels -> scores: one pass over each capture gives rows, and the model their verdicts.

use std::path::{Path, PathBuf};

use treeline_ebpf::Features;
use treeline_ebpf::feature::{FRACTION_BITS, MIDSTREAM, PACKETS};
use treeline_lab::capture::Capture;
use treeline_model::Model;
use treeline_sim::engine::Decider;

use super::{BENIGN, Judged, Meter, Score, Visits};
use crate::row::{Options, Row, RowError};
use crate::{Labels, Rows};

/// Rows between two calls of the progress.
const PROGRESS_ROWS: usize = 4096;

/// Evaluates a model over captures, one after another. Nothing grows with the number of packets.
#[derive(Debug)]
pub struct Evaluator<'a> {
    model: &'a Model,
    decider: Decider,
    options: Options,
    labels: Option<Labels>,
    evaluation: Evaluation,
}

/// What a model is worth.
#[derive(Debug)]
pub struct Evaluation {
    /// The labels' names; 0 is benign.
    pub labels: Vec<String>,
    /// Each capture on its own, in the order given.
    pub captures: Vec<CaptureScore>,
    /// All captures together.
    pub total: Score,
    /// Labelled packets through each node of the model's trees.
    pub visits: Visits,
}

/// A capture's score.
#[derive(Debug)]
pub struct CaptureScore {
    /// The capture as given.
    pub path: PathBuf,
    /// The counts, up to the damage if there is one.
    pub score: Score,
    /// Why it could not be opened, or not be read to its end.
    pub damage: Option<RowError>,
    /// What is odd about it, and no damage.
    pub warnings: Vec<String>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator that has seen nothing.
    #[must_use]
    pub fn new(model: &'a Model, labels: Labels, options: Options) -> Self {
        let names = labels.classes().to_vec();
        let evaluation = Evaluation { labels: names, captures: Vec::new(), total: Score::default(), visits: Visits::new(model) };
        Self { model, decider: Decider::of(model), options, labels: Some(labels), evaluation }
    }

    /// Evaluates the capture at `path` (`-` is standard input), and calls `progress` now and then. A capture that is damaged, or cannot even be
    /// opened, is no error but says so in its score. Fails if a timeout is out of range.
    pub fn evaluate(&mut self, path: &Path, mut progress: impl FnMut(&Capture)) -> Result<(), RowError> {
        let mut rows = Rows::new(vec![path.to_owned()], self.labels.take(), self.options)?;
        let mut meter = Meter::new(self.options.flows_max);
        let mut damage = None;
        for count in 0.. {
            match rows.next() {
                Some(Ok(row)) => self.count(&mut meter, &row),
                Some(Err(error)) => damage = Some(error),
                None => break,
            }
            if count % PROGRESS_ROWS == 0
                && let Some((_, _, capture)) = rows.reading()
            {
                progress(capture);
            }
        }
        let tally = rows.tally();
        let score = Score { unsupported: tally.unsupported.clone(), ..meter.finish(&tally.counters) };
        let warnings = tally.warnings.clone();
        self.labels = rows.into_labels();
        self.evaluation.total.merge(&score);
        self.evaluation.captures.push(CaptureScore { path: path.to_owned(), score, damage, warnings });
        Ok(())
    }

    fn count(&mut self, meter: &mut Meter, row: &Row) {
        let mut features = Features::from(row.features.map(i64::cast_unsigned));
        features.set(PACKETS, row.packet << FRACTION_BITS);
        features.set(MIDSTREAM, row.midstream.into());
        let verdict = self.decider.decide(&features).unwrap_or_else(|skip| unreachable!("a model is a tree: {}", skip.name()));
        meter.judge(&Judged { flow: row.flow, packet: row.packet, label: row.class, verdict });
        if let Some(label) = row.class
            && self.model.precondition().holds(row.packet, row.midstream)
        {
            self.evaluation.visits.pass(self.model, &features, label != BENIGN);
        }
    }

    /// What was found, and the labels with their report.
    #[must_use]
    pub fn finish(self) -> (Evaluation, Option<Labels>) {
        (self.evaluation, self.labels)
    }
}

//! How much each row counts.

use super::{Flow, Sample, Take};

/// What is evened out on top of the flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassWeight {
    /// Nothing: every flow counts the same.
    None,
    /// The model's classes: each counts the same.
    Balanced,
    /// The captures: each counts the same, whatever its number of flows.
    Capture,
    /// The classes that the labels name: each counts the same, whether or not the model tells it from the others.
    Label,
}

impl Sample {
    /// Gives the rows their weights, 0 for the test's, and the model's classes by `numbers`, which [`Sample::model_classes`] gave.
    /// With `benign`, the benign rows then weigh that many times what all others do together.
    pub fn weigh(&mut self, class_weight: ClassWeight, benign: Option<f64>, numbers: &[Option<u16>]) {
        let rows = self.flow.iter().zip(&mut self.table.classes).zip(&mut self.table.weights);
        for ((&flow, class), weight) in rows {
            let flow = &self.flows[flow as usize];
            *class = numbers[usize::from(flow.class)].unwrap_or(0);
            *weight = match self.take {
                _ if flow.is_test => 0.0,
                Take::FlowLast => 1.0,
                Take::Packet => reciprocal(flow.rows_count),
            };
        }
        match class_weight {
            ClassWeight::None => {}
            ClassWeight::Balanced => self.table.balance(),
            ClassWeight::Capture => self.even(|flow| flow.capture as usize),
            ClassWeight::Label => self.even(|flow| flow.class.into()),
        }
        if let Some(times) = benign {
            self.weigh_benign(times);
        }
    }

    /// Scales the weights so that all groups of flows have the same, and the total stays.
    fn even(&mut self, group: impl Fn(&Flow) -> usize) {
        let groups_count = self.flows.iter().map(|flow| group(flow) + 1).max().unwrap_or(0);
        let mut flows_counts = vec![0_u32; groups_count];
        let trained = self.flows.iter().filter(|flow| !flow.is_test);
        trained.for_each(|flow| flows_counts[group(flow)] += 1);
        let mean = f64::from(flows_counts.iter().sum::<u32>()) / flows_counts.iter().map(|&count| f64::from(count > 0)).sum::<f64>();
        self.scale(|flow| mean / f64::from(flows_counts[group(flow)]));
    }

    fn weigh_benign(&mut self, times: f64) {
        let mut sums = [0.0; 2];
        for (&flow, &weight) in self.flow.iter().zip(&self.table.weights) {
            sums[usize::from(self.flows[flow as usize].class > 0)] += f64::from(weight);
        }
        self.scale(|flow| if flow.class == 0 { times * sums[1] / sums[0] } else { 1.0 });
    }

    /// Multiplies the weight of each row that is trained on by what `by` says of its flow.
    fn scale(&mut self, by: impl Fn(&Flow) -> f64) {
        for (&flow, weight) in self.flow.iter().zip(&mut self.table.weights) {
            let flow = &self.flows[flow as usize];
            if !flow.is_test {
                #[expect(clippy::cast_possible_truncation, reason = "a weight is single precision")]
                let scaled = (f64::from(*weight) * by(flow)) as f32;
                *weight = scaled;
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a weight is single precision")]
fn reciprocal(count: u32) -> f32 {
    (1.0 / f64::from(count)) as f32
}

//! How much each row counts.

use super::{Flow, Sample, Take};

/// What the rows of a flow of n packets weigh together, with [`Take::Packet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowWeight {
    /// 1: a flow of a million packets counts as much as one of a single packet.
    Equal,
    /// √n: each more packet of a flow counts less.
    Root,
    /// n: every packet counts the same.
    Packets,
}

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
    pub fn weigh(&mut self, flow_weight: FlowWeight, class_weight: ClassWeight, benign: Option<f64>, numbers: &[Option<u16>]) {
        let rows = self.flow.iter().zip(&mut self.table.classes).zip(&mut self.table.weights);
        for ((&flow, class), weight) in rows {
            let flow = &self.flows[flow as usize];
            *class = numbers[usize::from(flow.class)].unwrap_or(0);
            *weight = match self.take {
                _ if flow.is_test => 0.0,
                Take::FlowLast => 1.0,
                Take::Packet => flow_weight.of_row(flow.rows_count),
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
        let sums = self.sums(&group);
        let mean = sums.iter().sum::<f64>() / sums.iter().map(|&sum| f64::from(sum > 0.0)).sum::<f64>();
        self.scale(|flow| mean / sums[group(flow)]);
    }

    fn weigh_benign(&mut self, times: f64) {
        let sums = self.sums(|flow| usize::from(flow.class > 0));
        self.scale(|flow| if flow.class == 0 { times * sums[1] / sums[0] } else { 1.0 });
    }

    /// The weight of each group of flows.
    fn sums(&self, group: impl Fn(&Flow) -> usize) -> Vec<f64> {
        let mut sums = vec![0.0; self.flows.iter().map(|flow| group(flow) + 1).max().unwrap_or(0)];
        for (&flow, &weight) in self.flow.iter().zip(&self.table.weights) {
            sums[group(&self.flows[flow as usize])] += f64::from(weight);
        }
        sums
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

impl FlowWeight {
    /// What one of `count` rows weighs.
    #[expect(clippy::cast_possible_truncation, reason = "a weight is single precision")]
    fn of_row(self, count: u32) -> f32 {
        let share = 1.0 / f64::from(count);
        (match self {
            Self::Equal => share,
            Self::Root => share.sqrt(),
            Self::Packets => 1.0,
        }) as f32
    }
}

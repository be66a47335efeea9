//! How much each row counts.

use super::{Sample, Take};

/// What is evened out on top of the flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassWeight {
    /// Nothing: every flow counts the same.
    None,
    /// The model's classes: each counts the same.
    Balanced,
    /// The captures: each counts the same, whatever its number of flows.
    Capture,
}

impl Sample {
    /// Gives the rows their weights, 0 for the test's, and the model's classes by `numbers`, which [`Sample::model_classes`] gave.
    pub fn weigh(&mut self, class_weight: ClassWeight, numbers: &[Option<u16>]) {
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
            ClassWeight::Capture => self.even_captures(),
        }
    }

    /// Scales the weights so that all captures have the same, and the total stays.
    fn even_captures(&mut self) {
        let captures_count = self.flows.iter().map(|flow| flow.capture as usize + 1).max().unwrap_or(0);
        let mut flows_counts = vec![0_u32; captures_count];
        let trained = self.flows.iter().filter(|flow| !flow.is_test);
        trained.for_each(|flow| flows_counts[flow.capture as usize] += 1);
        let mean = f64::from(flows_counts.iter().sum::<u32>()) / flows_counts.iter().map(|&count| f64::from(count > 0)).sum::<f64>();
        for (&flow, weight) in self.flow.iter().zip(&mut self.table.weights) {
            let flow = &self.flows[flow as usize];
            if !flow.is_test {
                #[expect(clippy::cast_possible_truncation, reason = "a weight is single precision")]
                let scale = (mean / f64::from(flows_counts[flow.capture as usize])) as f32;
                *weight *= scale;
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a weight is single precision")]
fn reciprocal(count: u32) -> f32 {
    (1.0 / f64::from(count)) as f32
}

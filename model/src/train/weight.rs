//! Rows that count, and weights whose sums are exact.
//!
//! Sums of rounded numbers depend on their order, and a difference of two such sums leaves a crumb where nothing should be left: a class that is gone,
//! a gain that beats an equal one. So each weight is first rounded to a multiple of a unit, a power of two chosen such that the sum of all is below 2^53 units. Then every
//! sum and difference of weights is exact in an `f64`. Weights that are alike (within a factor of 2^28 or so of their total) do not change at all.

use super::{Error, Table};

/// What a pass over a node fetches of a row, in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pub(super) weight: f32,
    pub(super) class: u16,
}

/// The rows of `table` that count, and which rows of the table they are. A weight below half a unit counts as 0.
pub(super) fn rows(table: &Table) -> Result<(Vec<Row>, Vec<u32>), Error> {
    let total: f64 = table.weights.iter().copied().map(f64::from).sum();
    let unit = unit(total);
    let rounded = |weight: f32| (f64::from(weight) / unit).round() * unit;
    let mut rows = Vec::with_capacity(table.len());
    let mut origin = Vec::with_capacity(table.len());
    for ((&class, &weight), row) in table.classes.iter().zip(&table.weights).zip(0..) {
        #[expect(clippy::cast_possible_truncation, reason = "rounding away low bits of an f32 leaves an f32")]
        let weight = rounded(weight) as f32;
        if weight > 0.0 {
            rows.push(Row { weight, class });
            origin.push(row);
        }
    }
    if rows.is_empty() { Err(Error::NoWeight { rows: table.len() }) } else { Ok((rows, origin)) }
}

/// The power of two of which `total` is 2^51 to 2^52.
fn unit(total: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    f64::from_bits(total.to_bits() & EXPONENT) * 2.0_f64.powi(-51)
}

/// Adds the weights of `rows` by class.
pub(super) fn sums(rows: &[Row], classes: usize) -> Vec<f64> {
    let mut sums = vec![0.0; classes];
    for row in rows {
        sums[usize::from(row.class)] += f64::from(row.weight);
    }
    sums
}

/// The class of the greatest weight; of equal ones, the first.
pub(super) fn majority(sums: &[f64]) -> u16 {
    let mut best = 0;
    for (class, &sum) in sums.iter().enumerate() {
        if sum > sums[best] {
            best = class;
        }
    }
    u16::try_from(best).expect("below CLASSES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_weights_are_not_changed_by_rounding() {
        let weights: Vec<f32> = (1..2000_u16).map(|count| 1.0 / f32::from(count)).collect();
        let table = Table { classes: vec![0; weights.len()], weights: weights.clone(), ..Table::default() };
        let (rows, _) = rows(&table).expect("rows");
        assert_eq!(rows.iter().map(|row| row.weight).collect::<Vec<_>>(), weights);
    }

    #[test]
    fn sums_of_rounded_weights_do_not_depend_on_their_order() {
        let weights: Vec<f32> = (0..4000_i16).map(|index| 1.1_f32.powi(i32::from(index % 900) - 450)).collect();
        let table = Table { classes: vec![0; weights.len()], weights, ..Table::default() };
        let (mut rows, _) = rows(&table).expect("rows");
        let forward = sums(&rows, 1);
        rows.reverse();
        assert_eq!(forward, sums(&rows, 1));
        rows.sort_by(|a, b| a.weight.total_cmp(&b.weight));
        assert_eq!(forward, sums(&rows, 1));
    }

    #[test]
    fn a_weight_that_is_lost_in_the_total_counts_as_none() {
        let table = Table { classes: vec![0, 1, 2], weights: vec![1e38, 1e-38, 0.0], ..Table::default() };
        let (rows, origin) = rows(&table).expect("rows");
        assert_eq!((rows.len(), origin), (1, vec![0]));
    }
}

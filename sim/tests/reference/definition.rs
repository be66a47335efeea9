//! The reference against the definitions, word for word from the list of all packets: every mean summed again, every deviation from every mean.

use proptest::prelude::*;
use treeline_ebpf::Config;
use treeline_lab::Frame;
use treeline_sim::reference::{FloatTree, Reference};

use crate::recipe::{Recipe, frames, steps};

/// Fractional bits of the literal computation: fine enough to stand for real numbers, and two 43-bit values still fit.
const FINE: u32 = 64;

fn sum(values: &[u64]) -> i128 {
    values.iter().map(|&value| i128::from(value)).sum()
}

fn count(values: &[u64]) -> i128 {
    i128::try_from(values.len()).expect("a count")
}

/// The mean with `bits` fractional bits, rounded down.
fn mean(values: &[u64], bits: u32) -> i128 {
    (sum(values) << bits) / count(values)
}

/// (1/n) · sum of |`x_i` - `mean_i`| with `bits` fractional bits, each division rounded down.
fn deviation(values: &[u64], bits: u32) -> i128 {
    let term = |last: usize| ((i128::from(values[last]) << bits) - mean(&values[..=last], bits)).abs();
    (0..values.len()).map(term).sum::<i128>() / count(values)
}

#[expect(clippy::cast_precision_loss, reason = "compared within the precision of an f64")]
fn check(value: f64, fine: i128, context: &str) {
    let expect = fine as f64 / 2.0_f64.powi(64);
    assert!((value - expect).abs() <= expect * 2.0_f64.powi(-51) + 2.0_f64.powi(-50), "{context}: {value} instead of {expect}");
}

/// Lengths, gaps and directions of one flow after each of its packets.
fn arrivals() -> impl Strategy<Value = Vec<(bool, usize, u64)>> {
    let gaps = prop_oneof![Just(0), 0..1_000_u64, 0..1_000_000_000_u64, 0..120_000_000_000_u64];
    prop::collection::vec((any::<bool>(), 0..1_400_usize, gaps), 1..16)
}

proptest! {
    #[test]
    fn every_feature_is_what_its_definition_says(arrivals in arrivals()) {
        let mut reference = Reference::new(Config::default(), FloatTree::constant(0));
        let mut series: [Vec<u64>; 3] = Default::default();
        let mut time_ns = 0;
        for (number, (forward, payload, gap_ns)) in arrivals.into_iter().enumerate() {
            let forward = forward || number == 0;
            time_ns += gap_ns;
            let recipe = Recipe { payload, ..Recipe::default() };
            let bytes = if forward { recipe.bytes() } else { recipe.back().bytes() };
            let judgement = reference.judge(&Frame { time_ns, bytes, ..Frame::default() });
            let observation = judgement.observation.expect("a whole packet");
            prop_assert_eq!(observation.events.opened, number == 0);

            let gap_ns = if number == 0 { 0 } else { gap_ns };
            for (values, value) in series.iter_mut().zip([28 + payload as u64, gap_ns, u64::from(forward)]) {
                values.push(value);
            }
            for (index, values) in series.iter().enumerate() {
                let context = format!("series {index}, packet {number}");
                let [value, of_mean, of_deviation] = [3, 6, 9].map(|first| observation.features[first + index]);
                check(value.value(), i128::from(values[number]) << FINE, &context);
                check(of_mean.value(), mean(values, FINE), &context);
                check(of_deviation.value(), deviation(values, FINE), &context);

                // Fixed point lies inside the bound, and a wrong one does not.
                let fixed = [mean(values, 16), deviation(values, 16)].map(|fixed| i64::try_from(fixed).expect("below 2^59"));
                prop_assert!(of_mean.admits(fixed[0]) && of_deviation.admits(fixed[1]), "{}", context);
                prop_assert!([-1, 1].into_iter().all(|error| !of_mean.admits(fixed[0] + error)), "{}", context);
                prop_assert!([-2, 2].into_iter().all(|error| !of_deviation.admits(fixed[1] + error)), "{}", context);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reference_panic(
        frames in prop::collection::vec((prop_oneof![frames(), prop::collection::vec(any::<u8>(), 0..200)], steps()), 0..20),
    ) {
        let mut reference = Reference::new(Config::default(), FloatTree::constant(1));
        let mut time_ns = u64::MAX / 2;
        for (bytes, step_ns) in frames {
            time_ns = time_ns.saturating_add_signed(step_ns);
            reference.judge(&Frame { time_ns, bytes, ..Frame::default() });
        }
    }
}

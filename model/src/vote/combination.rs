//! Sums -> class: each library's own way from what its leaves add to what it predicts.
//!
//! Sums are kept as f64. In 32-bit arithmetic each step is rounded to f32, which gives what f32 arithmetic gives: of two f32 the f64 sum,
//! difference or quotient has digits enough that the second rounding changes nothing.

use serde::{Deserialize, Serialize};

use super::VoteError;

/// Outputs a vote may have.
const OUTPUTS_MAX: usize = 256;

/// The precision in which a library sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// 32 bits: XGBoost, ONNX on 32-bit input.
    F32,
    /// 64 bits: scikit-learn, LightGBM.
    F64,
}

impl Arithmetic {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is what is wanted")]
    fn round(self, number: f64) -> f64 {
        match self {
            Self::F32 => f64::from(number as f32),
            Self::F64 => number,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "32-bit numbers all along")]
    fn exp(self, number: f64) -> f64 {
        match self {
            Self::F32 => f64::from((number as f32).exp()),
            Self::F64 => number.exp(),
        }
    }
}

/// How the sums of a vote become one of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// One sum: the second class where it is above the bound, else the first.
    Above(f64),
    /// The output of the largest sum, the first among equal ones.
    Largest,
    /// The output of the largest mean over the trees: the division can make unequal sums equal.
    LargestMean,
    /// The output of the largest share after a softmax, which can make unequal sums equal.
    LargestSoftmax,
}

/// From leaf values to a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// The output that wins.
    pub choice: Choice,
    /// The precision of sums.
    pub arithmetic: Arithmetic,
    /// Where each output's sum starts.
    pub base: Vec<f64>,
    /// The class of each output; for [`Choice::Above`] of not above and above.
    pub classes: Vec<u16>,
}

impl Combination {
    /// The class of the leaves reached, each a first output and the values that it adds there and on.
    pub(crate) fn class<'a>(&self, leaves: impl ExactSizeIterator<Item = (usize, &'a [f64])>) -> u16 {
        let trees = leaves.len();
        self.winner(&self.scores(self.sums(leaves), trees))
    }

    /// The sum of each output, from its base on.
    pub(crate) fn sums<'a>(&self, leaves: impl Iterator<Item = (usize, &'a [f64])>) -> Vec<f64> {
        let mut sums = self.base.clone();
        for (output, values) in leaves {
            for (sum, value) in sums[output..].iter_mut().zip(values) {
                *sum = self.arithmetic.round(*sum + value);
            }
        }
        sums
    }

    /// What the rule compares, made of the sums over `trees` trees.
    #[expect(clippy::cast_precision_loss, reason = "thousands of trees at most")]
    pub(crate) fn scores(&self, mut sums: Vec<f64>, trees: usize) -> Vec<f64> {
        match self.choice {
            Choice::Above(_) | Choice::Largest => {}
            Choice::LargestMean => sums.iter_mut().for_each(|sum| *sum = self.arithmetic.round(*sum / trees as f64)),
            Choice::LargestSoftmax => self.softmax(&mut sums),
        }
        sums
    }

    /// The class that wins by `scores`.
    pub(crate) fn winner(&self, scores: &[f64]) -> u16 {
        if let Choice::Above(bound) = self.choice {
            return self.classes[usize::from(scores[0] > bound)];
        }
        let mut best = 0;
        for (output, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = output;
            }
        }
        self.classes[best]
    }

    fn softmax(&self, sums: &mut [f64]) {
        let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for sum in &mut *sums {
            *sum = self.arithmetic.exp(self.arithmetic.round(*sum - largest));
            total += *sum;
        }
        let total = self.arithmetic.round(total);
        for sum in sums {
            *sum = self.arithmetic.round(*sum / total);
        }
    }

    /// Refuses numbers that do not fit the choice.
    pub(crate) fn check(&self) -> Result<(), VoteError> {
        let refused = |field, found: String, expected: String| Err(VoteError::Vote { field, found, expected });
        let outputs = self.base.len();
        let above = matches!(self.choice, Choice::Above(_));
        if above && outputs != 1 || outputs == 0 || outputs > OUTPUTS_MAX {
            let expected = if above { "1 for above".to_owned() } else { format!("1 to {OUTPUTS_MAX} numbers") };
            return refused("base", format!("{outputs} numbers"), expected);
        }
        let expected = if above { 2 } else { outputs };
        if self.classes.len() != expected {
            return refused("classes", format!("{} numbers", self.classes.len()), format!("{expected}, one an output (above: two)"));
        }
        let bound = if let Choice::Above(bound) = self.choice { bound } else { 0.0 };
        match self.base.iter().chain([&bound]).find(|number| !number.is_finite()) {
            Some(number) => refused("base", number.to_string(), "finite numbers".to_owned()),
            None => Ok(()),
        }
    }

    /// Refuses classes beyond the first `classes`.
    pub(crate) fn check_classes(&self, classes: usize) -> Result<(), VoteError> {
        match self.classes.iter().find(|class| usize::from(**class) >= classes) {
            Some(class) => {
                let expected = format!("below {classes}, the number of classes");
                Err(VoteError::Vote { field: "classes", found: class.to_string(), expected })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class by `rule` of two trees that add `first` and `second`.
    #[track_caller]
    fn check(choice: Choice, arithmetic: Arithmetic, first: &[f64], second: &[f64], class: u16) {
        let outputs = u16::try_from(first.len()).expect("few");
        let classes = if outputs == 1 { vec![0, 1] } else { (0..outputs).collect() };
        let vote = Combination { choice, arithmetic, base: vec![0.0; first.len()], classes };
        vote.check().and(vote.check_classes(9)).expect("a vote");
        assert_eq!(vote.class([(0, first), (0, second)].into_iter()), class);
    }

    #[test]
    fn equal_sums_go_to_the_first_output() {
        check(Choice::Largest, Arithmetic::F64, &[0.0, 0.25, 0.25], &[0.0, 0.5, 0.5], 1);
        check(Choice::Above(0.5), Arithmetic::F64, &[0.25], &[0.25], 0);
        check(Choice::Above(0.5), Arithmetic::F64, &[0.25], &[0.250_000_1], 1);
    }

    #[test]
    fn a_sum_in_32_bits_loses_what_32_bits_lose() {
        check(Choice::Above(1.0), Arithmetic::F64, &[1.0], &[1e-9], 1);
        check(Choice::Above(1.0), Arithmetic::F32, &[1.0], &[1e-9], 0);
    }

    #[test]
    fn a_softmax_makes_near_sums_equal() {
        check(Choice::Largest, Arithmetic::F32, &[0.1, 0.1], &[0.0, 1e-8], 1);
        check(Choice::LargestSoftmax, Arithmetic::F32, &[0.1, 0.1], &[0.0, 1e-8], 0);
    }

    #[test]
    fn a_vote_that_does_not_fit_is_refused_with_the_field() {
        let refused = |choice, base: Vec<f64>, classes: Vec<u16>| {
            let vote = Combination { choice, arithmetic: Arithmetic::F64, base, classes };
            vote.check().and_then(|()| vote.check_classes(2)).expect_err("refused").to_string()
        };
        assert_eq!(refused(Choice::Above(0.0), vec![0.0; 2], vec![0, 1]), "vote.base: found 2 numbers, expected 1 for above");
        assert_eq!(refused(Choice::Largest, vec![], vec![]), "vote.base: found 0 numbers, expected 1 to 256 numbers");
        assert_eq!(
            refused(Choice::Largest, vec![0.0; 2], vec![0]),
            "vote.classes: found 1 numbers, expected 2, one an output (above: two)"
        );
        assert_eq!(refused(Choice::Largest, vec![0.0; 2], vec![0, 2]), "vote.classes: found 2, expected below 2, the number of classes");
        assert_eq!(refused(Choice::Above(f64::NAN), vec![0.0], vec![0, 1]), "vote.base: found NaN, expected finite numbers");
    }
}

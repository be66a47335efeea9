//! Which rounds of a booster its library predicts with: after early stopping not all, and not the same ones by every call.

use super::{Attributes, Model, number};
use crate::import::error::{ImportError, check_rounds, field};

/// How many trees are to be imported, and what to know about them. `given` are the rounds that the caller wants.
pub(super) fn trees(
    model: &Model,
    attributes: &Attributes,
    groups: usize,
    given: Option<usize>,
) -> Result<(usize, Option<String>), ImportError> {
    let ends = ends(model, groups)?;
    let rounds = ends.len();
    let best = match attributes.best_iteration.as_deref() {
        None => rounds,
        Some(text) => match number("best_iteration", text).ok().and_then(|best| best.checked_add(1)).filter(|best| *best <= rounds) {
            Some(best) => best,
            None => {
                return Err(field(
                    "learner.attributes.best_iteration",
                    format!("{text:?}"),
                    format!("below {rounds}, the rounds of the model"),
                ));
            }
        },
    };
    let (wanted, note) = match given {
        Some(given) => {
            check_rounds(given, rounds)?;
            (given, None)
        }
        None if best == rounds => (rounds, None),
        // The attribute is the scikit-learn interface's: its predict takes the best rounds.
        None if attributes.scikit_learn.is_some() => (
            best,
            Some(format!(
                "{best} of {rounds} rounds are imported, up to the best, as XGBClassifier.predict takes them; --rounds N takes others"
            )),
        ),
        None => {
            let expected = format!(
                "--rounds {best} for the best ones, as XGBClassifier.predict takes them, or --rounds {rounds} for all, as Booster.predict does"
            );
            return Err(field("learner.attributes.best_iteration", best - 1, expected));
        }
    };
    Ok((ends[wanted - 1], note))
}

/// The number of trees up to the end of each round.
fn ends(model: &Model, groups: usize) -> Result<Vec<usize>, ImportError> {
    let trees = model.trees.len();
    let place = "learner.gradient_booster.model.iteration_indptr";
    let ends: Vec<_> = if model.iteration_indptr.is_empty() {
        // Versions before 1.7 have none; each round has as many trees.
        let parallel = model.gbtree_model_param.num_parallel_tree.as_deref().map_or(Ok(1), |text| number("num_parallel_tree", text))?;
        let each = parallel.max(1).saturating_mul(groups);
        (1..=trees / each).map(|round| round * each).collect()
    } else {
        if model.iteration_indptr[0] != 0 || !model.iteration_indptr.is_sorted() {
            return Err(field(place, format!("{:?}", model.iteration_indptr), "ascending numbers from 0"));
        }
        model.iteration_indptr[1..].to_vec()
    };
    if ends.last() != Some(&trees) {
        return Err(field(place, format!("{trees} trees"), "whole rounds"));
    }
    Ok(ends)
}

//! A vote: for people one row per tree and the sums below, for machines the same with every digit.

use serde_json::{Value, json};
use treeline_model::vote::{Arithmetic, Choice, Votes};
use treeline_model::{Model, Vote};

use crate::figure::{decimal, plain};
use crate::report::{class, headed};

/// Outputs that have a column of their own; of more, a row lists what is not 0.
const OUTPUTS_MAX: usize = 5;

/// The table, and the line that says how it decides.
pub fn text(model: &Model, vote: &Vote, votes: &Votes<'_>) -> String {
    let combination = vote.combination();
    let names = outputs(model, vote);
    let is_wide = names.len() <= OUTPUTS_MAX;
    let columns = if is_wide { names.iter().map(|name| plain(name)).collect() } else { vec!["adds".to_owned()] };
    let heads: Vec<_> = ["tree", "leaf", "questions"].map(str::to_owned).into_iter().chain(columns).collect();
    let numbers = if is_wide { heads.len() } else { 3 };
    let mut table = headed(heads, 0..numbers);
    for (tree, reached) in votes.reached.iter().enumerate() {
        let numbers = [tree, reached.leaf, reached.splits].map(|number| number.to_string());
        let added = (0..names.len()).map(|output| reached.values.get(output.checked_sub(reached.output)?).copied());
        table.add_row(numbers.into_iter().chain(cells(&names, is_wide, added)));
    }
    let mut total = |what: &str, values: &[f64]| {
        let blank = [what, "", ""].map(str::to_owned);
        table.add_row(blank.into_iter().chain(cells(&names, is_wide, values.iter().copied().map(Some))));
    };
    if combination.base.iter().any(|base| *base != 0.0) {
        total("base", &combination.base);
    }
    total("sum", &votes.sums);
    match combination.choice {
        Choice::LargestMean => total("mean", &votes.scores),
        Choice::LargestSoftmax => total("share", &votes.scores),
        Choice::Above(_) | Choice::Largest => {}
    }
    let winner = plain(class(model.classes(), votes.class));
    let how = match combination.choice {
        Choice::Above(bound) if votes.scores[0] > bound => format!("the sum is above {bound}"),
        Choice::Above(bound) => format!("the sum is not above {bound}"),
        Choice::Largest => "the largest sum".to_owned(),
        Choice::LargestMean => "the largest mean".to_owned(),
        Choice::LargestSoftmax => "the largest share".to_owned(),
    };
    format!("\n{table}\n {winner}: {how}\n")
}

/// The values of a row: one cell per output, or one with all that are not 0.
fn cells(names: &[&str], is_wide: bool, values: impl Iterator<Item = Option<f64>>) -> Vec<String> {
    if is_wide {
        return values.map(|value| value.map_or_else(String::new, decimal)).collect();
    }
    let others = names.iter().zip(values).filter_map(|(name, value)| Some((name, value.filter(|value| *value != 0.0)?)));
    vec![others.map(|(name, value)| format!("{} {}", plain(name), decimal(value))).collect::<Vec<_>>().join(", ")]
}

/// The class for which each output speaks.
fn outputs<'a>(model: &'a Model, vote: &Vote) -> Vec<&'a str> {
    let combination = vote.combination();
    let classes = if let Choice::Above(_) = combination.choice { &combination.classes[1..] } else { &combination.classes };
    classes.iter().map(|&number| class(model.classes(), number)).collect()
}

/// The vote for machines.
pub fn json(model: &Model, vote: &Vote, votes: &Votes<'_>) -> Value {
    let combination = vote.combination();
    let trees = votes.reached.iter().enumerate().map(|(tree, reached)| {
        json!({
            "tree": tree,
            "leaf": reached.leaf,
            "questions": reached.splits,
            "output": reached.output,
            "values": reached.values,
        })
    });
    let (rule, bound) = match combination.choice {
        Choice::Above(bound) => ("above", Some(bound)),
        Choice::Largest => ("largest", None),
        Choice::LargestMean => ("largest-mean", None),
        Choice::LargestSoftmax => ("largest-softmax", None),
    };
    json!({
        "trees": trees.collect::<Vec<_>>(),
        "outputs": outputs(model, vote),
        "arithmetic": match combination.arithmetic { Arithmetic::F32 => "f32", Arithmetic::F64 => "f64" },
        "base": combination.base,
        "sums": votes.sums,
        "rule": rule,
        "bound": bound,
        "scores": votes.scores,
        "class": class(model.classes(), votes.class),
    })
}

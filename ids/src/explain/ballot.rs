//! The vote of an ensemble: for people a row a tree and the sums below, for machines the same with every digit.

use serde_json::{Value, json};
use treeline_model::Ensemble;
use treeline_model::ensemble::{Arithmetic, Ballot, Rule};

use super::text::{head, short};
use crate::figure::plain;
use crate::report::class;

/// Outputs that have a column of their own; of more, a row lists what is not 0.
const OUTPUTS_MAX: usize = 5;

/// The table, and the line that says how it decides.
pub fn text(ensemble: &Ensemble, ballot: &Ballot<'_>) -> String {
    let vote = ensemble.vote();
    let names = outputs(ensemble);
    let is_wide = names.len() <= OUTPUTS_MAX;
    let columns = if is_wide { names.iter().map(|name| plain(name)).collect() } else { vec!["adds".to_owned()] };
    let heads: Vec<_> = ["tree", "leaf", "questions"].map(str::to_owned).into_iter().chain(columns).collect();
    let numbers = if is_wide { heads.len() } else { 3 };
    let mut table = head(heads, 0..numbers);
    for (tree, reached) in ballot.reached.iter().enumerate() {
        let numbers = [tree, reached.leaf, reached.questions].map(|number| number.to_string());
        let added = (0..names.len()).map(|output| reached.values.get(output.checked_sub(reached.output)?).copied());
        table.add_row(numbers.into_iter().chain(cells(&names, is_wide, added)));
    }
    let mut total = |what: &str, values: &[f64]| {
        let blank = [what, "", ""].map(str::to_owned);
        table.add_row(blank.into_iter().chain(cells(&names, is_wide, values.iter().copied().map(Some))));
    };
    if vote.base.iter().any(|base| *base != 0.0) {
        total("base", &vote.base);
    }
    total("sum", &ballot.sums);
    match vote.rule {
        Rule::LargestMean => total("mean", &ballot.scores),
        Rule::LargestSoftmax => total("share", &ballot.scores),
        Rule::Above(_) | Rule::Largest => {}
    }
    let winner = plain(class(ensemble.classes(), ballot.class));
    let how = match vote.rule {
        Rule::Above(bound) if ballot.scores[0] > bound => format!("the sum is above {bound}"),
        Rule::Above(bound) => format!("the sum is not above {bound}"),
        Rule::Largest => "the largest sum".to_owned(),
        Rule::LargestMean => "the largest mean".to_owned(),
        Rule::LargestSoftmax => "the largest share".to_owned(),
    };
    format!("\n{table}\n {winner}: {how}\n")
}

/// The values of a row: a cell an output, or one with all that are not 0.
fn cells(names: &[&str], is_wide: bool, values: impl Iterator<Item = Option<f64>>) -> Vec<String> {
    if is_wide {
        return values.map(|value| value.map_or_else(String::new, short)).collect();
    }
    let others = names.iter().zip(values).filter_map(|(name, value)| Some((name, value.filter(|value| *value != 0.0)?)));
    vec![others.map(|(name, value)| format!("{} {}", plain(name), short(value))).collect::<Vec<_>>().join(", ")]
}

/// The class for which each output speaks.
fn outputs(ensemble: &Ensemble) -> Vec<&str> {
    let vote = ensemble.vote();
    let classes = if let Rule::Above(_) = vote.rule { &vote.classes[1..] } else { &vote.classes };
    classes.iter().map(|&number| class(ensemble.classes(), number)).collect()
}

/// The vote for machines.
pub fn json(ensemble: &Ensemble, ballot: &Ballot<'_>) -> Value {
    let vote = ensemble.vote();
    let trees = ballot.reached.iter().enumerate().map(|(tree, reached)| {
        json!({
            "tree": tree,
            "leaf": reached.leaf,
            "questions": reached.questions,
            "output": reached.output,
            "values": reached.values,
        })
    });
    let (rule, bound) = match vote.rule {
        Rule::Above(bound) => ("above", Some(bound)),
        Rule::Largest => ("largest", None),
        Rule::LargestMean => ("largest-mean", None),
        Rule::LargestSoftmax => ("largest-softmax", None),
    };
    json!({
        "trees": trees.collect::<Vec<_>>(),
        "outputs": outputs(ensemble),
        "arithmetic": match vote.arithmetic { Arithmetic::F32 => "f32", Arithmetic::F64 => "f64" },
        "base": vote.base,
        "sums": ballot.sums,
        "rule": rule,
        "bound": bound,
        "scores": ballot.scores,
        "class": class(ensemble.classes(), ballot.class),
    })
}

//! LightGBM: the text of `Booster.save_model("model.txt")`, objectives binary and multiclass.
//!
//! `predict` compares `<=` in f64 and adds leaves in f64 in the file's order (the start from the average is part of the first tree). Then
//! a sigmoid or softmax in f64, and the class is above one half, or the first of the largest.

use std::collections::HashMap;
use std::str::FromStr;

use super::bound::bound_f64;
use super::error::{ImportError, check_rounds, field, unsupported};
use super::forest::{Branch, Forest, Precision, Tree};
use crate::vote::{Arithmetic, Choice, Combination, VOTE_NODES_MAX};

/// Classes that a booster may have here.
const CLASSES_MAX: usize = 256;
/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const MISSING_SHIFT: u8 = 2;
const MISSING_ZERO: u8 = 1;

/// Whether the text starts as LightGBM's does.
pub(crate) fn looks_like(text: &[u8]) -> bool {
    text.starts_with(b"tree\n") || text.starts_with(b"tree\r\n")
}

/// The lines `key=value` of the header or of one tree.
struct Block<'a> {
    place: String,
    fields: HashMap<&'a str, &'a str>,
}

impl<'a> Block<'a> {
    fn text(&self, key: &str) -> Result<&'a str, ImportError> {
        self.fields.get(key).copied().ok_or_else(|| field(format!("{}: {key}", self.place), "nothing", format!("a line {key}=...")))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T, ImportError> {
        let text = self.text(key)?;
        text.trim().parse().map_err(|_| field(format!("{}: {key}", self.place), format!("{text:?}"), "a number"))
    }

    /// The numbers of a line, `count` of them.
    fn numbers<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, ImportError> {
        let place = || format!("{}: {key}", self.place);
        let words: Vec<_> = self.text(key)?.split_ascii_whitespace().collect();
        if words.len() != count {
            return Err(field(place(), format!("{} numbers", words.len()), count.to_string()));
        }
        let parsed = words.into_iter().map(|word| word.parse().map_err(|_| field(place(), format!("{word:?}"), "a number in range")));
        parsed.collect()
    }
}

pub(crate) fn parse(text: &[u8], rounds: Option<usize>) -> Result<Forest, ImportError> {
    let text = str::from_utf8(text).map_err(|error| field(format!("byte {}", error.valid_up_to()), "no UTF-8", "LightGBM's text"))?;
    let (header, blocks) = blocks(text)?;
    if header.fields.contains_key("average_output") {
        return Err(unsupported("average_output", "boosting rf", "train with boosting gbdt"));
    }
    let (vote, outputs) = vote(&header)?;
    let each: usize = header.number("num_tree_per_iteration")?;
    if each != vote.base.len() {
        return Err(field("num_tree_per_iteration", each, vote.base.len().to_string()));
    }
    let mut trees = blocks.iter().enumerate().map(|(index, block)| tree(block, index % each)).collect::<Result<Vec<_>, _>>()?;
    if trees.is_empty() || trees.len() % each != 0 {
        return Err(field("trees", format!("{} before \"end of trees\"", trees.len()), format!("a multiple of {each}")));
    }
    if let Some(rounds) = rounds {
        check_rounds(rounds, trees.len() / each)?;
        trees.truncate(rounds * each);
    }
    let columns: Vec<String> = header.text("feature_names")?.split_ascii_whitespace().map(str::to_owned).collect();
    let last: usize = header.number("max_feature_idx")?;
    Ok(Forest {
        trees,
        precision: Precision::F64,
        vote,
        labels: (0..outputs).map(|class| class.to_string()).collect(),
        // The names that it makes up where it is given none.
        names: Some(columns).filter(|names| !names.iter().enumerate().all(|(column, name)| *name == format!("Column_{column}"))),
        columns_count: last.saturating_add(1),
        columns: Vec::new(),
        notes: vec!["directions of missing values are dropped: no feature is ever missing".to_owned()],
    })
}

/// The header, then one block a tree, up to the line "end of trees".
fn blocks(text: &str) -> Result<(Block<'_>, Vec<Block<'_>>), ImportError> {
    let mut header = Block { place: "header".to_owned(), fields: HashMap::new() };
    let mut trees: Vec<Block<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line == "end of trees" {
            return Ok((header, trees));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            trees.push(Block { place: format!("Tree={value} (line {})", index + 1), fields: HashMap::new() });
        } else if !line.is_empty() {
            let block = trees.last_mut().unwrap_or(&mut header);
            if block.fields.insert(key, value).is_some() {
                return Err(field(format!("line {}", index + 1), format!("{key} a second time"), "each field once"));
            }
        }
    }
    Err(field("the last line", "no \"end of trees\"", "a whole file"))
}

/// The vote of the objective, and how many classes it tells apart.
fn vote(header: &Block<'_>) -> Result<(Combination, usize), ImportError> {
    let Some(objective) = header.fields.get("objective") else {
        return Err(unsupported("header: objective", "a custom objective", "train with binary or multiclass"));
    };
    let mut words = objective.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let parameter = |words: std::str::SplitAsciiWhitespace<'_>, key: &str| {
        let mut words = words;
        words.find_map(|word| word.strip_prefix(key)?.parse::<f64>().ok())
    };
    let arithmetic = Arithmetic::F64;
    match name {
        "binary" => {
            let scale = parameter(words, "sigmoid:").filter(|scale| *scale > 0.0 && scale.is_finite());
            let scale = scale.ok_or_else(|| field("header: objective", format!("{objective:?}"), "sigmoid: and a number above 0"))?;
            let bound = bound_f64(|sum| 1.0 / (1.0 + (-scale * sum).exp()));
            Ok((Combination { choice: Choice::Above(bound), arithmetic, base: vec![0.0], classes: Vec::new() }, 2))
        }
        "multiclass" => {
            let classes: usize = header.number("num_class")?;
            if !(2..=CLASSES_MAX).contains(&classes) {
                return Err(field("header: num_class", classes, format!("2 to {CLASSES_MAX}")));
            }
            Ok((Combination { choice: Choice::LargestSoftmax, arithmetic, base: vec![0.0; classes], classes: Vec::new() }, classes))
        }
        other => Err(unsupported("header: objective", other, "train with binary or multiclass")),
    }
}

fn tree(block: &Block<'_>, output: usize) -> Result<Tree, ImportError> {
    let leaves: usize = block.number("num_leaves")?;
    if leaves == 0 || leaves > VOTE_NODES_MAX {
        return Err(field(format!("{}: num_leaves", block.place), leaves, format!("1 to {VOTE_NODES_MAX}")));
    }
    if block.number::<u64>("num_cat")? != 0 {
        return Err(unsupported(format!("{}: num_cat", block.place), "a categorical split", "train on numbers"));
    }
    if block.fields.get("is_linear").is_some_and(|linear| linear.trim() != "0") {
        return Err(unsupported(format!("{}: is_linear", block.place), "a linear leaf", "train without linear_tree"));
    }
    let inner = leaves - 1;
    let mut nodes = Vec::with_capacity(inner + leaves);
    if inner > 0 {
        let (features, thresholds) = (block.numbers::<usize>("split_feature", inner)?, block.numbers::<f64>("threshold", inner)?);
        let (lefts, rights) = (block.numbers::<i64>("left_child", inner)?, block.numbers::<i64>("right_child", inner)?);
        for (split, decision) in block.numbers::<u8>("decision_type", inner)?.into_iter().enumerate() {
            let place = || format!("{}: decision_type[{split}]", block.place);
            if decision & CATEGORICAL != 0 {
                return Err(unsupported(place(), "a categorical split", "train on numbers"));
            }
            if decision >> MISSING_SHIFT & 3 == MISSING_ZERO {
                return Err(unsupported(place(), "zero as missing", "train with zero_as_missing=false: a gap of 0 is a value"));
            }
            let child = |found: i64| {
                // A leaf is numbered ~0, ~1, ...; here the leaves follow the splits.
                let index = if found < 0 {
                    usize::try_from(!found).ok().and_then(|leaf| leaf.checked_add(inner))
                } else {
                    usize::try_from(found).ok()
                };
                index.unwrap_or(usize::MAX)
            };
            let (left, right) = (child(lefts[split]), child(rights[split]));
            nodes.push(Branch::Split { feature: features[split], threshold: thresholds[split], strict: false, left, right });
        }
    }
    nodes.extend(block.numbers::<f64>("leaf_value", leaves)?.into_iter().map(|value| Branch::Leaf(vec![value])));
    Ok(Tree { place: block.place.clone(), output, nodes, unused: 0 })
}

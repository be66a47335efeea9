//! `treeline import`: a model that another library trained becomes a model file, with a report on how exactly. Not here: the formats, which are
//! `treeline_model::import`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use treeline_ebpf::feature::FRACTION_BITS;
use treeline_lab::cause::explain;
use treeline_model::import::{self, Contract, Imported, Options, Source, TimeUnit, Unreachable, Witness};
use treeline_model::{Model, Rule};

use crate::options::Format;
use crate::output::print;

/// Import a model of scikit-learn, XGBoost, LightGBM, ONNX, the paper.
///
/// The imported tree decides every vector on the classifier's fixed-point grid as the library decides its float form; the report says whether
/// that holds, and lists the thresholds that the library's own rounding moved (docs/import.md).
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Import {
    /// The model: a file, or the folder of the paper's five arrays.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// The model file to write; one that is there is replaced. Without it, only the report is given.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Whose model it is. Default: what its content looks like.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub from: Option<From>,

    /// The unit of the times that the model was trained on. Default: ns; required for the paper's arrays, which do not say.
    #[arg(long, value_enum, value_name = "UNIT")]
    pub time_unit: Option<Unit>,

    /// Rounds of a boosted model to import, from the first on. Default: those that the library's own predict takes: after early stopping of
    /// `XGBClassifier` the best, else all.
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,

    /// The classifier's names of the model's columns, in the model's order; `NAME_fixed` for a column of fixed-point integers, as `treeline features`
    /// writes it. Default: the file's names, else all twelve in the classifier's order.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub features: Option<Vec<String>>,

    /// Names for the model's classes, in its order, benign first.
    #[arg(long, value_delimiter = ',', value_name = "NAME", conflicts_with = "malicious")]
    pub classes: Option<Vec<String>>,

    /// The model's own classes that are malicious, as its file has them; all others become benign.
    #[arg(long, value_delimiter = ',', value_name = "LABEL", allow_hyphen_values = true)]
    pub malicious: Vec<String>,

    /// The report: text for people, json for programs.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Show at most N moved thresholds in text.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub list: usize,
}

const EXAMPLES: &str = "\
Examples:
  treeline import tree.json -o model.json
  treeline import --time-unit ms reference-tree/ -o model.json
  treeline import --malicious dos,scan forest.onnx -o model.json

Exit codes: 0 imported, 1 imported but not exact on the grid, 2 bad usage or input.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// The arrays of a fitted tree or forest, as JSON (docs/import.md has the snippet).
    Sklearn,
    /// Five arrays in a folder.
    Paper,
    /// `save_model("model.json")`.
    Xgboost,
    /// `save_model("model.txt")`.
    Lightgbm,
    /// ONNX-ML, classic operators and `TreeEnsemble`.
    Onnx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    Ns,
    Us,
    Ms,
    S,
}

/// Imports, writes, and says what came of it.
pub fn run(options: &Import) -> Result<ExitCode, String> {
    let format = options.from.map(|from| match from {
        From::Sklearn => import::Format::Sklearn,
        From::Paper => import::Format::Paper,
        From::Xgboost => import::Format::Xgboost,
        From::Lightgbm => import::Format::Lightgbm,
        From::Onnx => import::Format::Onnx,
    });
    let source = Source::read(&options.model, format).map_err(|error| explain(&error))?;
    let said = Options {
        time_unit: options.time_unit.map(|unit| match unit {
            Unit::Ns => TimeUnit::Ns,
            Unit::Us => TimeUnit::Us,
            Unit::Ms => TimeUnit::Ms,
            Unit::S => TimeUnit::S,
        }),
        rounds: options.rounds,
        features: options.features.clone(),
        classes: options.classes.clone(),
        malicious: options.malicious.clone(),
    };
    let imported = import::import(&source, &said).map_err(|error| format!("{}: {}", options.model.display(), explain(&error)))?;
    if let Some(output) = &options.output {
        imported.model.write(output).map_err(|error| explain(&error))?;
    }
    match options.format {
        Format::Text => print(&text(options, &imported))?,
        Format::Json => print(&format!("{:#}\n", record(options, &imported)))?,
    }
    Ok(ExitCode::from(u8::from(!imported.contract.is_exact())))
}

fn text(options: &Import, imported: &Imported) -> String {
    let mut text = format!("{}\n", options.model.display());
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<9}{value}");
    };
    let contract = &imported.contract;
    line("format", imported.format.name().to_owned());
    line("model", size(&imported.model));
    line("classes", imported.model.classes().join(", "));
    line(
        "exact",
        match contract.inexact.len() {
            0 => format!("yes: decides every vector on the grid as the library does ({} splits)", contract.splits),
            count => format!("NO: {count} of {} splits decide otherwise than the library", contract.splits),
        },
    );
    if !contract.moved.is_empty() {
        line(
            "moved",
            format!(
                "{} thresholds by the library's own rounding: numbers compared as written would decide otherwise",
                contract.moved.len()
            ),
        );
    }
    for (number, part) in unit_question(contract).into_iter().enumerate() {
        line(if number == 0 { "unit?" } else { "" }, part);
    }
    for note in &imported.notes {
        line("note", note.clone());
    }
    if let Some(output) = &options.output {
        line("written", output.display().to_string());
    }
    for witness in contract.inexact.iter().chain(&contract.moved).take(options.list) {
        let _ = write!(text, "\n{}", shown(witness, imported.model.classes()));
    }
    let more = (contract.inexact.len() + contract.moved.len()).saturating_sub(options.list);
    if more > 0 {
        let _ = writeln!(text, "\n  and {more} more (--list N shows more, --format json all)");
    }
    text
}

/// Whether the model's numbers look as if they were in another unit; empty if they do not.
fn unit_question(contract: &Contract) -> Vec<String> {
    if let Some(Unreachable { feature, threshold, range: (first, last), .. }) = contract.unreachable.first() {
        let (count, splits) = (contract.unreachable.len(), contract.splits);
        return vec![
            format!("{count} of {splits} thresholds lie outside of what their feature can be. Is this the right unit?"),
            format!("the first: {feature} at {threshold}, which is {first} to {last}"),
            "--time-unit names the unit of times, --features NAME_fixed columns of integers".to_owned(),
        ];
    }
    let short = contract.short_times.map(|largest| {
        vec![
            format!("all thresholds on times are below 1 ms, the largest is {largest}. Is this the right unit?"),
            "--time-unit names the unit of times".to_owned(),
        ]
    });
    short.unwrap_or_default()
}

fn size(model: &Model) -> String {
    match model.rule() {
        Rule::Tree(tree) => format!("one tree, {} nodes, depth {}", tree.nodes().len(), tree.depth()),
        Rule::Vote(vote) => {
            let nodes: usize = model.trees().map(<[_]>::len).sum();
            format!("an ensemble of {} trees, {nodes} nodes together; native and the reference run it", vote.estimators().len())
        }
    }
}

fn shown(witness: &Witness, classes: &[String]) -> String {
    let Witness { tree, node, feature, threshold, fixed, vector, float_class, fixed_class } = witness;
    let vector = vector.iter().map(|value| real(*value).to_string()).collect::<Vec<_>>().join(" ");
    let class = |class: &u16| classes.get(usize::from(*class)).map_or("unknown", String::as_str);
    format!(
        "  trees[{tree}].nodes[{node}]: {feature} at {threshold} became {} (fixed point {fixed})\n    witness {vector}\n    float {}, fixed {}\n",
        real(*fixed),
        class(float_class),
        class(fixed_class)
    )
}

fn record(options: &Import, imported: &Imported) -> Value {
    let witness = |witness: &Witness| {
        let Witness { tree, node, feature, threshold, fixed, vector, float_class, fixed_class } = witness;
        json!({
            "tree": tree,
            "node": node,
            "feature": feature,
            "threshold": threshold,
            "threshold_fixed": fixed,
            "witness_fixed": vector,
            "class_float": float_class,
            "class_fixed": fixed_class,
        })
    };
    let contract = &imported.contract;
    json!({
        "model": options.model.display().to_string(),
        "format": imported.format.name(),
        "trees": imported.model.trees().count(),
        "classes": imported.model.classes(),
        "splits": contract.splits,
        "exact": contract.is_exact(),
        "inexact": contract.inexact.iter().map(witness).collect::<Vec<_>>(),
        "moved": contract.moved.iter().map(witness).collect::<Vec<_>>(),
        "unreachable": contract.unreachable.iter().map(|split| {
            let Unreachable { tree, node, feature, threshold, range: (first, last) } = split;
            json!({"tree": tree, "node": node, "feature": feature, "threshold": threshold, "range": [first, last]})
        }).collect::<Vec<_>>(),
        "unit_question": unit_question(contract).first(),
        "notes": imported.notes,
        "written": options.output.as_ref().map(|output| output.display().to_string()),
    })
}

/// A fixed-point number for people; beyond 2^53 the last bits are rounded.
#[expect(clippy::cast_precision_loss, reason = "for people; the fixed-point number stands beside it")]
fn real(fixed: i64) -> f64 {
    fixed as f64 / f64::from(1_u32 << FRACTION_BITS)
}

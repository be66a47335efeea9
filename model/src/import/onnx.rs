//! ONNX-ML: one `TreeEnsembleClassifier`, `TreeEnsembleRegressor` (ai.onnx.ml 1 to 3) or `TreeEnsemble` (5) that takes the graph's input.
//!
//! As onnxruntime decides: on 32-bit input features, thresholds and sums are f32, on 64-bit input f64; sums run in the order of the trees, then
//! comes the base value. What follows the trees may only cast or rename.

mod classic;
mod message;
mod modern;

use prost::Message;

use super::error::{ImportError, field, unsupported};
use super::forest::{Branch, Forest, Precision, Tree};
use crate::vote::{Arithmetic, Choice, Combination, VOTE_NODES_MAX};
use message::{Attribute, Graph, Model, Node, Tensor, ValueInfo};

/// The operators' domain.
const DOMAIN: &str = "ai.onnx.ml";
/// Operators after the trees that leave the class as it is.
const HARMLESS: [&str; 3] = ["Cast", "Identity", "ZipMap"];
/// Element types of tensors.
const FLOAT: i32 = 1;
const DOUBLE: i32 = 11;

/// Whether the bytes decode to a model with a graph.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    Model::decode(bytes).is_ok_and(|model| model.graph.is_some())
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Forest, ImportError> {
    let model = Model::decode(bytes).map_err(|error| ImportError::Onnx { reason: error.to_string() })?;
    let graph = model.graph.ok_or_else(|| ImportError::Onnx { reason: "no graph".to_owned() })?;
    let node = trees(&graph)?;
    let input = input(&graph, node)?;
    let attributes = Attributes { operator: &node.op_type, list: &node.attribute };
    let input = Input::of(input)?;
    if node.op_type == "TreeEnsemble" { modern::parse(&attributes, &input) } else { classic::parse(&attributes, &input) }
}

/// The one operator that holds trees.
fn trees(graph: &Graph) -> Result<&Node, ImportError> {
    let mut found = None;
    for (index, node) in graph.node.iter().enumerate() {
        let place = || format!("graph.node[{index}] ({})", node.op_type);
        if node.domain == DOMAIN && ["TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"].contains(&node.op_type.as_str()) {
            if found.replace(node).is_some() {
                return Err(unsupported(place(), "a second operator with trees", "import each apart"));
            }
        } else if !HARMLESS.contains(&node.op_type.as_str()) {
            let advice = "give the trees alone, on features as they are: scaling before them and scores after them would be lost";
            return Err(unsupported(place(), "this operator", advice));
        }
    }
    found.ok_or_else(|| field("graph.node", "no operator with trees", "TreeEnsembleClassifier, TreeEnsembleRegressor or TreeEnsemble"))
}

fn input<'a>(graph: &'a Graph, node: &Node) -> Result<&'a ValueInfo, ImportError> {
    let name = node.input.first().map(String::as_str).unwrap_or_default();
    graph.input.iter().find(|input| input.name == name).ok_or_else(|| {
        let inputs = graph.input.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
        field(format!("{}.input[0]", node.op_type), format!("{name:?}"), format!("the graph's own input: {inputs}"))
    })
}

/// What the trees are given.
struct Input {
    precision: Precision,
    arithmetic: Arithmetic,
    /// Where the shape says so.
    columns: Option<usize>,
}

impl Input {
    fn of(input: &ValueInfo) -> Result<Self, ImportError> {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let (precision, arithmetic) = match tensor.map(|tensor| tensor.elem_type) {
            Some(FLOAT) => (Precision::F32, Arithmetic::F32),
            Some(DOUBLE) => (Precision::F64, Arithmetic::F64),
            other => {
                let found = format!("element type {}", other.unwrap_or(0));
                return Err(unsupported(format!("input {:?}", input.name), found, "export for float or double input"));
            }
        };
        let dimensions = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| shape.dim.as_slice());
        let columns = dimensions.and_then(|dimensions| dimensions.get(1)?.dim_value).and_then(|columns| usize::try_from(columns).ok());
        Ok(Self { precision, arithmetic, columns: columns.filter(|columns| *columns > 0) })
    }

    /// The forest; where the shape does not say how many columns there are, they are the classifier's.
    fn forest(&self, trees: Vec<Tree>, vote: Combination, labels: Vec<String>) -> Forest {
        Forest {
            trees,
            precision: self.precision,
            vote,
            labels,
            names: None,
            columns_count: self.columns.unwrap_or(treeline_ebpf::feature::FEATURES),
            columns: Vec::new(),
            notes: vec!["directions of missing values are dropped: no feature is ever missing".to_owned()],
        }
    }
}

/// The attributes of the operator, by name and type.
struct Attributes<'a> {
    operator: &'a str,
    list: &'a [Attribute],
}

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&'a Attribute> {
        self.list.iter().find(|attribute| attribute.name == name)
    }

    fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.operator)
    }

    fn ints(&self, name: &str) -> &'a [i64] {
        self.get(name).map_or(&[], |attribute| attribute.ints.as_slice())
    }

    /// Numbers given as floats, or in the attribute `NAME_as_tensor` as doubles.
    fn numbers(&self, name: &str) -> Result<Vec<f64>, ImportError> {
        if let Some(attribute) = self.get(name) {
            return match &attribute.t {
                Some(tensor) => tensor.numbers(|| self.place(name)),
                None => Ok(attribute.floats.iter().map(|&number| number.into()).collect()),
            };
        }
        match self.get(&format!("{name}_as_tensor")).and_then(|attribute| attribute.t.as_ref()) {
            Some(tensor) => tensor.numbers(|| self.place(name)),
            None => Ok(Vec::new()),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    /// Indices, `count` of them.
    fn indices(&self, name: &str, count: usize) -> Result<Vec<usize>, ImportError> {
        let numbers = self.ints(name);
        self.counted(name, numbers.len(), count)?;
        let index =
            |(place, &number)| usize::try_from(number).map_err(|_| field(format!("{}[{place}]", self.place(name)), number, "0 or more"));
        numbers.iter().enumerate().map(index).collect()
    }

    fn counted(&self, name: &str, found: usize, expected: usize) -> Result<(), ImportError> {
        if found == expected && found <= VOTE_NODES_MAX {
            return Ok(());
        }
        Err(field(self.place(name), format!("{found} numbers"), format!("{}", expected.min(VOTE_NODES_MAX))))
    }
}

impl Tensor {
    /// The numbers of a float or double tensor.
    fn numbers(&self, place: impl Fn() -> String) -> Result<Vec<f64>, ImportError> {
        let raw = self.raw_data.as_slice();
        match self.data_type {
            FLOAT if raw.is_empty() => Ok(self.float_data.iter().map(|&number| number.into()).collect()),
            FLOAT => Ok(raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect()),
            DOUBLE if raw.is_empty() => Ok(self.double_data.clone()),
            DOUBLE => Ok(raw.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()),
            other => Err(field(place(), format!("tensor of type {other}"), "float or double")),
        }
    }
}

/// How a node compares, and whether its children swap: `>=` is `<` the other way round.
#[derive(Clone, Copy)]
struct Mode {
    strict: bool,
    swapped: bool,
}

impl Mode {
    fn split(self, feature: usize, threshold: f64, is_true: usize, is_false: usize) -> Branch {
        let (left, right) = if self.swapped { (is_false, is_true) } else { (is_true, is_false) };
        Branch::Split { feature, threshold, strict: self.strict, left, right }
    }
}

/// The vote of the scores of `outputs` targets without classes of their own: one is the share of malicious, several are one a class. One target
/// takes no LOGISTIC: onnxruntime leaves it out, against the operator's text.
fn regression(outputs: usize, is_mean: bool, transform: &str, arithmetic: Arithmetic) -> Result<(Combination, usize), ImportError> {
    let refused =
        || unsupported("post_transform", format!("{transform} on {outputs} targets"), "export with NONE, or several targets with SOFTMAX");
    let choice = match (outputs, transform) {
        (1, "NONE") if !is_mean => Choice::Above(0.5),
        (2.., "NONE") if is_mean => Choice::LargestMean,
        (2.., "NONE") => Choice::Largest,
        (2.., "SOFTMAX") if !is_mean => Choice::LargestSoftmax,
        _ => return Err(refused()),
    };
    Ok((Combination { choice, arithmetic, base: vec![0.0; outputs], classes: Vec::new() }, outputs.max(2)))
}

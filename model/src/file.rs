//! text <-> model: the JSON document, its fields and their order. One line a node, so that a difference reads well.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use treeline_ebpf::feature::{FRACTION_BITS, NAMES};
use treeline_ebpf::tree::NODES_MAX;

use crate::vote::{self, Arithmetic, Choice, Combination, Estimator};
use crate::{Error, Model, Node, Precondition, Rule, Side, Tree, Vote, schema, shape};

/// What the document calls itself.
pub const FORMAT: &str = "treeline-model";
/// The version read and written here.
pub const VERSION: u64 = 1;
/// Bytes a document may have.
pub const BYTES_MAX: usize = 32 << 20;

/// The model of `text`.
pub(crate) fn parse(text: &[u8]) -> Result<Model, Error> {
    if text.len() > BYTES_MAX {
        return Err(Error::TooLarge);
    }
    check_header(text)?;
    let document: Document = object(text)?;
    document.schema.check()?;
    schema::check_classes(&document.classes)?;
    let rule = match (document.nodes, document.vote, document.trees) {
        (Some(nodes), None, None) => Rule::Tree(tree(&nodes, document.classes.len())?),
        (None, Some(vote), Some(trees)) => Rule::Vote(self::vote(vote, trees)?),
        (nodes, vote, trees) => {
            let found = [("nodes", nodes.is_some()), ("vote", vote.is_some()), ("trees", trees.is_some())];
            return Err(Error::Rule { found: listed(found) });
        }
    };
    let model = Model::new(document.description, document.classes, rule)?;
    let model = match document.training {
        Some(training) => model.with_training(training),
        None => model,
    };
    let packets_min = document.packets_min.unwrap_or(1);
    let packets_min = u32::try_from(packets_min).map_err(|_| Error::PacketsMin { found: packets_min })?;
    model.with_precondition(Precondition::new(packets_min, document.midstream_passes.unwrap_or(false))?)
}

fn tree(nodes: &Bounded<Object<FileNode>>, classes: usize) -> Result<Tree, Error> {
    shape::check_count(nodes.count)?;
    let nodes = nodes.items.iter().enumerate().map(|(index, Object(node))| node.narrow(index, nodes.count, classes));
    Tree::new(nodes.collect::<Result<_, _>>()?, classes)
}

fn vote(vote: Object<FileVote>, trees: Vec<Object<FileTree>>) -> Result<Vote, Error> {
    vote::check_count(trees.len())?;
    let estimators = trees.into_iter().enumerate();
    let estimators =
        estimators.map(|(tree, Object(found))| found.narrow().map_err(|error| Error::Estimator { tree, error: Box::new(error) }));
    let estimators = estimators.collect::<Result<_, _>>()?;
    let Object(FileVote { choice, arithmetic, base, classes }) = vote;
    Vote::new(Combination { choice, arithmetic, base, classes }, estimators)
}

/// Refuses a document of another kind or version as that, and not for its other fields.
fn check_header(text: &[u8]) -> Result<(), Error> {
    let header: Header = object(text)?;
    match header.format {
        Some(format) if format == FORMAT => {}
        found => return Err(Error::Format { found }),
    }
    match header.version {
        Some(VERSION) | None => Ok(()),
        Some(found) => Err(Error::Version { found }),
    }
}

/// The text of `model`, which [`parse`] reads back to an equal one.
pub(crate) fn text(model: &Model) -> String {
    let classes = model.classes().iter().map(json).collect::<Vec<_>>().join(", ");
    let packets_min = match model.precondition().packets_min() {
        1 => String::new(),
        packets_min => format!("\n  \"packets_min\": {packets_min},"),
    };
    let midstream_passes = if model.precondition().midstream_passes() { "\n  \"midstream_passes\": true," } else { "" };
    let rule = match model.rule() {
        Rule::Tree(tree) => format!("\"nodes\": [\n    {}\n  ]", tree.nodes().iter().map(node_text).collect::<Vec<_>>().join(",\n    ")),
        Rule::Vote(vote) => vote_text(vote),
    };
    let training = model.training().map(|training| format!(",\n  \"training\": {}", json_pretty(training))).unwrap_or_default();
    format!(
        r#"{{
  "format": {},
  "version": {VERSION},
  "description": {},
  "schema": {},
  "classes": [{classes}],{packets_min}{midstream_passes}
  {rule}{training}
}}
"#,
        json(FORMAT),
        json(model.description()),
        schema_text(),
    )
}

fn vote_text(vote: &Vote) -> String {
    let Combination { choice, arithmetic, base, classes } = vote.combination();
    format!(
        "\"vote\": {{\"rule\": {}, \"arithmetic\": {}, \"base\": {}, \"classes\": {}}},\n  \"trees\": [\n    {}\n  ]",
        json(choice),
        json(arithmetic),
        json(base),
        json(classes),
        vote.estimators().iter().map(estimator_text).collect::<Vec<_>>().join(",\n    "),
    )
}

fn estimator_text(estimator: &Estimator) -> String {
    let nodes = estimator.nodes.iter().map(|node| match node {
        Node::Leaf { class } => format!(r#"{{"values": {}}}"#, json(&estimator.values[usize::from(*class)])),
        inner @ Node::Inner { .. } => node_text(inner),
    });
    format!("{{\"output\": {}, \"nodes\": [\n      {}\n    ]}}", estimator.output, nodes.collect::<Vec<_>>().join(",\n      "))
}

/// The classifier's schema, to stand in a document.
fn schema_text() -> String {
    let features = NAMES.iter().map(|(name, unit)| format!(r#"{{"name": {}, "unit": {}}}"#, json(name), json(unit)));
    let features = features.collect::<Vec<_>>().join(",\n      ");
    format!("{{\n    \"fraction_bits\": {FRACTION_BITS},\n    \"features\": [\n      {features}\n    ]\n  }}")
}

fn node_text(node: &Node) -> String {
    match node {
        Node::Inner { feature, threshold, left, right } => {
            format!(r#"{{"feature": {feature}, "threshold": {threshold}, "left": {left}, "right": {right}}}"#)
        }
        Node::Leaf { class } => format!(r#"{{"class": {class}}}"#),
    }
}

fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).expect("texts are JSON")
}

/// Indented to stand in the document; line breaks inside texts are escaped, so each one found is the layout's.
fn json_pretty(value: &Map<String, Value>) -> String {
    serde_json::to_string_pretty(value).expect("JSON is JSON").replace('\n', "\n  ")
}

#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "given")]
    format: Option<String>,
    #[serde(default, deserialize_with = "given")]
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Known from the header, as is the version.
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u64,
    description: String,
    schema: FileSchema,
    classes: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    nodes: Option<Bounded<Object<FileNode>>>,
    #[serde(default, deserialize_with = "given")]
    vote: Option<Object<FileVote>>,
    #[serde(default, deserialize_with = "given")]
    trees: Option<Vec<Object<FileTree>>>,
    #[serde(default, deserialize_with = "given")]
    packets_min: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    midstream_passes: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    training: Option<Map<String, Value>>,
}

/// The schema as written.
#[derive(Deserialize)]
#[serde(transparent)]
struct FileSchema(Object<Schema>);

impl FileSchema {
    /// Refuses a schema that is not the classifier's.
    fn check(self) -> Result<(), Error> {
        let Object(Schema { fraction_bits, features }) = self.0;
        let features: Vec<_> = features.into_iter().map(|Object(FileFeature { name, unit })| (name, unit)).collect();
        schema::check(fraction_bits, &features)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    fraction_bits: u64,
    features: Vec<Object<FileFeature>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFeature {
    name: String,
    unit: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVote {
    #[serde(rename = "rule")]
    choice: Choice,
    arithmetic: Arithmetic,
    base: Vec<f64>,
    classes: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTree {
    output: usize,
    nodes: Bounded<Object<FileNode>>,
}

impl FileTree {
    fn narrow(self) -> Result<Estimator, Error> {
        let count = self.nodes.count;
        shape::check_count(count)?;
        let mut values = Vec::new();
        let mut nodes = Vec::with_capacity(count);
        for (index, Object(mut node)) in self.nodes.items.into_iter().enumerate() {
            nodes.push(match node.values.take() {
                Some(row) if node.is_empty() => {
                    values.push(row);
                    #[expect(clippy::cast_possible_truncation, reason = "no more leaves than nodes, which are 8192 at most")]
                    Node::Leaf { class: (values.len() - 1) as u16 }
                }
                None if node.is_inner() => node.narrow(index, count, 0)?,
                row => {
                    node.values = row;
                    return Err(Error::NodeFields { node: index, found: node.fields(), leaf: "values" });
                }
            });
        }
        Ok(Estimator { output: self.output, nodes, values })
    }
}

/// The first items of a list, as many as a tree may have nodes, and how many there are: a longer list is counted and not kept.
struct Bounded<T> {
    items: Vec<T>,
    count: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Bounded<T>;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < NODES_MAX {
                    match list.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded { count: items.len(), items }),
                    }
                }
                let mut count = items.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Bounded { items, count })
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// A node as written; wide integers, so that a number out of range is refused with its range.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    #[serde(default, deserialize_with = "given")]
    feature: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    threshold: Option<i64>,
    #[serde(default, deserialize_with = "given")]
    left: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    right: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    class: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    values: Option<Vec<f64>>,
}

impl FileNode {
    /// The node in 16-bit numbers; whether they are in range is the shape's matter.
    fn narrow(&self, node: usize, nodes: usize, classes: usize) -> Result<Node, Error> {
        let child = |side, found| u16::try_from(found).map_err(|_| Error::ChildRange { node, side, found, nodes });
        match *self {
            Self {
                feature: Some(feature),
                threshold: Some(threshold),
                left: Some(left),
                right: Some(right),
                class: None,
                values: None,
            } => {
                let feature = u16::try_from(feature).map_err(|_| Error::FeatureRange { node, found: feature })?;
                Ok(Node::Inner { feature, threshold, left: child(Side::Left, left)?, right: child(Side::Right, right)? })
            }
            Self { feature: None, threshold: None, left: None, right: None, class: Some(class), values: None } => {
                u16::try_from(class).map(|class| Node::Leaf { class }).map_err(|_| Error::ClassRange { node, found: class, classes })
            }
            _ => Err(Error::NodeFields { node, found: self.fields(), leaf: "class" }),
        }
    }

    /// Whether a question's fields, and no other, are there.
    fn is_inner(&self) -> bool {
        matches!(self, Self { feature: Some(_), threshold: Some(_), left: Some(_), right: Some(_), class: None, values: None })
    }

    /// Whether no field is there.
    fn is_empty(&self) -> bool {
        matches!(self, Self { feature: None, threshold: None, left: None, right: None, class: None, values: None })
    }

    fn fields(&self) -> String {
        let fields = [
            ("feature", self.feature.is_some()),
            ("threshold", self.threshold.is_some()),
            ("left", self.left.is_some()),
            ("right", self.right.is_some()),
            ("class", self.class.is_some()),
            ("values", self.values.is_some()),
        ];
        listed(fields)
    }
}

/// The names of the fields that are there.
fn listed<const N: usize>(fields: [(&'static str, bool); N]) -> String {
    let found: Vec<_> = fields.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
    if found.is_empty() { "no field".to_owned() } else { found.join(", ") }
}

/// An optional field that is there has a value; `null` is refused, as absence has one spelling.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `T` written as an object with named fields. Alone, serde would also take a list of the values in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        refused(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| refused(".", &error))?;
    Ok(value)
}

fn refused(path: &str, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
    if error.is_data() {
        let field = if path == "." { "the document" } else { path }.to_owned();
        Error::Field { field, line, column, reason }
    } else {
        Error::NotJson { line, column, reason }
    }
}

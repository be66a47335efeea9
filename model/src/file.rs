//! text <-> model: the JSON document, its fields and their order. One line a node, so that a difference reads well.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use treeline_ebpf::feature::{FRACTION_BITS, NAMES};

use crate::{Error, Model, Node, Side, schema, shape};

/// What the document calls itself.
pub const FORMAT: &str = "treeline-model";
/// The version read and written here.
pub const VERSION: u64 = 1;
/// Bytes a document may have. The largest tree takes less than 1 MiB. Reading the worst document of this size takes about a hundred times
/// as much memory.
pub const BYTES_MAX: usize = 4 << 20;

/// The model of `text`.
pub(crate) fn parse(text: &[u8]) -> Result<Model, Error> {
    if text.len() > BYTES_MAX {
        return Err(Error::TooLarge);
    }
    if let Kind::Ensemble = kind(text)? {
        return Err(Error::NotOneTree);
    }
    let document: Document = object(text)?;
    document.schema.check()?;
    schema::check_classes(&document.classes)?;
    shape::check_count(document.nodes.len())?;
    let (count, classes) = (document.nodes.len(), document.classes.len());
    let nodes = document.nodes.iter().enumerate().map(|(index, Object(node))| node.narrow(index, count, classes));
    let nodes = nodes.collect::<Result<_, _>>()?;
    let model = Model::from_nodes(document.description, document.classes, nodes)?;
    let model = match document.training {
        Some(training) => model.with_training(training),
        None => model,
    };
    let model = match document.packets_min {
        Some(found) => model.with_packets_min(narrow_packets_min(found)?)?,
        None => model,
    };
    model.with_midstream_passed(document.midstream_passes.unwrap_or(false))
}

/// What a document of this version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One tree: the field `nodes`.
    Tree,
    /// An ensemble: the field `trees`.
    Ensemble,
}

/// What `text` holds, by its header alone, so that a document of another kind or version is refused as that and not for its other fields.
pub(crate) fn kind(text: &[u8]) -> Result<Kind, Error> {
    let header: Header = object(text)?;
    match header.format {
        Some(format) if format == FORMAT => {}
        found => return Err(Error::Format { found }),
    }
    match header.version {
        Some(VERSION) | None => {}
        Some(found) => return Err(Error::Version { found }),
    }
    Ok(if header.trees.is_some() { Kind::Ensemble } else { Kind::Tree })
}

/// The text of `model`, which [`parse`] reads back to an equal one.
pub(crate) fn text(model: &Model) -> String {
    let frame = Frame {
        description: model.description(),
        classes: model.classes(),
        packets_min: model.packets_min(),
        midstream_passes: model.midstream_passes(),
        training: model.training(),
    };
    frame.around(&format!("\"nodes\": [\n    {}\n  ]", model.nodes().iter().map(node_text).collect::<Vec<_>>().join(",\n    ")))
}

/// What tree and ensemble both say, as it is written. Reading lists the fields for each: serde tells the place of an error, and an unknown
/// field, only in a plain struct.
pub(crate) struct Frame<'a> {
    pub(crate) description: &'a str,
    pub(crate) classes: &'a [String],
    pub(crate) packets_min: u32,
    pub(crate) midstream_passes: bool,
    pub(crate) training: Option<&'a Map<String, Value>>,
}

impl Frame<'_> {
    /// The document with `body`, its own fields.
    pub(crate) fn around(&self, body: &str) -> String {
        let classes = self.classes.iter().map(json).collect::<Vec<_>>().join(", ");
        let packets_min = match self.packets_min {
            1 => String::new(),
            packets_min => format!("\n  \"packets_min\": {packets_min},"),
        };
        let midstream_passes = if self.midstream_passes { "\n  \"midstream_passes\": true," } else { "" };
        let training = self.training.map(|training| format!(",\n  \"training\": {}", json_pretty(training))).unwrap_or_default();
        format!(
            r#"{{
  "format": {},
  "version": {VERSION},
  "description": {},
  "schema": {},
  "classes": [{classes}],{packets_min}{midstream_passes}
  {body}{training}
}}
"#,
            json(FORMAT),
            json(self.description),
            schema_text(),
        )
    }
}

/// The number of packets that a document waits for.
pub(crate) fn narrow_packets_min(found: u64) -> Result<u32, Error> {
    u32::try_from(found).map_err(|_| Error::PacketsMin { found })
}

/// The classifier's schema, to stand in a document.
fn schema_text() -> String {
    let features = NAMES.iter().map(|(name, unit)| format!(r#"{{"name": {}, "unit": {}}}"#, json(name), json(unit)));
    let features = features.collect::<Vec<_>>().join(",\n      ");
    format!("{{\n    \"fraction_bits\": {FRACTION_BITS},\n    \"features\": [\n      {features}\n    ]\n  }}")
}

pub(crate) fn node_text(node: &Node) -> String {
    match node {
        Node::Inner { feature, threshold, left, right } => {
            format!(r#"{{"feature": {feature}, "threshold": {threshold}, "left": {left}, "right": {right}}}"#)
        }
        Node::Leaf { class } => format!(r#"{{"class": {class}}}"#),
    }
}

pub(crate) fn json(value: impl Serialize) -> String {
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
    trees: Option<IgnoredAny>,
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
    nodes: Vec<Object<FileNode>>,
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
pub(crate) struct FileSchema(Object<Schema>);

impl FileSchema {
    /// Refuses a schema that is not the classifier's.
    pub(crate) fn check(self) -> Result<(), Error> {
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

/// A node as written; wide integers, so that a number out of range is refused with its range.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileNode {
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
    pub(crate) values: Option<Vec<f64>>,
}

impl FileNode {
    /// The node in 16-bit numbers; whether they are in range is the shape's matter.
    pub(crate) fn narrow(&self, node: usize, nodes: usize, classes: usize) -> Result<Node, Error> {
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
    pub(crate) fn is_inner(&self) -> bool {
        matches!(self, Self { feature: Some(_), threshold: Some(_), left: Some(_), right: Some(_), class: None, values: None })
    }

    /// Whether no field is there.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self { feature: None, threshold: None, left: None, right: None, class: None, values: None })
    }

    pub(crate) fn fields(&self) -> String {
        let fields = [
            ("feature", self.feature.is_some()),
            ("threshold", self.threshold.is_some()),
            ("left", self.left.is_some()),
            ("right", self.right.is_some()),
            ("class", self.class.is_some()),
            ("values", self.values.is_some()),
        ];
        let found: Vec<_> = fields.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
        if found.is_empty() { "no field".to_owned() } else { found.join(", ") }
    }
}

/// An optional field that is there has a value; `null` is refused, as absence has one spelling.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `T` written as an object with named fields. Alone, serde would also take a list of the values in order.
pub(crate) struct Object<T>(pub(crate) T);

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

pub(crate) fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
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

//! text <-> ensemble: the fields of the single tree's document, with `vote` and `trees` in place of `nodes`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Arithmetic, Ensemble, Member, Rule, Vote};
use crate::file::{FileNode, FileSchema, Frame, Object, given, json, narrow_packets_min, node_text, object};
use crate::{Error, Node, schema, shape};

/// The ensemble of `text`, whose kind and version are known.
pub(crate) fn parse(text: &[u8]) -> Result<Ensemble, Error> {
    let document: Document = object(text)?;
    document.schema.check()?;
    schema::check_classes(&document.classes)?;
    super::check_count(document.trees.len())?;
    let trees = document.trees.into_iter().enumerate();
    let trees = trees.map(|(tree, Object(member))| member.narrow().map_err(|error| Error::Tree { tree, error: Box::new(error) }));
    let trees = trees.collect::<Result<_, _>>()?;
    let Object(FileVote { rule, arithmetic, base, classes }) = document.vote;
    let ensemble = Ensemble::new(document.description, document.classes, Vote { rule, arithmetic, base, classes }, trees)?;
    let ensemble = match document.training {
        Some(training) => ensemble.with_training(training),
        None => ensemble,
    };
    let ensemble = match document.packets_min {
        Some(found) => ensemble.with_packets_min(narrow_packets_min(found)?)?,
        None => ensemble,
    };
    Ok(ensemble.with_midstream_passed(document.midstream_passes.unwrap_or(false)))
}

/// The text of `ensemble`, which [`parse`] reads back to an equal one.
pub(crate) fn text(ensemble: &Ensemble) -> String {
    let vote = &ensemble.vote;
    let frame = Frame {
        description: &ensemble.description,
        classes: &ensemble.classes,
        packets_min: ensemble.packets_min,
        midstream_passes: ensemble.midstream_passes,
        training: ensemble.training.as_ref(),
    };
    frame.around(&format!(
        "\"vote\": {{\"rule\": {}, \"arithmetic\": {}, \"base\": {}, \"classes\": {}}},\n  \"trees\": [\n    {}\n  ]",
        json(vote.rule),
        json(vote.arithmetic),
        json(&vote.base),
        json(&vote.classes),
        ensemble.trees.iter().map(tree_text).collect::<Vec<_>>().join(",\n    "),
    ))
}

fn tree_text(tree: &Member) -> String {
    let nodes = tree.nodes.iter().map(|node| match node {
        Node::Leaf { class } => format!(r#"{{"values": {}}}"#, json(&tree.values[usize::from(*class)])),
        inner @ Node::Inner { .. } => node_text(inner),
    });
    format!("{{\"output\": {}, \"nodes\": [\n      {}\n    ]}}", tree.output, nodes.collect::<Vec<_>>().join(",\n      "))
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
    vote: Object<FileVote>,
    trees: Vec<Object<FileTree>>,
    #[serde(default, deserialize_with = "given")]
    packets_min: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    midstream_passes: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    training: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVote {
    rule: Rule,
    arithmetic: Arithmetic,
    base: Vec<f64>,
    classes: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTree {
    output: usize,
    nodes: Vec<Object<FileNode>>,
}

impl FileTree {
    fn narrow(self) -> Result<Member, Error> {
        shape::check_count(self.nodes.len())?;
        let count = self.nodes.len();
        let mut values = Vec::new();
        let mut nodes = Vec::with_capacity(count);
        for (index, Object(mut node)) in self.nodes.into_iter().enumerate() {
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
        Ok(Member { output: self.output, nodes, values })
    }
}

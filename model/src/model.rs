//! The checked model: its names, what it classifies at all, and its rule.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use treeline_ebpf::feature::FEATURES;
use treeline_ebpf::{Features, Tree as Array};

use crate::{BYTES_MAX, Draft, Error, Node, Precondition, Tree, Vote, file, pack, schema, shape};

/// A model that decides every packet. Only such a value exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    description: String,
    classes: Vec<String>,
    precondition: Precondition,
    training: Option<Map<String, Value>>,
    rule: Rule,
}

/// How features become a class.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// One decision tree, whose leaves are classes: every engine runs it.
    Tree(Tree),
    /// Trees whose leaves add to sums, and the class that the sums give: the native engine and the reference run it.
    Vote(Vote),
}

impl Model {
    /// Reads the file at `path`; every error names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || Self::read_from(File::open(path).map_err(|error| Error::Io { error })?);
        read().map_err(|error| error.of(path))
    }

    /// Reads the file at `path`, which must hold one tree; every error names it.
    pub fn read_tree(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let model = Self::read(path)?;
        match model.tree() {
            Ok(_) => Ok(model),
            Err(error) => Err(error.of(path)),
        }
    }

    /// Reads `reader` to its end, but no further than [`BYTES_MAX`].
    pub fn read_from(reader: impl Read) -> Result<Self, Error> {
        let mut text = Vec::new();
        reader.take(BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(|error| Error::Io { error })?;
        Self::read_bytes(&text)
    }

    /// Reads the document `text`. Any bytes give a model or an error.
    pub fn read_bytes(text: &[u8]) -> Result<Self, Error> {
        file::parse(text)
    }

    /// A model that decides by `rule`. `classes` starts with [`BENIGN`](crate::BENIGN). What [`read`](Self::read) refuses in rule and classes is
    /// refused here too.
    pub fn new(description: impl Into<String>, classes: Vec<String>, rule: Rule) -> Result<Self, Error> {
        schema::check_classes(&classes)?;
        match &rule {
            // Its leaves may be of other classes than it was made for.
            Rule::Tree(tree) => shape::check(tree.nodes(), classes.len()).map(drop)?,
            Rule::Vote(vote) => vote.check(classes.len())?,
        }
        Ok(Self { description: description.into(), classes, precondition: Precondition::default(), training: None, rule })
    }

    /// A model of one tree, `nodes`, root first.
    pub fn from_nodes(description: impl Into<String>, classes: Vec<String>, nodes: Vec<Node>) -> Result<Self, Error> {
        schema::check_classes(&classes)?;
        let tree = Tree::new(nodes, classes.len())?;
        Self::new(description, classes, Rule::Tree(tree))
    }

    /// The model with `training` as the record of how it came about, which nothing here interprets.
    #[must_use]
    pub fn with_training(mut self, training: Map<String, Value>) -> Self {
        self.training = Some(training);
        self
    }

    /// The model that classifies only the packets for which `precondition` holds. Refuses a tree that leaves no room for its splits.
    pub fn with_precondition(mut self, precondition: Precondition) -> Result<Self, Error> {
        if let Rule::Tree(tree) = &self.rule {
            shape::check_splits_before(precondition.splits_count(), tree.nodes().len(), tree.depth())?;
        }
        self.precondition = precondition;
        Ok(self)
    }

    /// Writes the file at `path`, replacing one that is there. Refuses a text that could not be read back for its size.
    ///
    /// Whoever reads `path`, also after a crash, finds the old model or the new one, whole ([`Draft`]).
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let text = self.to_json();
        let written = if text.len() > BYTES_MAX { Err(Error::TooLarge) } else { Ok(()) };
        written.and_then(|()| Draft::write(path, text.as_bytes()).map_err(|error| Error::Io { error })).map_err(|error| error.of(path))
    }

    /// The document, one line a node. The same model always gives the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        file::text(self)
    }

    /// What the model is, in its author's words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The classes' names; 0 is benign, every other one malicious.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Which packets it classifies.
    #[must_use]
    pub fn precondition(&self) -> Precondition {
        self.precondition
    }

    /// How the model came about, if its file says so.
    #[must_use]
    pub fn training(&self) -> Option<&Map<String, Value>> {
        self.training.as_ref()
    }

    /// How features become a class.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its one tree, or an error that says it is none.
    pub fn tree(&self) -> Result<&Tree, Error> {
        match &self.rule {
            Rule::Tree(tree) => Ok(tree),
            Rule::Vote(_) => Err(Error::NotOneTree),
        }
    }

    /// The nodes of each of its trees, root first. A leaf's `class` is the class of a single tree, and in a vote the index of its values.
    pub fn trees(&self) -> impl Iterator<Item = &[Node]> {
        let (one, many) = match &self.rule {
            Rule::Tree(tree) => (Some(tree.nodes()), [].as_slice()),
            Rule::Vote(vote) => (None, vote.estimators()),
        };
        one.into_iter().chain(many.iter().map(|estimator| estimator.nodes.as_slice()))
    }

    /// The leaves of all its trees together.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.trees().map(crate::leaves).sum()
    }

    /// Edges between the root and the deepest leaf of all its trees.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.trees().map(crate::depth).max().unwrap_or_default()
    }

    /// The class of fixed-point features, the slots behind them included: benign where the precondition does not hold.
    #[must_use]
    pub fn classify(&self, features: &Features) -> u16 {
        if self.precondition.holds_for(features) { self.decide(features.values()) } else { 0 }
    }

    /// The class of fixed-point features, whatever the precondition says: an index into [`classes`](Self::classes).
    #[must_use]
    pub fn decide(&self, features: [i64; FEATURES]) -> u16 {
        match &self.rule {
            Rule::Tree(tree) => match tree.path(features).last().map(|leaf| tree.nodes()[leaf]) {
                Some(Node::Leaf { class }) => class,
                _ => 0,
            },
            Rule::Vote(vote) => vote.class(&features),
        }
    }

    /// The nodes of its one tree as the classifier walks them: with the precondition's splits (slots `PACKETS` and `MIDSTREAM` of
    /// `treeline_ebpf::feature`) in front.
    pub fn walked_nodes(&self) -> Result<Cow<'_, [Node]>, Error> {
        let tree = self.tree()?;
        Ok(match self.precondition.splits_count() {
            0 => Cow::Borrowed(tree.nodes()),
            _ => Cow::Owned(self.precondition.before(tree.nodes())),
        })
    }

    /// The array that the classifier walks for its one tree, 128 KiB.
    pub fn to_array(&self) -> Result<Box<Array>, Error> {
        Ok(pack::array(&self.walked_nodes()?))
    }
}

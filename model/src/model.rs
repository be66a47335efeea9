//! The checked tree with its names, and its way to the kernel.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use treeline_ebpf::Tree;
use treeline_ebpf::feature::{FRACTION_BITS, MIDSTREAM, PACKETS};
use treeline_ebpf::tree::NODES_MAX;

use crate::{BYTES_MAX, Draft, Error, Node, RealNode, Side, file, pack, schema, shape};

/// A decision tree that the kernel decides with: one root, no cycle, at most `NODES_MAX` nodes and `DEPTH_MAX` edges of depth, all
/// features and classes known. Only such a value exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    description: String,
    classes: Vec<String>,
    nodes: Vec<Node>,
    training: Option<Map<String, Value>>,
    packets_min: u32,
    midstream_passes: bool,
    depth: usize,
}

impl Model {
    /// Reads the file at `path`; every error names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let read = || Self::read_from(File::open(path).map_err(|error| Error::Io { error })?);
        read().map_err(|error| Error::File { path: path.to_owned(), error: Box::new(error) })
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

    /// A model of `nodes`, root first. `classes` starts with [`BENIGN`](crate::BENIGN). What [`read`](Self::read) refuses in nodes and
    /// classes is refused here too.
    pub fn from_nodes(description: impl Into<String>, classes: Vec<String>, nodes: Vec<Node>) -> Result<Self, Error> {
        schema::check_classes(&classes)?;
        let depth = shape::check(&nodes, classes.len())?;
        Ok(Self { description: description.into(), classes, nodes, training: None, packets_min: 1, midstream_passes: false, depth })
    }

    /// The model with `training` as the record of how it came about, which nothing here interprets.
    #[must_use]
    pub fn with_training(mut self, training: Map<String, Value>) -> Self {
        self.training = Some(training);
        self
    }

    /// The model with a first verdict at packet `packets_min` of a flow, counted from 1; the packets before it are benign.
    pub fn with_packets_min(mut self, packets_min: u32) -> Result<Self, Error> {
        shape::check_packets_min(packets_min)?;
        self.packets_min = packets_min;
        self.with_room()
    }

    /// The model that passes the flows that began in the middle of a TCP connection ([`treeline_ebpf::Flow::is_midstream`]) as benign, if so
    /// asked, for neither features nor verdict know what went before.
    pub fn with_midstream_passed(mut self, passes: bool) -> Result<Self, Error> {
        self.midstream_passes = passes;
        self.with_room()
    }

    /// Refuses a tree that leaves no room for the questions in front of it.
    fn with_room(self) -> Result<Self, Error> {
        shape::check_gates(self.gates().count(), self.nodes.len(), self.depth)?;
        Ok(self)
    }

    /// Writes the file at `path`, replacing one that is there. Refuses a text that could not be read back for its size.
    ///
    /// Whoever reads `path`, also after a crash, finds the old model or the new one, whole ([`Draft`]).
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let text = self.to_json();
        let written = if text.len() > BYTES_MAX { Err(Error::TooLarge) } else { Ok(()) };
        written
            .and_then(|()| Draft::write(path, text.as_bytes()).map_err(|error| Error::Io { error }))
            .map_err(|error| Error::File { path: path.to_owned(), error: Box::new(error) })
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

    /// What is asked before the tree: a slot, a threshold, and on which side of it the packet is benign.
    fn gates(&self) -> impl Iterator<Item = (u16, i64, Side)> {
        #[expect(clippy::cast_possible_truncation, reason = "a slot's number is below 16")]
        const SLOTS: [u16; 2] = [PACKETS as u16, MIDSTREAM as u16];
        let waits = (self.packets_min > 1).then(|| (SLOTS[0], i64::from(self.packets_min - 1) << FRACTION_BITS, Side::Left));
        let passes = self.midstream_passes.then_some((SLOTS[1], 0, Side::Right));
        waits.into_iter().chain(passes)
    }

    /// The nodes as the classifier asks them: where [`packets_min`](Self::packets_min) is above 1 or
    /// [`midstream_passes`](Self::midstream_passes), a question for that (slots `PACKETS` and `MIDSTREAM` of `treeline_ebpf::feature`) and its
    /// benign leaf come first. So what a model is not asked about costs nothing where there is none, and comes and goes with its tree.
    #[must_use]
    pub fn asked_nodes(&self) -> Cow<'_, [Node]> {
        const GATE: u16 = 2;
        let mut nodes = Vec::new();
        let mut first = 0;
        for (feature, threshold, benign) in self.gates() {
            let (left, right) = match benign {
                Side::Left => (first + 1, first + GATE),
                Side::Right => (first + GATE, first + 1),
            };
            nodes.extend([Node::Inner { feature, threshold, left, right }, Node::Leaf { class: 0 }]);
            first += GATE;
        }
        if first == 0 {
            return Cow::Borrowed(&self.nodes);
        }
        nodes.extend(self.nodes.iter().map(|&node| match node {
            Node::Inner { feature, threshold, left, right } => Node::Inner { feature, threshold, left: left + first, right: right + first },
            leaf @ Node::Leaf { .. } => leaf,
        }));
        Cow::Owned(nodes)
    }

    /// The nodes, root first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes with thresholds as real numbers in the features' units, root first. Exact within 2^53 of zero in fixed point.
    #[must_use]
    pub fn real_nodes(&self) -> impl ExactSizeIterator<Item = RealNode> + '_ {
        self.nodes.iter().map(|&node| RealNode::from(node))
    }

    /// How the model came about, if its file says so.
    #[must_use]
    pub fn training(&self) -> Option<&Map<String, Value>> {
        self.training.as_ref()
    }

    /// The packet of a flow, counted from 1, at which the tree is asked first.
    #[must_use]
    pub fn packets_min(&self) -> u32 {
        self.packets_min
    }

    /// Whether the flows that began in the middle of a TCP connection are benign without asking the tree.
    #[must_use]
    pub fn midstream_passes(&self) -> bool {
        self.midstream_passes
    }

    /// Edges between the root and the deepest leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many leaves there are.
    #[must_use]
    pub fn leaves(&self) -> usize {
        crate::leaves(&self.nodes)
    }

    /// The array that the classifier walks, 128 KiB. In a debug build the empty tree passes over the stack once on its way into the box.
    #[must_use]
    pub fn to_tree(&self) -> Box<Tree> {
        // A constant: a debug build copies it once, where an array expression inside `Box::new` would be copied from frame to frame.
        const EMPTY: Tree = Tree { nodes: [treeline_ebpf::Node { threshold: 0, link: 0 }; NODES_MAX] };
        let mut tree = Box::new(EMPTY);
        for (slot, node) in tree.nodes.iter_mut().zip(pack::pack(&self.asked_nodes())) {
            *slot = node;
        }
        tree
    }

    /// The bytes of [`to_tree`](Self::to_tree) in this machine's order, as a map's value: for each node the threshold, then the link.
    #[must_use]
    pub fn tree_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of::<Tree>());
        for node in pack::pack(&self.asked_nodes()) {
            bytes.extend(node.threshold.to_ne_bytes());
            bytes.extend(node.link.to_ne_bytes());
        }
        bytes.resize(size_of::<Tree>(), 0);
        bytes
    }
}

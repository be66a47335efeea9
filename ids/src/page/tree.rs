//! A picture of the tree that stays readable with a thousand leaves: pieces of a few levels, each below the node at which the one above ends,
//! folded. A piece grows to the right, its boxes one below the other, so that only its height depends on the tree.

use std::fmt::Write;

use treeline_data::evaluate::Visit;
use treeline_ebpf::feature::NAMES;
use treeline_model::{Node, Rule, depth};

use super::markup::{Cell, clip, escape, heads, table};
use super::subject::Subject;
use crate::figure::{percent, quantity, short};
use crate::report::number;

/// Splits on a path within one piece.
const LEVELS: usize = 3;
/// A tree of at most so many leaves is shown with all its pieces open.
const OPEN_LEAVES_MAX: usize = 24;
/// So many trees are listed unfolded.
const OPEN_TREES_MAX: usize = 12;
const BOX_WIDTH: f64 = 228.0;
const BOX_HEIGHT: f64 = 44.0;
const COLUMN: f64 = 268.0;
const ROW: f64 = 54.0;
/// Letters that fit a box.
const LETTERS: usize = 31;

/// The whole tree; of an ensemble, what there is to say of each, and the first one's picture.
pub fn section(subject: &Subject<'_>) -> String {
    let (mut html, title, adds) = match subject.model.rule() {
        Rule::Tree(_) => (String::new(), "The tree", ""),
        Rule::Vote(_) => (trees(subject), "The first tree", " (what it adds to the sums of the vote)"),
    };
    let _ = writeln!(
        html,
        "<section><h2>{title}</h2>\n<p>A box is a question or, with a round border, an answer{adds}; the upper way is yes. Under it stand \
         the labelled packets that come by and the share of them that is malicious, which is also its shade. A dashed box goes on \
         below, where it can be unfolded.</p>"
    );
    let nodes = subject.model.trees().next().unwrap_or_default();
    Tree { subject, number: 0, nodes, leaves: leaves(nodes) }.piece(&mut html, 0);
    html.push_str("</section>\n");
    html
}

/// The trees of an ensemble, a row each.
fn trees(subject: &Subject<'_>) -> String {
    let rows = subject.model.trees().enumerate().map(|(index, nodes)| {
        let tree = Tree { subject, number: index, nodes, leaves: Vec::new() };
        let leaves = number(treeline_model::leaves(nodes) as u64);
        [index.to_string(), leaves, depth(nodes).to_string(), clip(&tree.text(0), LETTERS)].iter().map(|cell| Cell::text(cell)).collect()
    });
    let table = table("Trees", &heads(["tree", "leaves", "depth", "first question"]), rows);
    let count = subject.model.trees().count();
    let open = if count <= OPEN_TREES_MAX { " open=\"open\"" } else { "" };
    format!("<section><h2>The trees</h2>\n<details{open}><summary>{} trees</summary>{table}</details></section>\n", number(count as u64))
}

struct Tree<'a> {
    subject: &'a Subject<'a>,
    /// Its number in the model.
    number: usize,
    nodes: &'a [Node],
    /// Leaves at or below each node.
    leaves: Vec<usize>,
}

/// A box of a piece.
struct Placed {
    node: usize,
    column: usize,
    /// Middle, in pixels.
    y: f64,
    /// Index of the box it hangs from, and whether by yes.
    parent: Option<(usize, bool)>,
    /// It is drawn on its own, further below.
    is_cut: bool,
}

impl Tree<'_> {
    /// The levels below `root` in one picture, then the pieces that go on from there.
    fn piece(&self, html: &mut String, root: usize) {
        let mut boxes = Vec::new();
        let mut height = 0.0;
        self.place(&mut boxes, &mut height, root, 0, None);
        let columns = boxes.iter().map(|placed| placed.column).max().unwrap_or(0);
        let width = f64::from(u32::try_from(columns).unwrap_or(0)) * COLUMN + BOX_WIDTH + 4.0;
        let _ = writeln!(
            html,
            "<div class=\"wide\"><svg class=\"tree\" id=\"node-{root}\" width=\"{width}\" height=\"{height}\" viewBox=\"-2 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"title-{root}\">\n<title id=\"title-{root}\">The tree from node {root} on</title>"
        );
        for placed in &boxes {
            if let Some((parent, is_yes)) = placed.parent {
                edge(html, &boxes[parent], placed, is_yes);
            }
        }
        for placed in &boxes {
            self.draw(html, placed);
        }
        html.push_str("</svg></div>\n");
        let open = if self.leaves[0] <= OPEN_LEAVES_MAX { " open=\"open\"" } else { "" };
        for placed in boxes.iter().filter(|placed| placed.is_cut) {
            let visit = self.visit(placed.node);
            let summary = format!(
                "{} (node {}): {} leaves, {} packets, {} malicious",
                self.text(placed.node),
                placed.node,
                number(self.leaves[placed.node] as u64),
                number(visit.packets),
                percent(visit.share())
            );
            let _ = writeln!(html, "<details{open}><summary>{}</summary>", escape(&summary));
            self.piece(html, placed.node);
            html.push_str("</details>\n");
        }
    }

    /// Places `node` and what is below it: leaves one under the other, a question in the middle of its answers. Returns its index.
    fn place(&self, boxes: &mut Vec<Placed>, height: &mut f64, node: usize, column: usize, parent: Option<(usize, bool)>) -> usize {
        let index = boxes.len();
        let is_inner = matches!(self.nodes[node], Node::Inner { .. });
        boxes.push(Placed { node, column, y: 0.0, parent, is_cut: is_inner && column == LEVELS });
        let y = match self.nodes[node] {
            Node::Inner { left, right, .. } if column < LEVELS => {
                let yes = self.place(boxes, height, left.into(), column + 1, Some((index, true)));
                let no = self.place(boxes, height, right.into(), column + 1, Some((index, false)));
                f64::midpoint(boxes[yes].y, boxes[no].y)
            }
            _ => {
                *height += ROW;
                *height - ROW / 2.0
            }
        };
        boxes[index].y = y;
        index
    }

    fn visit(&self, node: usize) -> Visit {
        self.subject.evaluation.visits.at(self.number, node)
    }

    /// The node's question, or the class it answers.
    fn text(&self, node: usize) -> String {
        match self.nodes[node] {
            Node::Inner { feature, threshold, .. } => {
                let feature = usize::from(feature);
                format!("{} ≤ {}", NAMES.get(feature).map_or("?", |(name, _)| *name), quantity(feature, threshold))
            }
            Node::Leaf { class } => match self.subject.model.rule() {
                Rule::Tree(_) => crate::report::class(self.subject.model.classes(), class).to_owned(),
                Rule::Vote(vote) => adds(&vote.estimators()[self.number].values[usize::from(class)]),
            },
        }
    }

    fn draw(&self, html: &mut String, placed: &Placed) {
        let visit = self.visit(placed.node);
        let (x, top) = (left(placed), placed.y - BOX_HEIGHT / 2.0);
        let kind = match self.nodes[placed.node] {
            Node::Inner { .. } if placed.is_cut => "cut",
            Node::Inner { .. } => "inner",
            Node::Leaf { .. } => "leaf",
        };
        let text = self.text(placed.node);
        let counts = format!("{} packets, {}", number(visit.packets), percent(visit.share()));
        let radius = if kind == "leaf" { BOX_HEIGHT / 2.0 } else { 4.0 };
        let link = if placed.is_cut { format!("<a href=\"#node-{}\">", placed.node) } else { "<g>".to_owned() };
        let end = if placed.is_cut { "</a>" } else { "</g>" };
        let _ = writeln!(
            html,
            "{link}<title>node {}: {}; {} malicious</title>\
             <rect class=\"{kind}\" x=\"{x}\" y=\"{top}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"{radius}\" style=\"--shade:{:.3}\"/>\
             <text class=\"middle name\" x=\"{middle}\" y=\"{}\">{}</text><text class=\"middle\" x=\"{middle}\" y=\"{}\">{}</text>{end}",
            placed.node,
            escape(&text),
            escape(&counts),
            visit.share().unwrap_or_default(),
            placed.y - 4.0,
            escape(&clip(&text, LETTERS)),
            placed.y + 14.0,
            escape(&counts),
            middle = x + BOX_WIDTH / 2.0,
        );
    }
}

/// What a leaf of an ensemble adds.
fn adds(values: &[f64]) -> String {
    format!("adds {}", values.iter().map(|&value| short(value)).collect::<Vec<_>>().join(", "))
}

fn left(placed: &Placed) -> f64 {
    f64::from(u32::try_from(placed.column).unwrap_or(0)) * COLUMN
}

fn edge(html: &mut String, parent: &Placed, child: &Placed, is_yes: bool) {
    let (from, to) = (left(parent) + BOX_WIDTH, left(child));
    let middle = f64::midpoint(from, to);
    let (word, lift) = if is_yes { ("yes", -4.0) } else { ("no", 12.0) };
    let _ = writeln!(
        html,
        "<path class=\"edge\" d=\"M{from} {y}H{middle}V{end}H{to}\"/><text class=\"end way\" x=\"{}\" y=\"{}\">{word}</text>",
        to - 3.0,
        child.y + lift,
        y = parent.y,
        end = child.y,
    );
}

/// Leaves at or below each node. Children may stand anywhere in the list, so the walk is its own.
fn leaves(nodes: &[Node]) -> Vec<usize> {
    let mut order = vec![0_usize];
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        if let Node::Inner { left, right, .. } = nodes[node] {
            order.extend([usize::from(left), usize::from(right)]);
        }
        next += 1;
    }
    let mut leaves = vec![1; nodes.len()];
    for &node in order.iter().rev() {
        if let Node::Inner { left, right, .. } = nodes[node] {
            leaves[node] = leaves[usize::from(left)] + leaves[usize::from(right)];
        }
    }
    leaves
}

//! The page is whole, harmless and readable by machines, whatever the names.

use std::collections::BTreeSet;
use std::path::Path;

use roxmltree::{Document, Node as Element, ParsingOptions};
use treeline_data::evaluate::{CaptureScore, Evaluation, Judged, Meter, Visits};
use treeline_ebpf::{Counters, Features};
use treeline_model::vote::{Arithmetic, Choice, Combination, Estimator};
use treeline_model::{Model, Node, Rule, Vote};

use super::page;
use super::subject::Subject;

const HOSTILE: &str = "\"/><script src=\"https://198.51.100.1/x.js\">&amp;\u{1b}[31m]]>";

/// A model of `leaves` leaves, a heap as full as they make it, whose classes bear hostile names.
fn model(leaves: u16) -> Model {
    let inner = leaves - 1;
    let nodes = (0..inner + leaves).map(|index| match index {
        index if index < inner => {
            Node::Inner { feature: index % 12, threshold: i64::from(index) << 30, left: 2 * index + 1, right: 2 * index + 2 }
        }
        index => Node::Leaf { class: index % 3 },
    });
    let classes = vec!["benign".to_owned(), HOSTILE.to_owned(), "x".repeat(300)];
    Model::from_nodes(HOSTILE, classes, nodes.collect()).expect("a tree")
}

/// An ensemble of `count` trees that ask one question each.
fn ensemble(count: u16) -> Model {
    let stump = |feature| Estimator {
        output: 0,
        nodes: vec![Node::Inner { feature, threshold: 1 << 20, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }],
        values: vec![vec![-1e-9], vec![0.25]],
    };
    let vote = Combination { choice: Choice::Above(0.5), arithmetic: Arithmetic::F64, base: vec![0.0], classes: vec![0, 1] };
    let classes = vec!["benign".to_owned(), HOSTILE.to_owned()];
    Vote::new(vote, (0..count).map(|index| stump(index % 12)).collect())
        .and_then(|vote| Model::new(HOSTILE, classes, Rule::Vote(vote)))
        .expect("a vote")
}

fn rendered(model: &Model, packets: &[(u64, u64, Option<u16>, u16)]) -> String {
    let mut meter = Meter::new(100);
    let mut visits = Visits::new(model);
    for &(flow, packet, label, verdict) in packets {
        meter.judge(&Judged { flow, packet, label, verdict });
        visits.pass(model, &Features::default(), label != Some(0));
    }
    let score = meter.finish(&Counters::default());
    let capture = CaptureScore { path: HOSTILE.into(), score: score.clone(), damage: None, warnings: Vec::new() };
    let labels = vec!["benign".to_owned(), "</title><img onerror=x>".to_owned(), HOSTILE.to_owned()];
    let evaluation = Evaluation { labels, captures: vec![capture], total: score, visits };
    page(&Subject { model_path: Path::new(HOSTILE), model, labels: HOSTILE, report: None, evaluation: &evaluation })
}

const PACKETS: [(u64, u64, Option<u16>, u16); 6] =
    [(0, 1, Some(1), 1), (1, 1, Some(2), 0), (1, 2, Some(2), 2), (2, 1, Some(0), 1), (3, 1, None, 1), (1, 3, Some(2), 2)];

fn parsed(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, nodes_limit: u32::MAX, ..ParsingOptions::default() })
        .unwrap_or_else(|error| panic!("{error}"))
}

fn text(element: Element<'_, '_>) -> String {
    element.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let page = rendered(&model(40), &PACKETS);
    for element in parsed(&page).descendants().filter(Element::is_element) {
        let name = element.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object", "use", "image"].contains(&name), "a {name}");
        for attribute in element.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && key != "src", "{name} has {key}");
            assert!(key != "href" || value.starts_with('#'), "{name} leads to {value}");
        }
        let style = if name == "style" { text(element) } else { String::new() };
        assert!(!style.contains("url(") && !style.contains("@import"), "the style loads something");
    }
}

#[test]
fn a_hostile_name_is_shown_as_it_is() {
    let page = rendered(&model(8), &PACKETS);
    let document = parsed(&page);
    let shown = HOSTILE.replace('\u{1b}', "\u{fffd}");
    assert!(document.descendants().filter(|element| element.has_tag_name("th")).any(|head| text(head) == shown));
}

#[test]
fn every_table_has_heads_and_every_picture_a_title() {
    let page = rendered(&model(40), &PACKETS);
    let document = parsed(&page);
    let all = |name: &'static str| document.descendants().filter(move |element| element.has_tag_name(name));
    assert!(all("th").all(|head| head.attribute("scope").is_some()));
    for table in all("table") {
        assert!(table.descendants().any(|element| element.has_tag_name("caption")));
        let head = table.descendants().filter(|element| element.attribute("scope") == Some("col")).count();
        for row in table.descendants().filter(|element| element.has_tag_name("tr")) {
            assert_eq!(row.children().filter(Element::is_element).count(), head, "a row of another length");
        }
    }
    assert!(all("svg").count() > 3);
    assert!(all("svg").all(|picture| picture.children().any(|child| child.has_tag_name("title"))));
}

#[test]
fn every_node_of_a_thousand_leaves_is_drawn() {
    let page = rendered(&model(1_000), &PACKETS);
    let document = parsed(&page);
    let titles = document.descendants().filter(|element| element.has_tag_name("title")).map(text);
    let drawn: BTreeSet<usize> = titles.filter_map(|title| title.strip_prefix("node ")?.split(':').next()?.parse().ok()).collect();
    assert_eq!(drawn, (0..1_999).collect());
    let ids: Vec<_> = document.descendants().filter_map(|element| element.attribute("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is given twice");
    let is_there = |link: &str| ids.contains(&link.trim_start_matches('#'));
    assert!(document.descendants().filter_map(|element| element.attribute("href")).all(is_there));
}

#[test]
fn an_ensemble_has_a_row_a_tree_and_the_picture_of_the_first() {
    let page = rendered(&ensemble(30), &PACKETS);
    let document = parsed(&page);
    let all = |name: &'static str| document.descendants().filter(move |element| element.has_tag_name(name));
    let trees = all("table").find(|table| text(*table).starts_with("Trees")).expect("a table of the trees");
    assert_eq!(trees.descendants().filter(|element| element.has_tag_name("tr")).count(), 31);
    let pictures: Vec<_> = all("svg").filter(|picture| picture.attribute("class") == Some("tree")).collect();
    assert_eq!(pictures.len(), 1);
    let picture = text(pictures[0]);
    assert!(picture.contains("originator_port ≤ 16") && picture.contains("adds 0.25") && picture.contains("adds 0"), "{picture}");
    assert!(text(document.root_element()).contains("30 trees with 60 leaves together, depth 1"));
}

#[test]
fn an_evaluation_of_nothing_is_a_page_too() {
    let page = rendered(&model(1), &[]);
    assert!(text(parsed(&page).root_element()).contains("No flow has a label."));
}

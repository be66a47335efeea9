//! What a training did: as JSON for the model file, as text for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use treeline_data::Sample;
use treeline_data::sample::{Binary, Confusion, Flow, Split, share};
use treeline_ebpf::feature::NAMES;
use treeline_model::Model;
use treeline_model::train::Grown;

use super::source::Source;
use super::{By, FlowBy, Kind, Midstream, Samples, Train, Weight};
use crate::report::{link_types, number, plain, right};

/// All that the record is made of.
pub struct Record<'a> {
    pub options: &'a Train,
    pub sample: &'a Sample,
    pub source: &'a Source,
    pub split: &'a Split,
    /// The model's class of each of the sample's.
    pub numbers: &'a [Option<u16>],
    pub grown: &'a Grown,
    pub model: &'a Model,
}

/// Flows and rows, and what the rows weigh.
#[derive(Default, Clone, Copy)]
struct Count {
    flows: u64,
    rows: u64,
    weight: f64,
}

impl Count {
    fn add(&mut self, flow: &Flow) {
        self.flows += 1;
        self.rows += u64::from(flow.rows_count);
    }

    fn json(self) -> Value {
        json!({"flows": self.flows, "rows": self.rows})
    }
}

impl Record<'_> {
    /// The record for the model file.
    pub fn json(&self, confusion: Option<&Confusion>) -> Map<String, Value> {
        let [train, test] = self.counts(|_| 0, 1).remove(0);
        let (kind, name, digest) = &self.source.other;
        let importances: Map<_, _> = self.importances().map(|(name, share)| (name.to_owned(), json!(share))).collect();
        let mut record = Map::new();
        let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
        put("tool", json!(format!("treeline {}", env!("CARGO_PKG_VERSION"))));
        put(kind, json!({"name": name, "sha256": digest}));
        put("captures", self.captures());
        put("damage", json!(self.source.damage));
        if self.source.unsupported.count() > 0 {
            put("unsupported_link_types", link_types(&self.source.unsupported));
        }
        put("settings", self.settings());
        put("trained_on", train.json());
        put("tested_on", test.json());
        put("unlabelled_rows", json!(self.sample.unlabelled_count));
        put("left_out_rows", json!(self.sample.left_out_count));
        put("passed_rows", json!(self.sample.passed_count));
        put("classes", self.classes());
        put("tree", json!({"depth": self.model.depth(), "leaves": self.model.leaves(), "impurity": self.grown.impurity()}));
        put("importances", Value::Object(importances));
        put("test", confusion.map_or(Value::Null, |confusion| self.test(confusion)));
        record
    }

    fn settings(&self) -> Value {
        let options = self.options;
        json!({
            "max_depth": options.max_depth,
            "max_leaf_nodes": options.max_leaf_nodes,
            "min_samples_leaf": options.min_samples_leaf,
            "criterion": "gini",
            "flow_weight": match options.flow_weight {
                FlowBy::Equal => "equal",
                FlowBy::Root => "root",
                FlowBy::Packets => "packets",
            },
            "class_weight": match options.class_weight {
                Weight::None => "none",
                Weight::Balanced => "balanced",
                Weight::Capture => "capture",
                Weight::Label => "label",
            },
            "benign_weight": options.benign_weight,
            "without": options.without,
            "first_packet": options.first_packet.iter().map(|(class, number)| (class.clone(), json!(number))).collect::<Map<_, _>>(),
            "redraw_ports": options.redraw_ports,
            "any_port": options.any_port,
            "classes": match options.classes {
                Kind::Binary => "binary",
                Kind::Attack => "attack",
            },
            "samples": match options.samples {
                Samples::Packet => "packet",
                Samples::FlowLast => "flow-last",
            },
            "split": self.split_name(),
            "packets_min": options.packets_min,
            "midstream": match options.midstream {
                Midstream::Judge => "judge",
                Midstream::Pass => "pass",
            },
            "seed": options.seed,
        })
    }

    fn split_name(&self) -> &'static str {
        match self.split {
            Split::None => "none",
            Split::Flow => "flow",
            Split::Capture => "capture",
            Split::Captures(_) => "given",
        }
    }

    fn captures(&self) -> Value {
        let counts = self.counts(|flow| flow.capture as usize, self.source.captures.len());
        let captures = self.source.captures.iter().zip(&self.source.digests).zip(counts);
        let captures = captures.map(
            |((name, digest), [train, test])| json!({"name": name, "sha256": digest, "trained_on": train.json(), "tested_on": test.json()}),
        );
        captures.collect()
    }

    fn classes(&self) -> Value {
        let classes = self.by_class().map(|(class, name, [train, test])| {
            let known = self.numbers[class].map(|number| &self.model.classes()[usize::from(number)]);
            json!({"name": name, "in_the_model": known, "weight": train.weight, "trained_on": train.json(), "tested_on": test.json()})
        });
        classes.collect()
    }

    fn test(&self, confusion: &Confusion) -> Value {
        let binary = confusion.binary();
        let rows = self.sample.classes.iter().zip(&confusion.counts).filter(|(_, counts)| counts.iter().any(|&count| count > 0));
        let rows = rows.map(|(name, counts)| {
            let verdicts: Map<_, _> = self.model.classes().iter().zip(counts).map(|(class, count)| (class.clone(), json!(count))).collect();
            (name.clone(), Value::Object(verdicts))
        });
        json!({
            "rows": binary.rows_count(),
            "accuracy": binary.accuracy(),
            "precision": binary.precision(),
            "recall": binary.recall(),
            "f1": binary.f1(),
            "false_positive_rate": binary.false_positive_rate(),
            "class_accuracy": confusion.exact_share(),
            "confusion": rows.collect::<Map<_, _>>(),
        })
    }

    /// The report for people.
    pub fn text(&self, confusion: Option<&Confusion>, seconds: f64) -> String {
        let [trained, tested] = self.counts(|_| 0, 1).remove(0);
        let mut text = String::new();
        let mut line = |label: &str, value: String| {
            let _ = writeln!(text, "  {label:<11}{value}");
        };
        let flows = |count: Count| format!("{} rows of {} flows", number(count.rows), number(count.flows));
        line("trained on", flows(trained));
        if tested.rows > 0 {
            line("tested on", format!("{}, {}", flows(tested), self.kept()));
        }
        if self.sample.left_out_count > 0 {
            line("left out", {
                let later = self.options.first_packet.iter().map(|(class, number)| format!("{class} before packet {number}"));
                let what: Vec<_> = self.options.without.iter().cloned().chain(later).collect();
                format!("{} rows of {}", number(self.sample.left_out_count), what.join(", "))
            });
        }
        if self.sample.passed_count > 0 {
            line("left out", format!("{} rows that the model is not asked about", number(self.sample.passed_count)));
        }
        if self.sample.unlabelled_count > 0 {
            line("left out", format!("{} rows without a label", number(self.sample.unlabelled_count)));
        }
        for (_, name, count) in self.source.unsupported.iter() {
            line("left out", format!("{} frames of {name}, which is not supported", number(count)));
        }
        for damage in &self.source.damage {
            line("damaged", damage.clone());
        }
        let tree = (self.model.leaves(), self.model.depth());
        line("tree", format!("{} leaves, depth {}, impurity {:.4}, {seconds:.2} s", number(tree.0 as u64), tree.1, self.grown.impurity()));
        let mut importances: Vec<_> = self.importances().filter(|(_, share)| *share >= 0.005).collect();
        importances.sort_by(|a, b| b.1.total_cmp(&a.1));
        let importances: Vec<_> = importances.into_iter().map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
        line("decided by", importances.join(", "));
        let _ = write!(text, "\n{}\n", self.table(confusion));
        if let Some(confusion) = confusion {
            let _ = write!(text, "\n{}", figures(confusion));
        }
        let _ = writeln!(text, "\nmodel written to {}", self.options.output.display());
        text
    }

    fn kept(&self) -> &'static str {
        match self.options.split {
            None if !self.options.test.is_empty() => "of the captures given for it",
            Some(By::Capture) => "of captures kept for it",
            _ if matches!(self.split, Split::Capture) => "of captures kept for it",
            _ => "kept of the same captures",
        }
    }

    fn table(&self, confusion: Option<&Confusion>) -> comfy_table::Table {
        let mut table = plain();
        table.set_header(["class", "flows", "rows", "weight %", "test flows", "test rows", "classified malicious"]);
        let total: f64 = self.by_class().map(|(_, _, [train, _])| train.weight).sum();
        for (class, name, [train, test]) in self.by_class() {
            let counts = confusion.map_or(&[][..], |confusion| &confusion.counts[class]);
            let malicious = share(counts.iter().skip(1).sum(), counts.iter().sum());
            table.add_row([
                name.to_owned(),
                number(train.flows),
                number(train.rows),
                format!("{:.1}", 100.0 * train.weight / total),
                number(test.flows),
                number(test.rows),
                percent(malicious),
            ]);
        }
        right(&mut table, 1..7);
        table
    }

    /// Each class that occurs, with its counts in training and test.
    fn by_class(&self) -> impl Iterator<Item = (usize, &str, [Count; 2])> {
        let mut counts = self.counts(|flow| flow.class.into(), self.sample.classes.len());
        for (&flow, &weight) in self.sample.flow.iter().zip(&self.sample.table.weights) {
            counts[usize::from(self.sample.flows[flow as usize].class)][0].weight += f64::from(weight);
        }
        let classes = self.sample.classes.iter().zip(counts).enumerate();
        classes
            .filter(|(_, (_, counts))| counts.iter().any(|count| count.flows > 0))
            .map(|(class, (name, counts))| (class, name.as_str(), counts))
    }

    /// Flows and rows in training and test, by a number below `count`.
    fn counts(&self, by: impl Fn(&Flow) -> usize, count: usize) -> Vec<[Count; 2]> {
        let mut counts = vec![[Count::default(); 2]; count];
        for flow in &self.sample.flows {
            counts[by(flow)][usize::from(flow.is_test)].add(flow);
        }
        counts
    }

    fn importances(&self) -> impl Iterator<Item = (&'static str, f64)> {
        NAMES.iter().map(|(name, _)| *name).zip(self.grown.importances())
    }
}

fn figures(confusion: &Confusion) -> String {
    let binary @ Binary { true_positive, false_positive, true_negative, false_negative } = confusion.binary();
    let mut text = format!(
        "on the {} rows of the test, each a packet: accuracy {}, precision {}, recall {}, F1 {}, false positives {}\n",
        number(binary.rows_count()),
        percent(binary.accuracy()),
        percent(binary.precision()),
        percent(binary.recall()),
        percent(binary.f1()),
        percent(binary.false_positive_rate()),
    );
    let mut table = plain();
    table.set_header(["", "classified benign", "classified malicious"]);
    table.add_row(["benign".to_owned(), number(true_negative), number(false_positive)]);
    table.add_row(["malicious".to_owned(), number(false_negative), number(true_positive)]);
    right(&mut table, 1..3);
    let _ = writeln!(text, "\n{table}");
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

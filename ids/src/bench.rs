//! `treeline bench`: what the classifier costs, alone in the kernel and on the wire.
//!
//! `classifier` runs programs over packets by test run; `table1` is the paper's experiment in network namespaces.

mod alternative;

mod classifier;

mod cost;

mod flood;

mod lab;

mod machine;

mod one_flow;

mod paper;

mod plot;

mod row;

mod size;

mod table1;

mod traffic;

mod tree;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Flows that the tables of measured programs hold.
const FLOWS_MAX: u32 = 65_536;

/// Measure what classifying packets costs (needs root).
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Classifier(classifier::Options),
    Table1(table1::Options),
}

/// Measures and prints.
pub fn run(options: &Bench) -> Result<ExitCode, String> {
    match &options.what {
        What::Classifier(options) => classifier::run(options),
        What::Table1(options) => table1::run(options),
    }
}

fn median<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

//! The command line: the commands, each of which holds its own options.

use clap::{Parser, Subcommand};

/// A decision tree in the kernel's packet path, proven to decide there what it decided on paper.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Replay(crate::replay::Options),
    Test(crate::test::Options),
    Link(crate::link::Link),
    Verify(crate::verify::Verify),
    Bench(crate::bench::Bench),
    Evaluate(crate::evaluate::Evaluate),
    Explain(crate::explain::Explain),
    Features(crate::features::Features),
    Train(crate::train::Train),
    Import(crate::import::Import),
    Run(crate::live::Run),
    Status(crate::live::Status),
    Flows(crate::live::Flows),
    Swap(crate::live::Swap),
    Detach(crate::live::Detach),
}

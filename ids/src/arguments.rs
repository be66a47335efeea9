//! The command line: the commands, each of which holds its own options, grouped by what their reader wants.

use std::fmt::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Test eBPF packet programs against captures; detect intrusions in the kernel.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Test(crate::test::Options),
    Verify(crate::verify::Verify),
    Run(crate::live::Run),
    Status(crate::live::Status),
    Flows(crate::live::Flows),
    Swap(crate::live::Swap),
    Detach(crate::live::Detach),
    Features(crate::features::Features),
    Train(crate::train::Train),
    Import(crate::import::Import),
    Evaluate(crate::evaluate::Evaluate),
    Explain(crate::explain::Explain),
    Link(crate::link::Link),
    Replay(crate::replay::Options),
    Bench(crate::bench::Bench),
}

/// What a reader wants, and the commands for it.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Test your eBPF program", &["test", "verify"]),
    ("Run the intrusion detection system", &["run", "status", "flows", "swap", "detach"]),
    ("Train a model", &["features", "train", "import", "evaluate", "explain", "link"]),
    ("Prove and measure the classifier, reproduce the paper", &["replay", "bench"]),
];

impl Arguments {
    /// Those of this process. Bad usage and help end it.
    pub fn of_process() -> Self {
        let matches = grouped(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The command whose help lists its subcommands by group.
fn grouped(command: clap::Command) -> clap::Command {
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{title}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string);
            let _ = writeln!(text, "  {name:<8}  {}", about.unwrap_or_default());
        }
        text.push('\n');
    }
    command.help_template(format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{text}Options:\n{{options}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group_and_fits_a_narrow_terminal() {
        let command = Arguments::command();
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut known: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
        let help = grouped(command).render_help().to_string();
        assert!(help.lines().all(|line| line.len() <= 80), "{help}");
    }

    #[test]
    fn the_options_of_every_command_are_sound() {
        Arguments::command().debug_assert();
    }
}

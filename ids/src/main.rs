//! The command `treeline`: arguments in, text or JSON out. What it does is in the libraries.

mod arguments;

mod bench;

mod evaluate;

mod explain;

mod features;

mod figure;

mod import;

mod link;

mod live;

mod options;

mod output;

mod page;

mod read;

mod replay;

mod report;

mod test;

mod train;

mod verify;

use std::process::ExitCode;

use arguments::{Arguments, Command};

/// The exit code of bad usage and bad input; 0 is agreement and 1 a divergence.
const EXIT_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    let result = match &arguments.command {
        Command::Replay(options) => replay::run(options),
        Command::Test(options) => test::run(options),
        Command::Link(options) => link::run(options),
        Command::Verify(options) => verify::run(options),
        Command::Bench(options) => bench::run(options),
        Command::Evaluate(options) => evaluate::run(options),
        Command::Explain(options) => explain::run(options),
        Command::Features(options) => features::run(options),
        Command::Train(options) => train::run(options),
        Command::Import(options) => import::run(options),
        Command::Run(options) => live::run(options),
        Command::Status(options) => live::status(options),
        Command::Flows(options) => live::flows(options),
        Command::Swap(options) => live::swap(options),
        Command::Detach(options) => live::detach(options),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            output::say(&message);
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

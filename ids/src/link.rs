//! `treeline link`: a model becomes instructions in the kernel object. Not here: the linking, which is `treeline_model::link`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::output::print;
use clap::Args;
use treeline_lab::cause::explain;
use treeline_model::link::link;
use treeline_model::{Draft, Model};
use treeline_sim::object::OBJECT;

/// Compile a model into the kernel object.
///
/// The file is an ordinary BPF object: aya, libbpf and bpftool load it, with its type and line information (docs/linking.md). Its programs no
/// longer read the MODEL map; the model's document is in the section treeline.model.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Link {
    /// The model, a JSON file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// The object to write; one that is there is replaced.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  treeline link model.json -o ids.bpf.o
  bpftool prog loadall ids.bpf.o /sys/fs/bpf/ids";

/// Links, writes, and says what came of it.
pub fn run(options: &Link) -> Result<ExitCode, String> {
    let model = Model::read_tree(&options.model).map_err(|error| explain(&error))?;
    let start = Instant::now();
    let tree = model.tree().map_err(|error| explain(&error))?;
    let linked = link(OBJECT, &model).map_err(|error| explain(&error))?;
    let time = start.elapsed();
    let written = Draft::write(&options.output, &linked.object);
    written.map_err(|error| format!("{}: cannot write the object: {error}", options.output.display()))?;
    print(&format!(
        "{}\n  model         {} nodes, {} leaves, depth {}\n  instructions  {}\n  object        {} bytes, linked in {:.1} ms\n",
        options.output.display(),
        tree.nodes().len(),
        tree.leaves(),
        tree.depth(),
        linked.code.instructions_count(),
        linked.object.len(),
        time.as_secs_f64() * 1e3
    ))?;
    Ok(ExitCode::SUCCESS)
}

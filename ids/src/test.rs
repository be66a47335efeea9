//! `treeline test`: a program of any object over captures, in the vm and in kernels, compared packet by packet.

mod divergence;

mod junit;

mod outcome;

mod setup;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use treeline_lab::cause::explain;
use treeline_lab::lab::{Coverage, Machine, Replay};

use crate::EXIT_BAD_INPUT;
use crate::options::{self, Engine as Named, Hook as NamedHook, Records, captures_help, open};
use crate::output::{finished, print};
use crate::report::left_out;
use clap::Args;
use setup::Setup;

/// Run a program over captures in a VM and in kernels, and compare.
///
/// Any XDP, TC or socket-filter program of any object (clang with libbpf, aya). It needs no privileges: where they are missing, the vm runs the program
/// alone. Each capture starts with fresh maps and ends at its first divergence, which is traced to the instruction and source line that made it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// The BPF object (ELF).
    object: PathBuf,

    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "CAPTURE", long_help = captures_help(""))]
    captures: Vec<PathBuf>,

    /// The program, by its function's name. Default: the only one of the object.
    #[arg(long, value_name = "NAME")]
    program: Option<String>,

    /// What a program is whose section's name does not say it.
    #[arg(long, value_enum)]
    hook: Option<NamedHook>,

    /// Set a global constant before loading: a number, or bytes like 0a:00:00:01. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Give a map another number of entries: what legacy objects leave to their loader. May be repeated.
    #[arg(long, value_name = "NAME=COUNT")]
    entries: Vec<String>,

    /// Fill a map first, from a JSON list of {"key": ..., "value": ...}; each a number or bytes like "0a:00:00:01". May be repeated.
    #[arg(long, value_name = "NAME=FILE")]
    map: Vec<String>,

    /// What every packet must return, a name like `XDP_DROP` or a number; if one does not, the exit code is 1.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    expect: Option<String>,

    /// Engines, comma-separated: vm, kernel (needs root, or `CAP_BPF` and `CAP_NET_ADMIN`), all (both), and kernel@SERIES, the newest of a series of
    /// Debian's kernels in QEMU, which needs no privileges: kernel@5.10, kernel@6.1, kernel@7.x (docs/kernels.md). Default: vm and, if permitted, kernel.
    #[arg(short, long, value_delimiter = ',', value_name = "ENGINE")]
    engine: Vec<Named>,

    /// text for people, json for one summary per capture, jsonl for one record per packet.
    #[arg(short, long, value_enum, default_value = "text")]
    format: Records,

    /// Stop after N frames of each capture.
    #[arg(short = 'n', long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    /// Write which lines and jumps of the program the packets reached, as lcov's tracefile, and list the jumps that never went one way. The vm counts.
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,

    /// Write a `JUnit` report, a test case per capture.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// The guest init for kernel@SERIES. Default: what the environment's `TREELINE_GUEST` names, or the source tree's, built on first use, or
    /// treeline-guest beside this program.
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  treeline test filter.bpf.o capture.pcap
  treeline test filter.bpf.o --program xdp_filter --set PORT=22 --expect XDP_DROP scan.pcap
  treeline test filter.bpf.o --engine vm,kernel@5.10,kernel@6.1,kernel@7.x *.pcap.gz
  treeline test filter.bpf.o --format jsonl capture.pcap | jq 'select(.verdict == \"XDP_DROP\") | .index'
  treeline test filter.bpf.o --coverage out.lcov --junit report.xml *.pcap

Exit codes: 0 the engines agree and every packet returned what it must, 1 a divergence or an expectation that fails, 2 bad usage or input, or an engine
that could not go on (a damaged capture is run up to the damage).";

/// Runs each capture with fresh maps; the exit code is the worst of all of them.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let setup = Setup::new(options, &options.object)?;
    let guests = options::guests(&options.engine, options.guest.as_deref())?;
    let mut code = 0;
    let mut coverage = Coverage::default();
    let mut report = junit::Report::new(&options.object, &setup.program);
    for path in &options.captures {
        let Some(mut capture) = open(path) else {
            report.broken(path, "the capture cannot be read");
            code = EXIT_BAD_INPUT;
            continue;
        };
        let start = Instant::now();
        let (engines, notes) = setup.engines(options, &guests)?;
        let replay = Replay::new(setup.hook, &Machine::maps(&setup.object), engines, setup.expected);
        let mut output = BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let summary = replay
            .run(
                &mut capture,
                options.limit,
                |frame, outcome| {
                    if options.format == Records::Jsonl && written.is_ok() {
                        written = writeln!(output, "{}", outcome::record(path, setup.hook, frame, outcome));
                    }
                },
                |_| (),
            )
            .map_err(|error| explain(&error))?;
        for (name, trace) in &summary.traces {
            coverage.add(setup.object.program(name).map_err(|error| explain(&error))?, trace);
        }
        let origins = setup.origins(path, &summary);
        let findings = outcome::findings(setup.hook, &summary, &origins);
        if options.format == Records::Jsonl && written.is_ok() && !summary.is_clean() {
            written = outcome::last(path, &summary, &origins).map_or(Ok(()), |record| writeln!(output, "{record}"));
        }
        finished(written.and_then(|()| output.flush()))?;
        drop(output);
        match options.format {
            Records::Text => print(&outcome::text(path, &setup.program, setup.hook, &summary, &findings, &notes))?,
            Records::Json => print(&format!("{}\n", outcome::json(path, &setup.program, setup.hook, &summary, &origins, &notes)))?,
            Records::Jsonl => {
                notes.iter().cloned().chain(left_out(path, &summary.unsupported)).for_each(|note| eprintln!("treeline: {note}"));
                eprint!("{findings}");
            }
        }
        for said in summary.warning.iter().chain(&summary.damage) {
            eprintln!("treeline: {said}");
        }
        report.capture(path, start.elapsed(), &summary, &findings);
        code = code.max(if summary.damage.is_some() || summary.stop.is_some() { EXIT_BAD_INPUT } else { u8::from(!summary.is_clean()) });
    }
    if let Some(path) = &options.coverage {
        fs::write(path, coverage.lcov()).map_err(|error| format!("{}: {error}", path.display()))?;
        // Records go to standard output alone.
        match options.format {
            Records::Text => print(&outcome::coverage(&coverage))?,
            Records::Json | Records::Jsonl => eprint!("{}", outcome::coverage(&coverage)),
        }
    }
    if let Some(path) = &options.junit {
        fs::write(path, report.xml()?).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::from(code))
}

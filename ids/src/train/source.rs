//! Captures or a table -> the sample, with what the record says about where it comes from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use treeline_data::row::{Options, RowError};
use treeline_data::sample::LEFT_OUT;
use treeline_data::table::{Column, Identity, Reader};
use treeline_data::{Labels, Row, Rows, Sample};
use treeline_ebpf::FEATURES;
use treeline_lab::capture::{Capture, CaptureError, Unsupported};
use treeline_lab::cause::explain;
use treeline_model::train::ROWS_MAX;

use super::{Midstream, Train, take};
use crate::features::capture_name;

/// Where rows come from.
pub struct Source {
    /// The captures, those of the test last.
    pub captures: Vec<String>,
    /// The SHA-256 of each capture's file in hexadecimal; none for those inside a table, and for standard input.
    pub digests: Vec<Option<String>>,
    /// The numbers of the captures that are given for the test.
    pub tests: Vec<u32>,
    /// The table or the labels, and the SHA-256 of that file; labels that are built in have none.
    pub other: (&'static str, String, Option<String>),
    /// What was damaged on the way: the rows before it are used.
    pub damage: Vec<String>,
    /// Frames of unsupported link types, left out.
    pub unsupported: Unsupported,
}

/// Reads everything that `options` name.
pub fn read(options: &Train) -> Result<(Sample, Source), String> {
    match &options.table {
        Some(path) => table(options, path),
        None => captures(options),
    }
}

fn captures(options: &Train) -> Result<(Sample, Source), String> {
    let spec = options.labels.as_deref().ok_or("--labels: give the labels of the captures")?;
    let labels = Labels::open(spec).map_err(|error| explain(&error))?;
    let paths: Vec<PathBuf> = options.captures.iter().chain(&options.test).cloned().collect();
    // A file that is no capture is found before hours go into the others. A capture that is cut off later on is used up to there.
    for path in paths.iter().filter(|path| *path != Path::new("-")) {
        Capture::open(path).map_err(|error| explain(&error))?;
    }
    let digests = paths.iter().map(|path| digest(path)).collect::<Result<_, _>>()?;
    let mut rows = Rows::new(paths, Some(labels), Options::default()).map_err(|error| explain(&error))?;
    let mut sample = sample(options, rows.classes())?;
    let bar = super::bar("reading {wide_bar} {percent:>3} %  {msg}")?;
    let mut damage = Vec::new();
    while let Some(row) = rows.next() {
        match row {
            Ok(row) => {
                sample.push(&row).map_err(|error| error.to_string())?;
                if row.index % 4096 == 0 {
                    show(&bar, &rows);
                }
            }
            // Like a file that is no capture: it has nothing to learn from.
            Err(error @ RowError::Capture(CaptureError::LinkType { .. })) => return Err(explain(&error)),
            Err(error) => damage.push(explain(&error)),
        }
    }
    bar.finish_and_clear();
    for warning in &rows.tally().warnings {
        eprintln!("treeline: {warning}");
    }
    let unsupported = rows.tally().unsupported.clone();
    let tests = (0..).take(rows.captures().len()).skip(options.captures.len()).collect();
    let captures = rows.captures().iter().map(|path| path.display().to_string()).collect();
    let labels_digest = if Path::new(spec).is_file() { digest(Path::new(spec))? } else { None };
    Ok((sample, Source { captures, digests, tests, other: ("labels", spec.to_owned(), labels_digest), damage, unsupported }))
}

fn table(options: &Train, path: &Path) -> Result<(Sample, Source), String> {
    let reader = Reader::open(path).map_err(|error| explain(&error))?;
    let captures = reader.captures().to_vec();
    let tests = options.test.iter().map(|name| {
        // A table has the absolute path; older ones have what was given.
        let names = [name.display().to_string(), capture_name(name)];
        let number = captures.iter().position(|capture| names.contains(capture)).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("--test {}: {} has no such capture, only {}", name.display(), path.display(), captures.join(", ")))
    });
    let tests = tests.collect::<Result<_, _>>()?;
    let mut sample = sample(options, reader.classes().to_vec())?;
    sample.reserve(usize::try_from(reader.rows_count()).unwrap_or(usize::MAX).min(ROWS_MAX));
    let features = (0..FEATURES).map(Column::Feature);
    let midstream = (options.midstream == Midstream::Pass).then_some(Column::Midstream);
    let columns = Identity::COLUMNS.into_iter().chain(midstream).chain(features);
    let columns: Vec<_> = columns.collect();
    let bar = super::bar("reading {wide_bar} {percent:>3} %  {eta} left")?;
    bar.set_length(reader.rows_count());
    let mut identity = Identity::default();
    for chunk in reader.chunks(&columns) {
        let chunk = chunk.map_err(|error| explain(&error))?;
        for row in 0..chunk.rows {
            let row = Row {
                capture: chunk.capture[row],
                index: chunk.index[row],
                flow: chunk.flow[row],
                packet: chunk.packet[row],
                midstream: chunk.midstream.get(row).is_some_and(|midstream| *midstream),
                features: std::array::from_fn(|feature| chunk.features[feature][row]),
                class: chunk.class[row],
                ..Row::default()
            };
            identity.observe(&reader, &row).map_err(|error| explain(&error))?;
            sample.push(&row).map_err(|error| error.to_string())?;
        }
        bar.inc(chunk.rows as u64);
    }
    bar.finish_and_clear();
    identity.finish(&reader).map_err(|error| explain(&error))?;
    let digests = vec![None; captures.len()];
    let other = ("table", path.display().to_string(), digest(path)?);
    Ok((sample, Source { captures, digests, tests, other, damage: Vec::new(), unsupported: Unsupported::default() }))
}

fn sample(options: &Train, classes: Vec<String>) -> Result<Sample, String> {
    let without = options.without.iter().map(|name| ("--without", name, LEFT_OUT));
    let later = options.first_packet.iter().map(|(name, number)| ("--first-packet", name, *number));
    let position = |option: &str, name: &String| {
        let class = classes.iter().position(|class| class == name);
        class.ok_or_else(|| format!("{option} {name}: the labels have no such class, only {}", classes.join(", ")))
    };
    let mut first_packets = vec![0; classes.len()];
    for (option, name, number) in later.chain(without) {
        first_packets[position(option, name)?] = number;
    }
    let mut any_ports = vec![None; classes.len()];
    for name in &options.any_port {
        any_ports[position("--any-port", name)?] = Some(options.seed);
    }
    let sample = Sample::new(classes, take(options), options.packets_min).map_err(|error| error.to_string())?;
    let sample = sample.pass_midstream(options.midstream == Midstream::Pass);
    Ok(sample.beginning(first_packets).redraw_ports(options.redraw_ports.then_some(options.seed)).any_ports(any_ports))
}

fn show(bar: &ProgressBar, rows: &Rows) {
    if let Some((number, path, capture)) = rows.reading() {
        if let Some(total) = capture.bytes_total() {
            bar.set_length(total);
        }
        bar.set_position(capture.bytes_read());
        bar.set_message(format!("{} of {}: {}", number + 1, rows.captures().len(), path.display()));
    }
}

/// The SHA-256 of a file in hexadecimal; none for standard input, which can be read once only.
fn digest(path: &Path) -> Result<Option<String>, String> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let broken = |error: io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(broken)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(broken)? {
            0 => return Ok(Some(format!("{:x}", hash.finalize()))),
            count => hash.update(&buffer[..count]),
        }
    }
}

//! What is the same for every capture: the object read, its program, and engines with maps filled.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use treeline_lab::Frame;
use treeline_lab::bpf::{Hook, Job, Object, ReadOptions};
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_lab::guest::Fleet;
use treeline_lab::guest::program::Program;
use treeline_lab::kernel::run::takes;
use treeline_lab::lab::{self, Engine, LabError, Machine, Origin, Origins, Summary, bytes, verdict};
use treeline_lab::vm;

use super::Options;
use crate::options::Engine as Named;
use crate::read;

/// The engines of one capture.
type Engines = Vec<Box<dyn Engine>>;

/// A program to test.
pub struct Setup {
    pub object: Object,
    /// The program as another kernel is told it.
    job: Job,
    pub program: String,
    pub hook: Hook,
    pub expected: Option<u32>,
    /// Position of a map, its entries.
    fills: Vec<(usize, Vec<lab::Entry>)>,
}

impl Setup {
    /// Reads the object as the options say.
    pub fn new(options: &Options, path: &Path) -> Result<Self, String> {
        let elf = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let read = ReadOptions {
            map_max_entries: entries(&options.entries)?,
            ..read::options(&elf, &options.set, options.hook).map_err(|error| format!("{}: {error}", path.display()))?
        };
        let object = Object::parse(&elf, &read).map_err(|error| format!("{}: {}", path.display(), explain(&error)))?;
        let known: Vec<&str> = object.programs().iter().map(|program| program.name.as_str()).collect();
        let name = match (&options.program, known.as_slice()) {
            (Some(name), _) => name.as_str(),
            (None, [only]) => only,
            (None, []) => {
                let reasons: Vec<String> = object.refused().iter().map(ToString::to_string).collect();
                return Err(format!("{}: no program of it can be loaded: {}", path.display(), reasons.join("; ")));
            }
            (None, _) => return Err(format!("{}: which program? --program with one of {}", path.display(), known.join(", "))),
        };
        let program = object.program(name).map_err(|error| format!("{}: {error}", path.display()))?;
        let hook =
            program.hook.ok_or_else(|| format!("{name}: its section is of no hook that can be replayed; these are xdp, tc, socket"))?;
        let expected = options.expect.as_ref().map(|text| verdict::parse(hook, text)).transpose();
        let fills = options.map.iter().map(|pair| fill(&object, pair)).collect::<Result<_, _>>()?;
        let expected = expected.map_err(|reason| format!("--expect {reason}"))?;
        let job = Job { elf, options: read, program: name.to_owned() };
        Ok(Self { job, program: name.to_owned(), hook, expected, fills, object })
    }

    /// The instructions of the vm's run that made what differs: the capture is read once more up to there.
    pub fn origins(&self, path: &Path, summary: &Summary) -> Result<Vec<Origin>, String> {
        if summary.divergence.is_none() && summary.stop.as_ref().is_none_or(|stop| stop.place.is_none()) {
            return Ok(Vec::new());
        }
        if path == Path::new("-") {
            return Err("standard input is read once; give a file".to_owned());
        }
        let frames = Capture::open(path).map_err(|error| explain(&error))?.map_while(Result::ok);
        let is_kernel_there = summary.engines.iter().any(|engine| engine.name.starts_with("kernel"));
        let runs = |frame: &Frame| !is_kernel_there || takes(self.hook, &frame.bytes).is_none();
        let origins = Origins { object: &self.object, program: &self.program, fills: &self.fills, runs: &runs };
        let found = match (&summary.divergence, &summary.stop) {
            (Some(divergence), _) => origins.of(frames, divergence),
            (None, Some(stop)) => origins.of_stop(frames, stop),
            (None, None) => Ok(Vec::new()),
        };
        found.map_err(|error| explain(&error))
    }

    /// The engines asked for, their maps filled, and a line for each that is left out.
    pub fn engines(&self, options: &Options, guests: &Fleet) -> Result<(Engines, Vec<String>), String> {
        if options.engine.iter().any(|engine| matches!(engine, Named::Native | Named::Reference)) {
            return Err("--engine: any program runs in the vm and in kernels alone; give vm, kernel or kernel@SERIES".to_owned());
        }
        if options.coverage.is_some()
            && !(options.engine.is_empty() || options.engine.contains(&Named::Vm) || options.engine.contains(&Named::All))
        {
            return Err("--coverage: the vm counts; use --engine vm, or vm,kernel".to_owned());
        }
        let wanted = |engine| options.engine.is_empty() || options.engine.contains(&engine) || options.engine.contains(&Named::All);
        let (mut engines, mut notes): (Engines, Vec<String>) = (Vec::new(), Vec::new());
        if wanted(Named::Vm) {
            let traced = vm::Options { trace: options.coverage.is_some(), ..vm::Options::default() };
            engines.push(Box::new(Machine::with(&self.object, &self.program, &traced).map_err(|error| error.to_string())?));
        }
        if wanted(Named::Kernel) {
            match lab::kernel::Machine::new(&self.object, &self.program) {
                Ok(kernel) => engines.push(Box::new(kernel)),
                Err(error @ LabError::Unavailable { .. }) if options.engine.is_empty() => notes.push(error.to_string()),
                Err(error) => return Err(error.to_string()),
            }
        }
        for machine in &guests.machines {
            let kernel = Program::new(machine.clone(), self.hook, &self.job).map_err(|error| error.to_string())?;
            notes.push(format!("{} is {}", kernel.name(), machine.borrow().package()));
            engines.push(Box::new(kernel));
        }
        notes.extend(guests.skipped.iter().cloned());
        for (map, entries) in &self.fills {
            for (key, value) in entries {
                for engine in &mut engines {
                    engine.fill(*map, key, value).map_err(|error| format!("--map: {error}"))?;
                }
            }
        }
        Ok((engines, notes))
    }
}

/// Maps' numbers of entries, of `NAME=COUNT`.
fn entries(pairs: &[String]) -> Result<BTreeMap<String, u32>, String> {
    let one = |pair: &String| {
        let (name, count) = pair.split_once('=').ok_or_else(|| format!("--entries {pair}: write it as NAME=COUNT"))?;
        let count = count.parse().map_err(|_| format!("--entries {pair}: `{count}` is no number of entries"))?;
        Ok((name.to_owned(), count))
    };
    pairs.iter().map(one).collect()
}

/// The entries that `name=file.json` gives: `[{"key": 1, "value": "0a:00:00:01"}, ...]`.
fn fill(object: &Object, pair: &str) -> Result<(usize, Vec<lab::Entry>), String> {
    let (name, path) = pair.split_once('=').ok_or_else(|| format!("--map {pair}: write it as name=file.json"))?;
    let wrong = |reason: String| format!("--map {name}: {path}: {reason}");
    let shapes = treeline_lab::vm::shapes(object);
    let (position, shape) = shapes.iter().enumerate().find(|(_, shape)| shape.name == name).ok_or_else(|| {
        let known: Vec<&str> = shapes.iter().map(|shape| shape.name.as_str()).collect();
        format!("--map {name}: the object has no such map; it has {}", known.join(", "))
    })?;
    if !lab::map::Map::of(shape).is_data() {
        return Err(format!("--map {name}: only maps of plain values can be filled, not a {}", lab::map::Map::of(shape).kind_name()));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let rows: Vec<Value> = serde_json::from_str(&text).map_err(|error| wrong(format!("not a list of entries: {error}")))?;
    let entry = |(number, row): (usize, &Value)| {
        let part = |what: &str, size| match &row[what] {
            Value::Null if size == 0 => Ok(Vec::new()),
            value => plain(value, size).map_err(|reason| wrong(format!("entry {number}, {what}: {reason}"))),
        };
        Ok((part("key", shape.key_size)?, part("value", shape.value_size)?))
    };
    Ok((position, rows.iter().enumerate().map(entry).collect::<Result<_, String>>()?))
}

fn plain(value: &Value, size: usize) -> Result<Vec<u8>, String> {
    match value {
        Value::String(text) => bytes::parse(text, size),
        Value::Number(number) => {
            let number = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            bytes::number_of(number.ok_or("not a whole number")?, size)
        }
        _ => Err("give a number, or bytes as text like \"0a:00:00:01\"".to_owned()),
    }
}

//! The committed inputs of the fuzz targets, replayed on stable: every seed and every input that once found a bug. And the canary: the
//! exercises fail when they must.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use treeline_ebpf::{Counter, Outcome};
use treeline_lab::Frame;
use treeline_lab::exercise::capture::capture;
use treeline_lab::exercise::insist;
use treeline_lab::exercise::map::{Exercise, map};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, EngineError, Observation, Settings};
use treeline_sim::exercise::Finding;
use treeline_sim::exercise::import::import;
use treeline_sim::exercise::model::model;
use treeline_sim::exercise::packet::packet;
use treeline_sim::exercise::sequence::{Case, exact_engines, lockstep, sequence};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of a target: its seeds, then its regressions, which may be none.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths = Vec::new();
    for folder in ["fuzz/seeds", "testdata/regressions"] {
        let Ok(entries) = fs::read_dir(root().join(folder).join(target)) else { continue };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        paths.extend(files.into_iter().map(|path| (format!("{folder}/{target}/{}", path.file_name().unwrap().display()), path)));
    }
    assert!(!paths.is_empty(), "{target} has no seeds");
    paths.into_iter().map(|(name, path)| (name, fs::read(path).expect("a file"))).collect()
}

#[test]
fn each_folder_of_inputs_is_of_a_target() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
        let names = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|ext| ext == "rs"));
        names.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let targets = names("fuzz/fuzz_targets");
    assert_eq!(names("fuzz/seeds"), targets);
    let regressions = names("testdata/regressions");
    assert!(regressions.is_subset(&targets), "nobody replays {:?}", regressions.difference(&targets));
}

/// Replays all inputs, reports every one that fails, then fails once. Gives what the exercise said of each.
fn replay<T: Debug, E: std::fmt::Display>(target: &str, exercise: impl Fn(&[u8]) -> Result<T, E>) -> Vec<(String, T)> {
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    for (name, bytes) in inputs(target) {
        match catch_unwind(AssertUnwindSafe(|| exercise(&bytes))) {
            Ok(Ok(answer)) => said.push((name, answer)),
            Ok(Err(finding)) => wrong.push(format!("{name}: {finding}")),
            Err(_) => wrong.push(format!("{name}: panicked, see above")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    said
}

#[test]
fn imports_keep_their_promises() {
    let said = replay("import", import);
    assert!(said.iter().filter(|(_, accepted)| *accepted).count() >= 7, "a library's seed is refused: {said:?}");
}

#[test]
fn operations_upon_maps_run() {
    replay("map", map);
    let exercises = inputs("map").into_iter().filter_map(|(_, bytes)| Exercise::arbitrary(&mut Unstructured::new(&bytes)).ok());
    let kinds: BTreeSet<u32> = exercises.map(|exercise| exercise.shape.kind.number()).collect();
    assert_eq!(kinds.len(), 10, "a kind has no seed: {kinds:?}");
}

#[test]
fn programs_end() {
    use treeline_lab::exercise::program::{Verdict, program, raw};
    let said = replay("program", |bytes| {
        let Some((first, rest)) = bytes.split_first() else { return Ok(Verdict::Alone) };
        if first & 1 == 0 {
            raw(rest);
            return Ok(Verdict::Alone);
        }
        program(rest, None)
    });
    assert!(said.len() >= 5, "{said:?}");
}

#[test]
fn packets_are_read_alike() {
    let said = replay("packet", packet);
    assert!(said.iter().any(|(_, outcome)| matches!(outcome, Outcome::Judged(_))), "no seed is judged");
    assert!(said.iter().any(|(_, outcome)| matches!(outcome, Outcome::Skipped(_))), "every seed is judged");
}

#[test]
fn sequences_agree_in_every_engine_and_reach_every_counter_they_can() {
    let said = replay("sequence", sequence);
    // Not to be reached: a full table and contention in engines of one thread, 2^31 packets, a checked tree that does not decide.
    let beyond = [Counter::TableFull, Counter::Contended, Counter::Evicted, Counter::EndedLimit, Counter::Undecided];
    let unmoved: Vec<_> = Counter::ALL
        .into_iter()
        .filter(|counter| !beyond.contains(counter) && said.iter().all(|(_, counters)| counters[*counter as usize] == 0))
        .map(Counter::name)
        .collect();
    assert!(unmoved.is_empty(), "no input moves {unmoved:?}");
}

#[test]
fn captures_are_read_to_their_end() {
    let said = replay("capture", capture);
    assert!(said.iter().any(|(_, frames_count)| *frames_count > 0), "no seed has a frame");
}

#[test]
fn models_keep_their_promises() {
    let said = replay("model", model);
    assert!(said.iter().any(|(_, accepted)| *accepted), "no seed is accepted");
    assert!(said.iter().any(|(_, accepted)| !*accepted), "no seed is refused");
}

#[test]
fn every_byte_string_is_a_case() {
    for length in (0..300).step_by(7) {
        let bytes: Vec<u8> = (0..length).map(|at: usize| (at * 37 % 251).to_le_bytes()[0]).collect();
        insist(sequence(&bytes));
    }
}

/// Changes what an engine says.
type Lie = fn(&mut Observation);

/// The native engine, but for what it says of one frame.
struct Liar {
    honest: Native,
    frame: u64,
    lie: Lie,
}

impl Engine for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let mut observation = self.honest.judge(frame)?;
        if frame.index == self.frame {
            (self.lie)(&mut observation);
        }
        Ok(observation)
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        self.honest.swap(settings)
    }
}

#[test]
fn a_sequence_fails_when_an_engine_lies() {
    let bytes = fs::read(root().join("fuzz/seeds/sequence/talk-xdp")).expect("the seed");
    let case = Case::decode(&bytes);
    let last = case.frames.last().expect("frames").index;
    let lies: [(&str, Lie); 5] = [
        ("outcome", |observation| observation.outcome = Outcome::Judged(9)),
        ("returned", |observation| observation.returned ^= 1),
        ("gap_mean", |observation| observation.features.as_mut().unwrap()[7] += 1),
        ("flow.length_sum", |observation| observation.flow.as_mut().unwrap().length_sum += 1),
        ("dropped", |observation| observation.counted[Counter::Dropped as usize] += 1),
    ];
    for (what, lie) in lies {
        let mut engines = exact_engines(&case.settings).expect("engines");
        engines.push(Box::new(Liar { honest: Native::new(&case.settings), frame: last, lie }));
        let found = lockstep(&case, &mut engines);
        let Err(Finding::Divergence(divergence)) = found else { panic!("the lie about {what} was not noticed: {found:?}") };
        assert_eq!(divergence.engines, ["native", "liar"]);
        assert_eq!(divergence.frame.index, last);
        assert_eq!(divergence.differences.iter().map(|difference| difference.what.as_str()).collect::<Vec<_>>(), [what]);
    }
}

#[test]
fn a_sequence_fails_when_all_exact_engines_tell_the_same_lie() {
    let bytes = fs::read(root().join("fuzz/seeds/sequence/talk-xdp")).expect("the seed");
    let case = Case::decode(&bytes);
    let liar = Liar { honest: Native::new(&case.settings), frame: 1, lie: |observation| observation.features.as_mut().unwrap()[6] += 1 };
    let found = lockstep(&case, &mut [Box::new(liar)]);
    let Err(Finding::Divergence(divergence)) = found else { panic!("not noticed: {found:?}") };
    assert_eq!(divergence.engines, ["liar", "reference"]);
}

#[test]
fn a_finding_ends_a_fuzz_target() {
    let finding = Finding::Model { promise: "keeps its word", found: "it does not".to_owned() };
    let ended = catch_unwind(|| insist::<(), _>(Err(finding)));
    assert!(ended.is_err());
}

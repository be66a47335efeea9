//! Every engine over every capture: the same observation after every packet. And the canary: an engine that lies once, which the
//! oracle must catch, for an oracle that cannot fail proves nothing.

#[macro_use]
extern crate treeline_trial;

#[path = "support/lie.rs"]
mod lie;
mod support;
#[path = "../../trial/harness.rs"]
mod trial;

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use lie::{Change, Lie};
use support::recipe::Recipe;
use treeline_ebpf::Config;
use treeline_lab::Frame;
use treeline_lab::capture::Capture;
use treeline_model::import::{Options, Source, import};
use treeline_model::{Model, Rule, Vote};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, EngineError, Hook, Observation, Settings};
use treeline_sim::reference::Reference;
use treeline_sim::replay::Summary;

/// What speaks against agreement on the captures with one hook and one configuration.
fn check(captures: &[PathBuf], hooks: &[Hook], config: Config) {
    let model = support::model();
    let mut findings = vec![];
    for path in captures {
        for &hook in hooks {
            let settings = support::settings(hook, config, &model);
            let capture = Capture::open(path).expect("a capture");
            let summary = support::replay(capture, support::rootless(&settings), Some(Reference::of(config, &model)));
            if let Some(finding) = support::finding(&summary) {
                findings.push(format!("{}, {}: {finding}", support::name(path), hook.name()));
            }
        }
    }
    support::report(&findings);
}

#[test]
fn engines_agree_on_every_edge_at_every_hook() {
    let mut captures = support::captures();
    captures.retain(|path| support::name(path).starts_with("edge-"));
    check(&captures, &Hook::ALL, Config::default());
    check(&captures, &Hook::ALL, support::enforced());
}

/// Forests and boosted trees of every library: the reference sums their votes by itself.
#[test]
fn native_and_the_reference_agree_on_imported_ensembles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import");
    let mut findings = vec![];
    let mut count = 0;
    for file in support::files(&folder) {
        let Ok(source) = Source::read(&file, None) else { continue };
        let Ok(imported) = import(&source, &Options::default()) else { continue };
        let Rule::Vote(vote) = imported.model.rule() else { continue };
        count += 1;
        let settings = support::settings(Hook::Tc, Config::default(), &imported.model);
        for capture in ["lab-http-bruteforce", "lab-portscan", "edge-tcp-flags"] {
            let capture = Capture::open(&support::capture(capture)).expect("a capture");
            let engines: Vec<Box<dyn Engine>> = vec![Box::new(Native::new(&settings))];
            let summary = support::replay(capture, engines, Some(Reference::of(Config::default(), &imported.model)));
            findings.extend(support::finding(&summary).map(|finding| format!("{}: {finding}", file.display())));
        }
        // And it would show: with the outputs' classes in another order the reference is another.
        let mut other = vote.combination().clone();
        other.classes.rotate_left(1);
        let other = Vote::new(other, vote.estimators().to_vec()).expect("a vote");
        let other = Model::new("", imported.model.classes().to_vec(), Rule::Vote(other)).expect("a model");
        let capture = Capture::open(&support::capture("lab-portscan")).expect("a capture");
        let summary = support::replay(capture, vec![Box::new(Native::new(&settings))], Some(Reference::of(Config::default(), &other)));
        assert!(summary.divergence.is_some(), "{}: a reference of other classes agrees", file.display());
    }
    assert!(count >= 10, "{count} ensembles");
    support::report(&findings);
}

#[test]
fn engines_agree_on_every_lab_capture() {
    let mut captures = support::captures();
    captures.retain(|path| !support::name(path).starts_with("edge-"));
    check(&captures, &[Hook::Xdp], support::enforced());
}

#[test]
fn engines_agree_on_every_other_capture() {
    match support::other_captures() {
        Some(captures) => check(&captures, &[Hook::Xdp], Config::default()),
        None => trial::without("TREELINE_CAPTURES is not set"),
    }
}

/// An engine that tells the truth but once.
struct Canary {
    engine: Native,
    at: u64,
    lie: Change,
}

impl Engine for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let mut observation = self.engine.judge(frame)?;
        if frame.index == self.at {
            (self.lie)(&mut observation);
        }
        Ok(observation)
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        self.engine.swap(settings)
    }
}

/// A conversation of 1,100 packets, lengths and gaps all different, and a frame without IP.
fn conversation() -> Capture {
    let packet = |index: usize| {
        let recipe = Recipe { payload: index * 7 % 1_400, ..Recipe::default() };
        let time_ns = 1_000_000_000 + (index * index * 37) as u64;
        (time_ns, if index % 3 == 1 { recipe.back().bytes() } else { recipe.bytes() })
    };
    let mut frames: Vec<_> = (0..lie::OUTSIDE).map(|index| packet(usize::try_from(index).expect("few"))).collect();
    frames.push((frames.last().expect("frames").0, vec![0; 60]));
    support::capture_of(&frames)
}

/// Replays a lie, which must be caught at its frame, and by its names.
fn lies(lie: Lie, replay: impl FnOnce(Canary, Native) -> Summary) -> Result<(), Failed> {
    let settings = support::settings(Hook::Xdp, Config::default(), &support::constant(0));
    let summary = replay(Canary { engine: Native::new(&settings), at: lie.at, lie: lie.change }, Native::new(&settings));
    let Some(divergence) = summary.divergence else {
        return if lie.named.is_empty() { Ok(()) } else { Err("not caught".into()) };
    };
    let named: Vec<_> = divergence.differences.into_iter().map(|difference| difference.what).collect();
    let found = (divergence.frame.index, named);
    if found == (lie.at, lie.named.clone()) { Ok(()) } else { Err(format!("caught as {found:?}, not {:?}", (lie.at, lie.named)).into()) }
}

/// One trial for each lie of the two lists.
fn lies_are_caught() -> Vec<Trial> {
    let exact = lie::to_an_exact_engine().into_iter().map(|lie| {
        Trial::test(format!("an_exact_engine_catches_a_lie_about::{}", lie.about), || {
            lies(lie, |canary, honest| support::replay(conversation(), vec![Box::new(honest), Box::new(canary)], None))
        })
    });
    let reference = lie::to_the_reference().into_iter().map(|lie| {
        Trial::test(format!("the_reference_catches_a_lie_about::{}", lie.about), || {
            let reference = Reference::of(Config::default(), &support::constant(0));
            lies(lie, |canary, _| support::replay(conversation(), vec![Box::new(canary)], Some(reference)))
        })
    });
    exact.chain(reference).collect()
}

#[test]
fn an_honest_canary_sings_to_the_end() {
    let settings = support::settings(Hook::Xdp, Config::default(), &support::constant(0));
    let canary = Canary { engine: Native::new(&settings), at: 0, lie: Box::new(|_| ()) };
    let mut engines = support::rootless(&settings);
    engines.push(Box::new(canary));
    let summary = support::replay(conversation(), engines, Some(Reference::of(settings.config, &support::constant(0))));
    support::report(&support::finding(&summary).into_iter().collect::<Vec<_>>());
    assert_eq!((summary.agreed, summary.incomplete), (1_101, 0));
}

fn main() -> std::process::ExitCode {
    trial::main_with(lies_are_caught())
}

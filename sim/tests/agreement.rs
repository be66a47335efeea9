//! Every engine over every capture: the same observation after every packet. And the canary: an engine that lies once, which the
//! oracle must catch, for an oracle that cannot fail proves nothing.

#[macro_use]
extern crate treeline_trial;

mod support;
#[path = "support/trial.rs"]
mod trial;

use std::path::PathBuf;

use support::recipe::Recipe;
use treeline_ebpf::feature::NAMES;
use treeline_ebpf::{Config, Counter, Outcome, Skip};
use treeline_sim::Frame;
use treeline_sim::capture::Capture;
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

/// The frame that the canary lies about.
const LIE_AT: u64 = 1000;

/// An engine that tells the truth but once.
struct Canary {
    engine: Native,
    lie: Box<dyn Fn(&mut Observation)>,
}

impl Engine for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let mut observation = self.engine.judge(frame)?;
        if frame.index == LIE_AT {
            (self.lie)(&mut observation);
        }
        Ok(observation)
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        self.engine.swap(settings)
    }
}

/// A lie and what the oracle must call it.
type Lie = (String, Box<dyn Fn(&mut Observation)>);

fn lie(what: &str, lie: impl Fn(&mut Observation) + 'static) -> Lie {
    (what.to_owned(), Box::new(lie))
}

fn features(observation: &mut Observation) -> &mut [i64; 12] {
    observation.features.as_mut().expect("the packet reached its flow")
}

macro_rules! flow_lies {
    ($($field:ident),*) => {
        vec![$(lie(concat!("flow.", stringify!($field)), |observation| {
            observation.flow.as_mut().expect("the packet reached its flow").$field ^= 1;
        })),*]
    };
}

fn flow_lies() -> Vec<Lie> {
    let mut lies = flow_lies!(
        lock,
        flags,
        first_ns,
        last_ns,
        packets,
        packets_forward,
        length_sum,
        length_deviation_sum,
        gap_deviation_sum,
        direction_deviation_sum
    );
    lies.push(lie("flow.key", |observation| {
        observation.flow.as_mut().expect("the packet reached its flow").key.high_port ^= 1;
    }));
    lies
}

/// A conversation of 1,100 packets, lengths and gaps all different.
fn conversation() -> Capture {
    let packet = |index: usize| {
        let recipe = Recipe { payload: index * 7 % 1_400, ..Recipe::default() };
        let time_ns = 1_000_000_000 + (index * index * 37) as u64;
        (time_ns, if index % 3 == 1 { recipe.back().bytes() } else { recipe.bytes() })
    };
    support::capture_of(&(0..1_100).map(packet).collect::<Vec<_>>())
}

/// Replays each lie and lists those that were not caught at their frame and by their name, and only that.
fn uncaught(lies: Vec<Lie>, replay: impl Fn(Canary, Native) -> Summary) -> Vec<String> {
    let settings = support::settings(Hook::Xdp, Config::default(), &support::constant(0));
    let check = |(what, lie): Lie| {
        let canary = Canary { engine: Native::new(&settings), lie };
        let summary = replay(canary, Native::new(&settings));
        let Some(divergence) = summary.divergence else { return Some(format!("{what}: not caught")) };
        let named: Vec<_> = divergence.differences.iter().map(|difference| difference.what.as_str()).collect();
        let caught = divergence.frame.index == LIE_AT && named == [what.as_str()];
        (!caught).then(|| format!("{what}: caught at frame {} as {named:?}", divergence.frame.index))
    };
    lies.into_iter().filter_map(check).collect()
}

#[test]
fn an_engine_that_lies_once_in_anything_is_caught_by_an_exact_one() {
    let mut lies = flow_lies();
    lies.push(lie("outcome", |observation| observation.outcome = Outcome::Judged(1)));
    lies.push(lie("outcome", |observation| observation.outcome = Outcome::Skipped(Skip::NotIp)));
    lies.push(lie("returned", |observation| observation.returned = Hook::Xdp.returned(true)));
    lies.push(lie("features", |observation| observation.features = None));
    lies.push(lie("flow", |observation| observation.flow = None));
    for (index, (name, _)) in NAMES.iter().enumerate() {
        for units in [-1, 1] {
            lies.push(lie(name, move |observation| features(observation)[index] += units));
        }
    }
    for counter in Counter::ALL {
        lies.push(lie(counter.name(), move |observation| observation.counted[counter as usize] += 1));
    }
    support::report(&uncaught(lies, |canary, honest| support::replay(conversation(), vec![Box::new(honest), Box::new(canary)], None)));
}

#[test]
fn an_engine_that_lies_by_more_than_the_bound_is_caught_by_the_reference() {
    let mut lies = vec![
        lie("outcome", |observation| observation.outcome = Outcome::Judged(1)),
        lie("outcome", |observation| observation.outcome = Outcome::Skipped(Skip::NotIp)),
        lie("flow.first_ns", |observation| observation.flow.as_mut().expect("a flow").first_ns += 1),
        lie("flow.last_ns", |observation| observation.flow.as_mut().expect("a flow").last_ns += 1),
        lie("flow.packets", |observation| observation.flow.as_mut().expect("a flow").packets += 1),
        lie("flow.packets_forward", |observation| observation.flow.as_mut().expect("a flow").packets_forward += 1),
        lie("protocol", |observation| observation.flow.as_mut().expect("a flow").key.protocol += 1),
        lie("fin from originator", |observation| observation.flow.as_mut().expect("a flow").flags ^= 2),
        lie("fin from responder", |observation| observation.flow.as_mut().expect("a flow").flags ^= 4),
        lie("reset", |observation| observation.flow.as_mut().expect("a flow").flags ^= 8),
    ];
    // Whole numbers are exact; a mean may be off by less than one unit, a deviation by less than two.
    for (index, (name, _)) in NAMES.iter().enumerate() {
        let beyond = [1, 2, 3][(index / 3).saturating_sub(1)];
        for units in [-beyond, beyond] {
            lies.push(lie(name, move |observation| features(observation)[index] += units));
        }
    }
    let counters =
        [Counter::Opened, Counter::EndedIdle, Counter::EndedActive, Counter::EndedLimit, Counter::EndedClosed, Counter::ClockBack];
    for counter in counters {
        lies.push(lie(counter.name(), move |observation| observation.counted[counter as usize] += 1));
    }
    let config = Config::default();
    support::report(&uncaught(lies, |canary, _| {
        support::replay(conversation(), vec![Box::new(canary)], Some(Reference::of(config, &support::constant(0))))
    }));
}

#[test]
fn an_honest_canary_sings_to_the_end() {
    let settings = support::settings(Hook::Xdp, Config::default(), &support::constant(0));
    let canary = Canary { engine: Native::new(&settings), lie: Box::new(|_| ()) };
    let mut engines = support::rootless(&settings);
    engines.push(Box::new(canary));
    let summary = support::replay(conversation(), engines, Some(Reference::of(settings.config, &support::constant(0))));
    support::report(&support::finding(&summary).into_iter().collect::<Vec<_>>());
    assert_eq!((summary.agreed, summary.incomplete), (1_100, 0));
}

fn main() -> std::process::ExitCode {
    trial::main()
}

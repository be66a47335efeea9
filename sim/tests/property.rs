//! Any frames, any tree, any hook: the engines agree after every packet.
//!
//! A failure is shrunk, and its seed printed.

#[macro_use]
extern crate treeline_trial;

mod support;
#[path = "../../trial/harness.rs"]
mod trial;

use proptest::prelude::*;
use proptest::sample::select;
use support::recipe::{frames, steps};
use treeline_ebpf::{Config, Counter, Link, Skip};
use treeline_lab::Frame;
use treeline_lab::lab::Difference;
use treeline_model::{Model, strategy};
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Engine, EngineError, Hook, Settings};
use treeline_sim::oracle;
use treeline_sim::reference::Reference;

/// What a case is made of.
#[derive(Debug, Clone)]
struct Case {
    hook: Hook,
    link: Link,
    config: Config,
    model: Model,
    frames: Vec<Frame>,
}

/// Small trees, and now and then one as large as training makes them.
fn models() -> impl Strategy<Value = Model> {
    strategy::passing(prop_oneof![7 => strategy::model().boxed(), 1 => strategy::model_within(1_000, 20).boxed()])
}

fn cases() -> impl Strategy<Value = Case> {
    let times = prop_oneof![
        // Around the timeouts of `steps`, and the defaults, which no step reaches.
        3 => Just((1_000_000, 2_000_000)),
        1 => Just((treeline_ebpf::platform::IDLE_TIMEOUT_NS, treeline_ebpf::platform::ACTIVE_TIMEOUT_NS)),
    ];
    let arrivals = prop::collection::vec((frames(), steps()), 1..50);
    let start_ns = select(vec![0, 10_000_000, 1_700_000_000_000_000_000, u64::MAX - 1_000_000]);
    let kinds = (select(Hook::ALL.to_vec()), select(Link::ALL.to_vec()));
    (kinds, times, 0..=1_u32, models(), start_ns, arrivals).prop_map(
        |((hook, link), (idle_timeout_ns, active_timeout_ns), enforce, model, start_ns, arrivals)| {
            let config = Config { idle_timeout_ns, active_timeout_ns, enforce, ..Config::default() };
            let mut time_ns: u64 = start_ns;
            let frames = support::frames(arrivals.into_iter().map(|(bytes, step_ns)| {
                time_ns = time_ns.saturating_add_signed(step_ns);
                (time_ns, support::begun(link, bytes))
            }));
            Case { hook, link, config, model, frames }
        },
    )
}

impl Case {
    fn settings(&self) -> Settings {
        Settings { link: self.link, flows_max: 4096, ..support::settings(self.hook, self.config, &self.model) }
    }

    /// The same with the tree as instructions.
    fn compiled(&self) -> Settings {
        self.settings().compiled(&self.model).expect("any model can be linked")
    }

    /// Sends the frames through the engines and the reference; the text says where two differ.
    fn check(&self, mut engines: Vec<Box<dyn Engine>>, mut reference: Option<Reference>) -> Result<(), TestCaseError> {
        for frame in &self.frames {
            let mut observations = vec![];
            for engine in &mut engines {
                match engine.judge(frame) {
                    Ok(observation) => observations.push((engine.name(), observation)),
                    Err(EngineError::Untaken { .. }) => {}
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            }
            let Some(((first, base), others)) = observations.split_first() else { continue };
            for (other, observation) in others {
                self.agree(frame, [first, other], oracle::compare(base, observation))?;
            }
            if let Some(reference) = &mut reference {
                self.agree(frame, [first, "reference"], oracle::compare_reference(base, &reference.judge(frame)))?;
            }
            let dropped = base.outcome.counter() == Counter::Malicious && self.config.enforce == 1;
            prop_assert_eq!(base.returned, self.hook.returned(dropped), "frame {}", frame.index);
            let outcomes: u64 = base.counted[..=Counter::Undecided as usize].iter().sum();
            prop_assert_eq!(outcomes, 1, "frame {} has one outcome", frame.index);
            prop_assert!(base.outcome != treeline_ebpf::Outcome::Skipped(Skip::Undecided), "a model decides every packet");
        }
        Ok(())
    }

    fn agree(&self, frame: &Frame, engines: [&'static str; 2], differences: Vec<Difference>) -> Result<(), TestCaseError> {
        if differences.is_empty() {
            return Ok(());
        }
        let divergence = oracle::Divergence { engines, frame: frame.clone(), differences };
        Err(TestCaseError::fail(format!("{} hook, {:?} frames: {divergence}", self.hook.name(), self.link)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn rootless_engines_agree_on_any_frames_and_any_tree(case in cases()) {
        let mut engines = support::rootless(&case.settings());
        engines.push(Box::new(Vm::new(&case.compiled()).expect("the vm takes a linked object")));
        case.check(engines, Some(Reference::of(case.config, &case.model).with_link(case.link)))?;
    }
}

proptest! {
    // Fewer cases: each loads the object into the kernel.
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_agrees_on_any_frames_and_any_tree(case in cases()) {
        let settings = case.settings();
        let kernel = match support::kernel(&settings) {
            Ok(kernel) => kernel,
            Err(reason) => {
                trial::missing(reason);
                return Ok(());
            }
        };
        let mut engines = support::rootless(&settings);
        engines.truncate(1);
        engines.push(Box::new(kernel));
        engines.push(Box::new(Kernel::new(&case.compiled()).expect("the kernel accepts a linked object")));
        case.check(engines, None)?;
    }
}

fn main() -> std::process::ExitCode {
    trial::main()
}

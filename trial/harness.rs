//! The harness of suites whose tests may find out only when they run that what they need is missing.
//!
//! Such a test calls [`missing`] and goes on with what it can check without. If nothing else fails it is reported as ignored, with the
//! reason. Where the environment has `CI`, missing rights and tools are a failure.

#![allow(dead_code, reason = "each suite uses its part")]

use std::cell::RefCell;
use std::fmt::Debug;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test, as `#[test]` of `treeline-trial` submits it.
pub struct Test {
    /// Crate, modules and function.
    pub path: &'static str,
    pub run: fn() -> Result<(), Failed>,
}

inventory::collect!(Test);

/// What a test may give back.
pub trait End {
    fn ended(self) -> Result<(), Failed>;
}

impl End for () {
    fn ended(self) -> Result<(), Failed> {
        Ok(())
    }
}

impl<E: Debug> End for Result<(), E> {
    fn ended(self) -> Result<(), Failed> {
        self.map_err(|error| format!("{error:?}").into())
    }
}

pub fn ended(end: impl End) -> Result<(), Failed> {
    end.ended()
}

thread_local! {
    /// Of the trial that this thread runs: what it misses.
    static MISSING: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Says that the trial of this thread misses something without which it does not check what its name says. Under `CI` that is a failure.
#[track_caller]
pub fn missing(what: impl Into<String>) {
    let what = what.into();
    assert!(std::env::var_os("CI").is_none(), "under CI this must be there: {what}");
    without(what);
}

/// The same of what no machine needs to have: captures that are not in the repository.
#[track_caller]
pub fn without(what: impl Into<String>) {
    let what = what.into();
    MISSING.with_borrow_mut(|trial| {
        let missed = trial.as_mut().expect("only the thread of a trial can say what the trial misses");
        if !missed.contains(&what) {
            missed.push(what);
        }
    });
}

fn run(test: &Test) -> Result<Completion, Failed> {
    MISSING.set(Some(Vec::new()));
    (test.run)()?;
    let missed = MISSING.take().unwrap_or_default();
    Ok(if missed.is_empty() { Completion::Completed } else { Completion::ignored_with(missed.join("; ")) })
}

/// All tests of the suite.
pub fn main() -> ExitCode {
    main_with(Vec::new())
}

/// All tests of the suite, and trials that it has made.
pub fn main_with(mut trials: Vec<Trial>) -> ExitCode {
    let tests = inventory::iter::<Test>.into_iter().map(|test| {
        let name = test.path.split_once("::").expect("a crate's item").1;
        Trial::ignorable_test(name, || run(test))
    });
    trials.extend(tests);
    assert!(!trials.is_empty(), "a suite without tests");
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

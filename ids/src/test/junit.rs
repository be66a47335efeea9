//! A report for continuous integration: a suite of one program, a test case per capture.

use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};
use treeline_lab::cause::explain;
use treeline_lab::lab::Summary;

/// The report in the making.
pub struct Report {
    suite: TestSuite,
    program: String,
}

impl Report {
    /// One of a program, without captures so far.
    pub fn new(object: &Path, program: &str) -> Self {
        Self { suite: TestSuite::new(object.display().to_string()), program: program.to_owned() }
    }

    /// A capture that could not be run.
    pub fn broken(&mut self, path: &Path, reason: &str) {
        self.add(path, Duration::ZERO, Some((NonSuccessKind::Error, reason)));
    }

    /// A capture that ran, with what there is to say against the program or the engines.
    pub fn capture(&mut self, path: &Path, time: Duration, summary: &Summary, findings: &str) {
        let broken = summary.damage.as_deref().or(summary.stop.as_ref().map(|_| findings));
        let failed = (!summary.is_clean()).then_some((NonSuccessKind::Failure, findings));
        self.add(path, time, broken.map(|reason| (NonSuccessKind::Error, reason)).or(failed));
    }

    fn add(&mut self, path: &Path, time: Duration, wrong: Option<(NonSuccessKind, &str)>) {
        let status = match wrong {
            None => TestCaseStatus::success(),
            Some((kind, text)) => {
                let mut status = TestCaseStatus::non_success(kind);
                status.set_message(text.lines().next().unwrap_or_default()).set_description(text);
                status
            }
        };
        let mut case = TestCase::new(path.display().to_string(), status);
        case.set_classname(&self.program).set_time(time);
        self.suite.add_test_case(case);
    }

    /// The document.
    pub fn xml(self) -> Result<String, String> {
        let mut document = Document::new("treeline test");
        document.add_test_suite(self.suite);
        document.to_string().map_err(|error| explain(&error))
    }
}

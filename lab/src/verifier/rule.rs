//! The verifier's messages (`kernel/bpf/verifier.c` and the files it was parted into, 5.10 to 7.3), the rule behind each and what usually helps.
//!
//! A rule has a name, which stays, and patterns: words of its messages, `*` for what differs from one to the next. Of a message of several lines the
//! first rule of the table that fits any line counts, so what is precise stands before what is general; within a table and among
//! the tables. Not here: what an instruction is, and where it stands.

mod call;
mod load;
mod memory;
mod pointer;
mod resource;
mod structure;
mod value;

pub(super) use memory::STALE_PACKET;
pub(super) use resource::{USE_AFTER_RELEASE, USE_AFTER_UNLOCK};

/// A rule of the verifier's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What its messages say, on kernels of 5.10 to 7.3; `*` stands for anything within a line. None where the message is that of another rule, and
    /// the way there says that it is this one.
    pub patterns: &'static [&'static str],
    /// The rule, in a sentence.
    pub rule: &'static str,
    /// What usually helps.
    pub remedy: &'static str,
}

const fn rule(name: &'static str, patterns: &'static [&'static str], rule: &'static str, remedy: &'static str) -> Rule {
    Rule { name, patterns, rule, remedy }
}

impl Rule {
    /// Whether a pattern fits a line of a message.
    #[must_use]
    pub fn fits(pattern: &str, line: &str) -> bool {
        let mut rest = line;
        pattern.split('*').all(|part| match rest.find(part) {
            Some(place) => {
                rest = &rest[place + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// All rules, in the order in which they are tried.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let tables = [load::BUGS, memory::RULES, pointer::RULES, value::RULES, resource::RULES, load::RULES, call::RULES, structure::RULES];
    tables.into_iter().flatten().chain([&STALE_PACKET, &USE_AFTER_RELEASE, &USE_AFTER_UNLOCK])
}

/// The rule behind a message of the verifier's, of one line or several.
#[must_use]
pub fn find(message: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.patterns.iter().any(|pattern| message.lines().any(|line| Rule::fits(pattern, line))))
}

/// The rule behind an error of the system call that came without a word of the verifier's.
pub(super) fn of_error(errno: i32) -> Option<&'static Rule> {
    load::SILENT.iter().find(|(error, _)| *error == errno).map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_star_stands_for_anything_within_a_line() {
        assert!(Rule::fits("R*type=*expected=", "R1 type=scalar expected=fp, pkt"));
        assert!(!Rule::fits("R*type=*expected=", "R1 expected=fp type=scalar"));
        assert!(find("R1 type=scalar\nexpected=fp").is_none());
    }

    #[test]
    fn names_are_words_with_hyphens_and_each_is_there_once() {
        let mut names = BTreeSet::new();
        for rule in rules() {
            assert!(
                rule.name.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-'),
                "{}",
                rule.name
            );
            assert!(names.insert(rule.name), "{} is there twice", rule.name);
            assert!(rule.rule.ends_with('.') && rule.remedy.ends_with('.'), "{}", rule.name);
        }
    }
}

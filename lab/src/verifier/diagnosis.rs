//! The verifier's own explanation, which follows its message since 7.3: what kind of rule, the reason, a suggestion, and source lines.

use serde::{Deserialize, Serialize};

/// What the kernel adds to its message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// `Memory Safety: Access outside bounds`
    pub category: String,
    /// Why, in its words; one line.
    pub reason: String,
    /// What to do, in its words; one line.
    pub suggestion: String,
}

const START: &str = "Verification failed: ";

/// The log without the explanation, which may stand amid its last lines, and the explanation.
pub(super) fn split(log: &str) -> (String, Option<Diagnosis>) {
    let Some(start) = log.rfind(START).filter(|start| *start == 0 || log[..*start].ends_with('\n')) else { return (log.to_owned(), None) };
    let (before, after) = log.split_at(start);
    let mut lines = after.lines();
    let category = lines.next().and_then(|line| line.strip_prefix(START)).unwrap_or_default().trim().to_owned();
    let mut diagnosis = Diagnosis { category, ..Diagnosis::default() };
    let mut section = "";
    let mut rest = before.to_owned();
    for line in lines {
        if line.starts_with("verification time ")
            || line.starts_with("stack depth ")
            || line.starts_with("processed ")
            || !rest_is(&rest, before)
        {
            rest += line;
            rest.push('\n');
        } else if let Some(title) = line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            section = title;
        } else if line.starts_with("  ") {
            match section {
                "Reason" => add(&mut diagnosis.reason, line),
                "Suggestion" => add(&mut diagnosis.suggestion, line),
                _ => {}
            }
        }
    }
    (rest, Some(diagnosis))
}

/// Whether nothing was added yet.
fn rest_is(rest: &str, before: &str) -> bool {
    rest.len() == before.len()
}

fn add(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(line.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_parted_from_the_log() {
        let log = "7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n\n\
                   Verification failed: Register Type Safety: Invalid dereference\n\nReason:\n  R0 may be NULL here.\n  Two lines.\n\n\
                   At:\n  third @ a.c:12:5\n  Source context:\n  >>> 12 |  *v += 1;\n\nSuggestion:\n  Add a NULL check.\n\n\
                   verification time 11656 usec\nstack depth max 0\nsubprog 0 (third) main insns_self 7 insns_total 7 stack 8\nprocessed 7 insns\n";
        let (rest, diagnosis) = split(log);
        assert_eq!(rest.lines().filter(|line| !line.is_empty()).count(), 6, "{rest}");
        let diagnosis = diagnosis.expect("there is one");
        assert_eq!(diagnosis.category, "Register Type Safety: Invalid dereference");
        assert_eq!((diagnosis.reason.as_str(), diagnosis.suggestion.as_str()), ("R0 may be NULL here. Two lines.", "Add a NULL check."));
        assert_eq!(split("no more\n"), ("no more\n".to_owned(), None));
    }
}

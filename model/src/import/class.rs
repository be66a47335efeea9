//! The library's classes -> ours: benign first, every other one malicious.

use super::forest::Forest;
use super::{ImportError, Options};
use crate::BENIGN;

/// Our classes' names, and the class of each of the library's.
pub(crate) fn resolve(forest: &Forest, options: &Options) -> Result<(Vec<String>, Vec<u16>), ImportError> {
    let labels = &forest.labels;
    let refused = |reason: String| Err(ImportError::Classes { labels: format!("{labels:?}"), reason });
    let benign = match (&options.classes, options.malicious.as_slice()) {
        (Some(_), [_, ..]) => return refused("give --classes or --malicious, not both".into()),
        (Some(names), []) if names.len() != labels.len() => return refused(format!("--classes names {} of {}", names.len(), labels.len())),
        (Some(names), []) => return Ok((names.clone(), (0..).take(labels.len()).collect())),
        (None, malicious @ [_, ..]) => {
            if let Some(unknown) = malicious.iter().find(|label| !labels.contains(label)) {
                return refused(format!("--malicious {unknown:?} is none of them"));
            }
            labels.iter().map(|label| !malicious.contains(label)).collect::<Vec<_>>()
        }
        (None, []) => {
            let known = |label: &String| label.eq_ignore_ascii_case(BENIGN) || ["0", "0.0", "false"].contains(&label.as_str());
            let benign: Vec<_> = labels.iter().map(known).collect();
            if benign.iter().filter(|benign| **benign).count() != 1 {
                return refused("which is benign? name them with --classes benign,..., or say which are not with --malicious".into());
            }
            benign
        }
    };
    Ok(number(labels, &benign))
}

fn number(labels: &[String], benign: &[bool]) -> (Vec<String>, Vec<u16>) {
    let mut names = vec![BENIGN.to_owned()];
    let two = benign.iter().filter(|benign| !**benign).count() == 1;
    let mut classes = Vec::with_capacity(labels.len());
    for (label, benign) in labels.iter().zip(benign) {
        classes.push(if *benign { 0 } else { u16::try_from(names.len()).unwrap_or(u16::MAX) });
        if !benign {
            let bare = label.parse::<f64>().is_ok() || ["true", "false"].contains(&label.as_str());
            names.push(match (bare, two) {
                (false, _) => label.clone(),
                (true, true) => "malicious".to_owned(),
                (true, false) => format!("class {label}"),
            });
        }
    }
    (names, classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::forest::Precision;
    use crate::vote::{Arithmetic, Choice, Combination};

    fn resolve_of(labels: &[&str], options: &Options) -> Result<(Vec<String>, Vec<u16>), String> {
        let vote = Combination { choice: Choice::Largest, arithmetic: Arithmetic::F64, base: vec![], classes: vec![] };
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let forest = Forest {
            trees: vec![],
            precision: Precision::F64,
            vote,
            labels,
            names: None,
            columns_count: 12,
            columns: vec![],
            notes: vec![],
        };
        resolve(&forest, options).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(labels: &[&str], options: &Options, names: &[&str], classes: &[u16]) {
        let (found, numbers) = resolve_of(labels, options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), numbers.as_slice()), (names, classes));
    }

    fn malicious(labels: &[&str]) -> Options {
        Options { malicious: labels.iter().map(|label| (*label).to_owned()).collect(), ..Options::default() }
    }

    #[test]
    fn zero_and_the_word_are_benign() {
        check(&["0", "1"], &Options::default(), &["benign", "malicious"], &[0, 1]);
        check(&["0", "1", "2"], &Options::default(), &["benign", "class 1", "class 2"], &[0, 1, 2]);
        check(&["false", "true"], &Options::default(), &["benign", "malicious"], &[0, 1]);
        check(&["BENIGN", "dos", "scan"], &Options::default(), &["benign", "dos", "scan"], &[0, 1, 2]);
        check(&["attack", "benign"], &Options::default(), &["benign", "attack"], &[1, 0]);
    }

    #[test]
    fn what_is_not_malicious_is_benign() {
        check(&["dos", "normal", "web"], &malicious(&["dos"]), &["benign", "dos"], &[1, 0, 0]);
        check(&["-1", "1"], &malicious(&["-1"]), &["benign", "malicious"], &[1, 0]);
    }

    #[test]
    fn classes_that_do_not_say_which_is_benign_are_refused() {
        let refused = resolve_of(&["a", "b"], &Options::default()).expect_err("which?");
        assert_eq!(
            refused,
            "classes [\"a\", \"b\"]: which is benign? name them with --classes benign,..., or say which are not with --malicious"
        );
        assert_eq!(
            resolve_of(&["a", "b"], &malicious(&["c"])).expect_err("c"),
            "classes [\"a\", \"b\"]: --malicious \"c\" is none of them"
        );
        let three = Options { classes: Some(vec!["benign".into(); 3]), ..Options::default() };
        assert_eq!(resolve_of(&["a", "b"], &three).expect_err("3"), "classes [\"a\", \"b\"]: --classes names 3 of 2");
    }
}

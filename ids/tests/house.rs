//! Rules of the house that no compiler keeps: the arrows between crates, the words of prose, the length of Markdown's lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may use of ours.
const ARROWS: [(&str, &[&str]); 8] = [
    ("treeline", &["treeline-data", "treeline-ebpf", "treeline-lab", "treeline-model", "treeline-sim"]),
    ("treeline-data", &["treeline-ebpf", "treeline-lab", "treeline-model", "treeline-sim"]),
    ("treeline-ebpf", &[]),
    ("treeline-guest", &["treeline-lab"]),
    ("treeline-lab", &[]),
    ("treeline-model", &["treeline-ebpf"]),
    ("treeline-sim", &["treeline-ebpf", "treeline-lab", "treeline-model"]),
    ("treeline-trial", &[]),
];
/// What whoever tests a packet program with `treeline-lab` need not build.
const NOT_IN_LAB: [&str; 5] = ["aya", "clap", "parquet", "prost", "rayon"];

/// Words that have a better one in the field: what newcomers stumbled over.
const RETIRED: [&str; 27] = [
    "a row a",
    "a line a",
    "a record a",
    "a call a packet",
    "anew",
    "anybody's",
    "bad days",
    "dearer",
    "datagram flood",
    "judge",
    "judged",
    "judges",
    "judging",
    "kernel@LINE",
    "line of kernels",
    "look-up",
    "middlemen",
    "million a second",
    "ns a packet",
    "of old",
    "put out of",
    "puts out",
    "refused by name",
    "somebody else",
    "stepped over",
    "test-run",
    "without rights",
];
const MARKDOWN_COLUMNS_MAX: usize = 120;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_arrows_between_crates_point_one_way() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"])).expect("JSON");
    let of = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("a list");
        let ours = dependencies.iter().filter(|one| one["kind"].is_null()).filter_map(|one| one["name"].as_str());
        let mut ours: Vec<String> = ours.filter(|name| name.starts_with("treeline")).map(str::to_owned).collect();
        ours.sort_unstable();
        (package["name"].as_str().expect("a name").to_owned(), ours)
    };
    let found: BTreeMap<String, Vec<String>> = metadata["packages"].as_array().expect("a list").iter().map(of).collect();
    let known = ARROWS.map(|(name, uses)| (name.to_owned(), uses.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()));
    assert_eq!(found, known.into(), "ARCHITECTURE.md has the arrows");
}

#[test]
fn the_lab_builds_without_what_only_the_detection_system_needs() {
    let tree = cargo(&["tree", "--offline", "-p", "treeline-lab", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"rbpf") && names.contains(&"aya-obj"), "{names:?}");
    let ours = |name: &&&str| name.starts_with("treeline") && **name != "treeline-lab";
    let found: Vec<_> = names.iter().filter(|name| NOT_IN_LAB.contains(name) || ours(name)).collect();
    assert!(found.is_empty(), "treeline-lab uses {found:?}");
}

/// The files of an ending that are part of the project.
fn files(ending: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name.as_str())
            {
                open.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 10, "{} files of {ending}", found.len());
    found
}

/// A file's lines of prose with their numbers: of Markdown what is neither code nor a table, of Rust the comments.
fn prose(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("UTF-8");
    let is_rust = path.extension().is_some_and(|ending| ending == "rs");
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start();
        if !is_rust && trimmed.starts_with("```") {
            is_code = !is_code;
        } else if is_rust && trimmed.starts_with("//") || !is_rust && !is_code && !trimmed.starts_with('|') && !line.starts_with("    ") {
            lines.push((number, line.to_owned()));
        }
    }
    lines
}

/// The line without what stands between backticks.
fn words(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("` `")
}

/// Whether the line has the words, not as a part of longer ones.
fn has(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        !before.ends_with(char::is_alphabetic) && !after.starts_with(char::is_alphabetic)
    })
}

#[test]
fn retired_words_are_found_whole() {
    assert!(has("it writes a row a packet", "a row a") && has("12 ns a packet.", "ns a packet"));
    assert!(!has("runs a packet", "ns a packet") && !has("a row apart", "a row a") && !has("gold of older", "of old"));
}

#[test]
fn no_line_of_markdown_is_too_long() {
    let long = |path: &PathBuf| {
        let lines = prose(path).into_iter().filter(|(_, line)| line.chars().count() > MARKDOWN_COLUMNS_MAX);
        lines.map(|(number, line)| format!("{}:{number}: {} columns", path.display(), line.chars().count())).collect::<Vec<_>>()
    };
    let found: Vec<_> = files(".md").iter().flat_map(long).collect();
    assert!(found.is_empty(), "more than {MARKDOWN_COLUMNS_MAX} columns:\n{}", found.join("\n"));
}

#[test]
fn retired_words_stay_retired() {
    let mut found = Vec::new();
    for path in files(".md").into_iter().chain(files(".rs")) {
        // What was, is said in the words of then.
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        for (number, line) in prose(&path) {
            let line = words(&line);
            let retired = RETIRED.iter().filter(|retired| has(&line, retired));
            found.extend(retired.map(|retired| format!("{}:{number}: `{retired}`", path.display())));
        }
    }
    assert!(found.is_empty(), "these words have a better one in the field:\n{}", found.join("\n"));
}

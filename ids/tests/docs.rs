//! The commands of the documents do what is written: every block marked `console` is run, and what it prints is compared.
//!
//! A block has lines `$ treeline ...`, each with what it prints behind it, standard output first. Times may differ. Commands run in a scratch
//! folder that sees `testdata` and `lab`. `TREELINE_UPDATE=1 cargo test -p treeline --test docs` writes the blocks again. Not here: commands that
//! need privileges, or whose numbers are measurements.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the source tree")
}

fn documents() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let mut documents: Vec<_> = folder.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    documents.extend(["README.md", "testdata/README.md"].map(|name| root().join(name)));
    documents.sort();
    documents
}

/// What the command prints, in a folder where it may write.
fn printed(scratch: &Path, command: &str) -> String {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("treeline"), "`{command}`: only treeline is run");
    let output = Command::new(env!("CARGO_BIN_EXE_treeline")).args(words).current_dir(scratch).output().expect("treeline starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    text.concat().lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// The document with what its commands print now.
fn run(scratch: &Path, document: &str) -> String {
    let mut written = String::new();
    let (mut in_block, mut in_output) = (false, false);
    for line in document.lines() {
        if line == "```console" {
            in_block = true;
        } else if line.starts_with("```") {
            (in_block, in_output) = (false, false);
        }
        let command = line.strip_prefix("$ ").filter(|_| in_block);
        if command.is_some() || !in_output {
            written.extend([line, "\n"]);
        }
        if let Some(command) = command {
            written += &printed(scratch, command);
            in_output = true;
        }
    }
    written
}

/// The text with a placeholder for each time.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        let is_unit = words[at].lines().next().is_some_and(|word| matches!(word, "ms" | "s"));
        if is_unit && words[at - 1].parse::<f64>().is_ok() {
            words[at - 1] = "TIME";
        }
    }
    words.join(" ")
}

fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    for name in ["testdata", "lab"] {
        symlink(root().join(name), scratch.path().join(name)).expect("a link");
    }
    scratch
}

#[test]
fn the_commands_of_the_documents_print_what_is_written() {
    let is_update = std::env::var_os("TREELINE_UPDATE").is_some();
    let (mut commands_count, mut wrong) = (0, Vec::new());
    for path in documents() {
        let document = fs::read_to_string(&path).expect("a document");
        let now = run(scratch().path(), &document);
        commands_count += now.lines().filter(|line| line.starts_with("$ treeline ")).count();
        if timeless(&now) == timeless(&document) {
            continue;
        }
        if is_update {
            fs::write(&path, now).expect("a document");
            continue;
        }
        let differing = now.lines().zip(document.lines()).find(|(now, then)| timeless(now) != timeless(then));
        let (now, then) = differing.unwrap_or(("more lines, or fewer", ""));
        wrong.push(format!("{}:\n  written: {then}\n  printed: {now}", path.display()));
    }
    assert!(commands_count >= 3, "{commands_count} commands");
    assert!(wrong.is_empty(), "{}\nTREELINE_UPDATE=1 cargo test -p treeline --test docs", wrong.join("\n"));
}

#[test]
fn a_document_that_says_something_else_is_found() {
    let scratch = scratch();
    let document = "```console\n$ treeline --version\ntreeline 0.0.0\n```\nrest\n";
    let now = run(scratch.path(), document);
    assert_eq!(now, format!("```console\n$ treeline --version\ntreeline {}\n```\nrest\n", env!("CARGO_PKG_VERSION")));
    assert_ne!(timeless(&now), timeless(document));
    assert_eq!(run(scratch.path(), &now), now);
    assert_eq!(timeless("linked in 0.4 ms\nof 12 s\n"), timeless("linked in 7 ms\nof 3 s\n"));
    assert_ne!(timeless("object 12 bytes"), timeless("object 13 bytes"));
}

//! The programs of `testdata/verifier`: rule, source line and registers as their source says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use libtest_mimic::{Failed, Trial};
use treeline_lab::bpf::Object;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::verifier::{Refusal, rules, verify};

/// Loaded without `CAP_PERFMON`.
const FEW_RIGHTS: &str = "right";

/// What a program's source says of it.
#[derive(Debug, Clone, Default)]
struct Marks {
    /// The number of the line that the verifier stops at, and words on a register.
    stop: Option<(u32, String)>,
    /// The line of the call that is to blame.
    cause: Option<u32>,
}

/// A trial for each program.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (subject, object) in objects() {
        for (program, mark) in marks(&object.with_extension("c")) {
            let (object, name) = (object.clone(), format!("{subject}_{program}_is_explained"));
            let few = subject == FEW_RIGHTS;
            trials.push(Trial::test(name, move || explained(&object, &program, &mark, few)));
        }
    }
    trials
}

fn objects() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/verifier");
    let files = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let subject = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".bpf.o").map(str::to_owned);
    files.filter_map(|path| Some((subject(&path)?, path))).collect()
}

/// The programs of a source, each with the line that bears an arrow before the next program, and the one that bears a double one.
fn marks(source: &Path) -> Vec<(String, Marks)> {
    let text = fs::read_to_string(source).expect("the source");
    let mut programs: Vec<(String, Marks)> = Vec::new();
    // Marks in a function belong to the program that follows.
    let mut pending: Option<Marks> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(name) = line.strip_prefix("SEC(").and_then(|line| line.split_once(" int ")).map(|(_, name)| name) {
            let name = name.split('(').next().unwrap_or_default();
            programs.push((name.to_owned(), pending.take().unwrap_or_default()));
        } else if line.starts_with("static ") || line.starts_with("NOINLINE ") {
            pending.get_or_insert_default();
        }
        let Some(marks) = pending.as_mut().or(programs.last_mut().map(|(_, marks)| marks)) else { continue };
        if let Some((_, words)) = line.split_once("// <-") {
            marks.stop = Some((number, words.trim().to_owned()));
        }
        if line.contains("// <=") {
            marks.cause = Some(number);
        }
    }
    programs
}

fn explained(path: &Path, program: &str, marks: &Marks, few_rights: bool) -> Result<(), Failed> {
    let Some(refusal) = refusal(path, program, few_rights)? else {
        return Err("accepted".into());
    };
    let expected = rule(program);
    let shown =
        format!("`{}` meets {:?} at {:?} by {:?}: {:?}", refusal.message, refusal.name, refusal.source, refusal.cause, refusal.registers);
    if refusal.name.as_deref() != Some(expected.as_str()) {
        return Err(shown.into());
    }
    let cause = refusal.cause.as_ref().and_then(|cause| cause.source.as_ref()).map(|(_, line, _)| *line);
    if cause != marks.cause {
        return Err(format!("{:?} is to blame, not {cause:?}: {shown}", marks.cause).into());
    }
    if let Some((line, words)) = &marks.stop {
        let mut states = refusal.registers.iter().map(|(name, state)| format!("{name} is {state}"));
        if refusal.source.as_ref().map(|(_, line, ..)| *line) != Some(*line) {
            return Err(format!("not at line {line}: {shown}").into());
        }
        if !words.is_empty() && !states.any(|state| state.contains(words)) {
            return Err(format!("nothing is {words}: {shown}").into());
        }
    }
    Ok(())
}

fn refusal(path: &Path, program: &str, few_rights: bool) -> Result<Option<Refusal>, Failed> {
    let elf = fs::read(path)?;
    let object = Object::parse(&elf, &ReadOptions::default())?;
    let program = object.program(program)?;
    let report = if few_rights {
        thread::scope(|scope| {
            let asked = || {
                give_up_rights();
                verify(&object, program, false)
            };
            scope.spawn(asked).join().expect("no panic")
        })
    } else {
        verify(&object, program, false)
    };
    Ok(report?.refusal)
}

/// Leaves this thread `CAP_NET_ADMIN` and `CAP_BPF`.
fn give_up_rights() {
    let (version, rights) = ([0x2008_0522_u32, 0], [1_u32 << 12, 1_u32 << 7]);
    let data = [rights[0], rights[0], 0, rights[1], rights[1], 0];
    // SAFETY: the call reads a header and two entries of three words.
    let result = unsafe { libc::syscall(libc::SYS_capset, version.as_ptr(), data.as_ptr()) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}

/// How many rules there are, and how many a program shows; each program is named for one.
pub fn count() -> Result<(), Failed> {
    let known: BTreeSet<&str> = rules().map(|rule| rule.name).collect();
    let programs = objects().into_values().flat_map(|object| marks(&object.with_extension("c")));
    let named: BTreeSet<String> = programs.map(|(program, _)| rule(&program)).collect();
    let strange: Vec<&String> = named.iter().filter(|name| !known.contains(name.as_str())).collect();
    println!("{} of {} rules are shown by a program", named.len(), known.len());
    if strange.is_empty() { Ok(()) } else { Err(format!("no such rules: {strange:?}").into()) }
}

fn rule(program: &str) -> String {
    program.split("__").next().unwrap_or_default().replace('_', "-")
}

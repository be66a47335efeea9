//! What the programs cost a kernel's verifier, as a snapshot: a change that makes it more expensive shows as a changed line.

use std::fmt::Write as _;
use std::path::Path;

use libtest_mimic::{Completion, Failed};
use treeline_ebpf::Link;
use treeline_lab::guest::Machine;
use treeline_lab::guest::message::{Reply, Request};
use treeline_lab::verifier::{Job, Report, Row};
use treeline_model::link::link;
use treeline_model::{BENIGN, Model, Node};
use treeline_sim::engine::Hook;
use treeline_sim::object::OBJECT;

/// Leaves of the trees that are compiled; the last is the largest tree there is.
const LEAVES: [u16; 4] = [10, 100, 1000, 4096];

/// Compares with `snapshots/verifier`. Of another version of the kernel's package than the snapshot's the numbers may differ: the trial is
/// then ignored, with that as the reason, and `TREELINE_UPDATE` makes the snapshot again.
pub fn check(machine: &mut Machine) -> Result<Completion, Failed> {
    let (line, package) = (machine.line(), machine.package().to_owned());
    let text = table(machine)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../snapshots/verifier/{line}.txt"));
    let text = format!("{package}\n\n{text}");
    if std::env::var_os("TREELINE_UPDATE").is_some() {
        std::fs::write(&path, text)?;
        return Ok(Completion::Completed);
    }
    let known = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}; TREELINE_UPDATE=1 makes it", path.display()))?;
    if known.lines().next() != Some(&package) {
        let of = known.lines().next().unwrap_or_default();
        let reason = format!("all but the costs of {package}: the snapshot is of {of}; TREELINE_UPDATE=1 makes it again");
        return Ok(Completion::ignored_with(reason));
    }
    for (known, found) in known.lines().zip(text.lines()) {
        if known != found {
            return Err(format!("snapshots/verifier/{line}.txt:\n- {known}\n+ {found}\nTREELINE_UPDATE=1 makes it again").into());
        }
    }
    if known.len() == text.len() { Ok(Completion::Completed) } else { Err("the snapshot has other lines".into()) }
}

fn table(machine: &mut Machine) -> Result<String, Failed> {
    let mut text = String::from("program             tree                   instructions    states      peak  stack\n");
    let mut add = |tree: &str, elf: &[u8]| {
        let job = Job { elf: elf.to_vec(), ..Job::default() };
        let Reply::Verified(rows) = machine.ask(&Request::Verify(job))? else { return Err(Failed::from("an answer to another question")) };
        for name in Link::ALL.iter().flat_map(|&link| Hook::ALL.map(|hook| hook.program(link))) {
            let is_its = |row: &&Row| row.as_ref().is_ok_and(|report| report.program == name);
            let Some(Ok(report)) = rows.iter().find(is_its) else { return Err(format!("no {name} in {rows:?}").into()) };
            writeln!(text, "{name:<19} {tree:<22} {}", cells(report))?;
        }
        Ok(())
    };
    add("walked", OBJECT)?;
    for leaves in LEAVES {
        add(&format!("compiled, {leaves} leaves"), &link(OBJECT, &balanced(leaves)?)?.object)?;
    }
    Ok(text)
}

fn cells(report: &Report) -> String {
    if let Some(refusal) = &report.refusal {
        return format!("refused: {}", refusal.message);
    }
    let stack: Vec<String> = report.stacks.iter().map(|(_, bytes)| bytes.to_string()).collect();
    let numbers = report.statistics;
    format!("{:>12} {:>9} {:>9}  {}", numbers.instructions, numbers.states, numbers.peak_states, stack.join("+"))
}

/// A tree whose leaves lie at most one level apart, over all features in turn.
fn balanced(leaves: u16) -> Result<Model, Failed> {
    let node = |index: u16| {
        if index < leaves - 1 {
            let (feature, threshold) = (index % 12, (i64::from(index) * 7919 % 65_536) << 16);
            Node::Inner { feature, threshold, left: 2 * index + 1, right: 2 * index + 2 }
        } else {
            Node::Leaf { class: index % 2 }
        }
    };
    Ok(Model::from_nodes("balanced", vec![BENIGN.to_owned(), "malicious".to_owned()], (0..2 * leaves - 1).map(node).collect())?)
}

//! How much faster than scikit-learn a tree is trained on one core, in turns: `cargo run --release -p treeline-model --example train_speed [ROWS]`.
//!
//! Seconds of a CPU are compared, which depend less than seconds of a clock on what else the machine does. `TREELINE_PYTHON` names a Python with numpy and
//! scikit-learn; without it only the trainer's own times are shown. The peak of memory includes the table.

#[path = "../tests/support/scikit_learn.rs"]
mod scikit_learn;
#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::fs;
use std::ops::ControlFlow;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use scikit_learn::Failure;
use treeline_model::train::{self, Grown, Settings, Table};

const ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let (table, test) = (traffic::table(rows, 2, 1), traffic::table(1000, 2, 2));
    let settings = Settings::default();
    let mut other = scikit_learn::python().map(|python| scikit_learn::ScikitLearn::new(&python, &table, &test, 65_536)).transpose()?;
    let one = ThreadPoolBuilder::new().num_threads(1).build()?;
    println!("{rows} rows, depth {}, {} leaves; seconds", settings.depth_max, settings.leaves_max);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let leaf_impurity = grow(&table, &settings)?.impurity();
        print!("all cores {:.2}, ", start.elapsed().as_secs_f64());
        let used = one.install(|| {
            let start = cpu_seconds()?;
            grow(&table, &settings)?;
            Ok::<_, Failure>(cpu_seconds()? - start)
        })?;
        print!("one core {used:.2} (leaf impurity {leaf_impurity:.6})");
        if let Some(other) = &mut other {
            let fitted = other.fit(&settings, Some(settings.leaves_max))?;
            let (seconds, leaf_impurity) = (fitted.cpu_seconds, fitted.leaf_impurity());
            print!(", scikit-learn {} {seconds:.2} (leaf impurity {leaf_impurity:.6}): {:.1} times faster", fitted.version, seconds / used);
        }
        println!();
    }
    println!("peak of memory: {} MiB", peak_kib()? >> 10);
    Ok(())
}

fn grow(table: &Table, settings: &Settings) -> Result<Grown, train::Error> {
    train::grow(table, settings, |_| ControlFlow::Continue(()))
}

/// What this thread has run so far.
fn cpu_seconds() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns: f64 = text.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(ns / 1e9)
}

fn peak_kib() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

//! How much faster than scikit-learn a tree is trained, on one core each, in turns: `cargo run --release -p treeline-model --example train_speed [ROWS]`.
//!
//! `TREELINE_PYTHON` names a Python with scikit-learn. Without it only the trainer's own times are shown.

#[path = "../tests/support/scikit_learn.rs"]
mod scikit_learn;
#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use treeline_model::train::{Settings, grow};

const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let (table, test) = (traffic::table(rows, 2, 1), traffic::table(1000, 2, 2));
    let settings = Settings::default();
    let mut other = scikit_learn::python().map(|python| scikit_learn::ScikitLearn::new(&python, &table, &test, 65_536)).transpose()?;
    let one = ThreadPoolBuilder::new().num_threads(1).build()?;
    let all = ThreadPoolBuilder::new().build()?;
    println!("{rows} rows, {} at most deep, {} leaves at most; seconds", settings.depth_max, settings.leaves_max);
    for _ in 0..ROUNDS {
        let mut times = Vec::new();
        for pool in [&one, &all] {
            let start = Instant::now();
            let grown = pool.install(|| grow(&table, &settings, |_| ControlFlow::Continue(())))?;
            times.push(start.elapsed().as_secs_f64());
            print!("{} thread(s): {:.3}, impurity {:.6}   ", pool.current_num_threads(), times[times.len() - 1], grown.impurity());
        }
        match &mut other {
            Some(other) => {
                let fitted = other.fit(&settings, Some(settings.leaves_max))?;
                let ratio = fitted.seconds / times[0];
                println!(
                    "scikit-learn {}: {:.3}, impurity {:.6}   ratio on one core {ratio:.1}",
                    fitted.version,
                    fitted.seconds,
                    fitted.leaf_impurity()
                );
            }
            None => println!(),
        }
    }
    Ok(())
}

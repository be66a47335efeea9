//! The real scikit-learn, behind a pipe: for the test that compares trees and the example that compares times.
//!
//! `TREELINE_PYTHON` names the interpreter, which must have numpy and scikit-learn.

#![allow(dead_code, reason = "the test reads what the example does not")]

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;
use treeline_model::train::{Settings, Table};

/// What any step of this may fail with.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A fitted tree: scikit-learn's arrays, root first. Children are -1 in leaves.
#[derive(Debug, Deserialize)]
pub struct Fitted {
    pub version: String,
    pub cpu_seconds: f64,
    pub feature: Vec<i64>,
    pub threshold: Vec<f64>,
    pub left: Vec<i64>,
    pub right: Vec<i64>,
    pub rows: Vec<usize>,
    pub impurity: Vec<f64>,
    pub weight: Vec<f64>,
    pub importances: Vec<f64>,
}

impl Fitted {
    /// The weighted mean impurity of the leaves.
    pub fn leaf_impurity(&self) -> f64 {
        let leaves = (0..self.left.len()).filter(|&node| self.left[node] < 0);
        leaves.map(|node| self.impurity[node] * self.weight[node]).sum::<f64>() / self.weight[0]
    }
}

/// A Python process that holds one table.
pub struct ScikitLearn {
    folder: TempDir,
    process: Child,
    answers: BufReader<ChildStdout>,
}

/// The interpreter, if the environment names one.
pub fn python() -> Option<OsString> {
    env::var_os("TREELINE_PYTHON")
}

impl ScikitLearn {
    /// Hands over `table` to train on and `test` to predict, each value divided by `divisor`.
    pub fn new(python: &OsString, table: &Table, test: &Table, divisor: u32) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        write(folder.path(), "x.i64", table.columns.iter().flatten().map(|value| value.to_le_bytes()))?;
        write(folder.path(), "test.i64", test.columns.iter().flatten().map(|value| value.to_le_bytes()))?;
        write(folder.path(), "y.u16", table.classes.iter().map(|class| class.to_le_bytes()))?;
        write(folder.path(), "w.f32", table.weights.iter().map(|weight| weight.to_le_bytes()))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/scikit_learn.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder.path()).arg(divisor.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Self { folder, process, answers })
    }

    /// Fits a tree; `None` leaves leave their number open.
    pub fn fit(&mut self, settings: &Settings, leaves_max: Option<usize>) -> Result<Fitted, Failure> {
        let settings = serde_json::json!({"depth_max": settings.depth_max, "leaves_max": leaves_max, "leaf_rows_min": settings.leaf_rows_min, "seed": settings.seed.unwrap_or(0)});
        writeln!(self.process.stdin.as_mut().ok_or("no pipe")?, "{settings}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// What the last fitted tree predicts for each row held out.
    pub fn predictions(&self) -> Result<Vec<u16>, Failure> {
        let bytes = fs::read(self.folder.path().join("predictions.u16"))?;
        Ok(bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]])).collect())
    }
}

impl Drop for ScikitLearn {
    fn drop(&mut self) {
        // The process ends with its input, and is waited for so that the folder outlives it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn write<const N: usize>(folder: &Path, name: &str, values: impl Iterator<Item = [u8; N]>) -> Result<(), Failure> {
    Ok(fs::write(folder.join(name), values.flatten().collect::<Vec<_>>())?)
}

//! A model of another library: refused, or a model that reads back equal and is exact on the grid.
//!
//! Bytes that begin like a known file are read as that; all others are cut into the paper's five arrays.

use treeline_model::Model;
use treeline_model::import::{self, Options, Source, TimeUnit};

use super::Finding;

/// Imports what `bytes` hold; whether it was accepted.
pub fn import(bytes: &[u8]) -> Result<bool, Finding> {
    let source = Source::of(bytes.to_vec(), None).unwrap_or_else(|_| arrays(bytes));
    let options = Options { time_unit: Some(TimeUnit::Ms), ..Options::default() };
    let Ok(imported) = import::import(&source, &options) else { return Ok(false) };
    let broken = |promise, found: String| Err(Finding::Model { promise, found });
    if let Some(witness) = imported.contract.inexact.first() {
        return broken("is exact on the grid", format!("{witness:?}"));
    }
    match Model::read_bytes(imported.model.to_json().as_bytes()) {
        Ok(again) if again == imported.model => Ok(true),
        Ok(_) => broken("reads back equal", imported.model.to_json()),
        Err(error) => broken("reads back", error.to_string()),
    }
}

fn arrays(bytes: &[u8]) -> Source {
    let length = bytes.len() / 40 * 8;
    Source::Paper(std::array::from_fn(|array| bytes[array * length..(array + 1) * length].to_vec()))
}

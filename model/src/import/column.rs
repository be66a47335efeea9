//! The model's columns -> the classifier's features, by name where there are names.

use treeline_ebpf::feature::{FEATURES, NAMES};

use super::ImportError;
use super::forest::{Branch, Forest};

/// Renumbers the splits' columns as the classifier's features. `given` are the columns' names as the caller has them.
pub(crate) fn rename(forest: &mut Forest, given: Option<&[String]>) -> Result<(), ImportError> {
    let features = match (given, forest.columns.as_deref()) {
        (None, None) if forest.columns_count == FEATURES => return Ok(()),
        (None, None) => return refused("columns", format!("{} without names, expected {FEATURES}", forest.columns_count)),
        (None, Some(names)) => named("the file's names", names)?,
        (Some(given), names) => {
            let features = named("--features", given)?;
            if let Some(names) = names {
                contradicts(given, names)?;
            }
            features
        }
    };
    if features.len() != forest.columns_count {
        return refused("columns", format!("{} names for {} columns", features.len(), forest.columns_count));
    }
    for node in forest.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        if let Branch::Split { feature, .. } = node {
            *feature = features[*feature];
        }
    }
    Ok(())
}

/// The classifier's number of each name; no name may come twice.
fn named(field: &str, names: &[String]) -> Result<Vec<usize>, ImportError> {
    let mut features = Vec::with_capacity(names.len().min(FEATURES));
    for (column, name) in names.iter().enumerate() {
        let Some(feature) = NAMES.iter().position(|(known, _)| known == name) else {
            return refused(&format!("{field}[{column}]"), format!("unknown feature {name:?}"));
        };
        if features.contains(&feature) {
            return refused(&format!("{field}[{column}]"), format!("{name:?} a second time"));
        }
        features.push(feature);
    }
    Ok(features)
}

/// Refuses given names that disagree with the file's where those are the classifier's.
fn contradicts(given: &[String], names: &[String]) -> Result<(), ImportError> {
    for (column, (given, name)) in given.iter().zip(names).enumerate() {
        if given != name && NAMES.iter().any(|(known, _)| known == name) {
            return refused(&format!("--features[{column}]"), format!("{given:?} where the file says {name:?}"));
        }
    }
    Ok(())
}

fn refused<T>(field: &str, found: String) -> Result<T, ImportError> {
    Err(ImportError::Features { field: field.to_owned(), found })
}

//! What a model's numbers mean: features, units, grid, classes. A model of another meaning is refused.

use treeline_ebpf::feature::{FRACTION_BITS, NAMES};

use crate::Error;
use std::collections::HashMap;

/// The name of class 0.
pub const BENIGN: &str = "benign";
/// Classes a model may have: as many as a leaf's 16 bits can number.
pub const CLASSES_MAX: usize = 1 << 16;

/// Refuses a list of (name, unit) that is not the classifier's, or another grid.
pub(crate) fn check(fraction_bits: u64, features: &[(String, String)]) -> Result<(), Error> {
    if fraction_bits != u64::from(FRACTION_BITS) {
        return Err(Error::FractionBits { found: fraction_bits });
    }
    let mut places = [None; NAMES.len()];
    let mut known = Vec::new();
    for (position, (found, _)) in features.iter().enumerate() {
        let Some(place) = NAMES.iter().position(|(name, _)| name == found) else {
            return Err(Error::FeatureUnknown { position, found: found.clone() });
        };
        if let Some(first) = places[place].replace(position) {
            return Err(Error::FeatureTwice { position, first, name: NAMES[place].0 });
        }
        known.push(place);
    }
    if let Some(position) = places.iter().position(Option::is_none) {
        return Err(Error::FeatureMissing { position, name: NAMES[position].0 });
    }
    for (position, (place, (_, unit))) in known.into_iter().zip(features).enumerate() {
        let (name, expected) = NAMES[position];
        if place != position {
            return Err(Error::FeatureOrder { position, found: NAMES[place].0, expected: name });
        }
        if unit != expected {
            return Err(Error::FeatureUnit { position, name, found: unit.clone(), expected });
        }
    }
    Ok(())
}

/// Refuses a list of classes that does not start with [`BENIGN`], has no end in 16 bits, or names one twice.
pub(crate) fn check_classes(classes: &[String]) -> Result<(), Error> {
    let Some(first) = classes.first() else { return Err(Error::NoClasses) };
    if classes.len() > CLASSES_MAX {
        return Err(Error::TooManyClasses { found: classes.len() });
    }
    if first != BENIGN {
        return Err(Error::NotBenign { found: first.clone() });
    }
    let mut places = HashMap::new();
    for (position, name) in classes.iter().enumerate() {
        if let Some(first) = places.insert(name, position) {
            return Err(Error::ClassTwice { position, first, name: name.clone() });
        }
    }
    Ok(())
}

//! The paper's published form: five arrays of little-endian i64 in a folder, one number a node. Thresholds are scaled by 65536.
//!
//! The files do not say the unit of times; the published tree's are milliseconds. A vector in ns goes left where it is at or below the
//! threshold in ns: whole numbers, so nothing is rounded.

use super::error::{ImportError, field};
use super::forest::{Branch, Forest, Precision, Tree};
use super::unit::TimeUnit;
use crate::vote::{Arithmetic, Choice, Combination};

/// The files.
pub(crate) const ARRAYS: [&str; 5] = ["childrenLeft", "childrenRight", "feature", "threshold", "value"];
/// The classifier's features, in this order, are the paper's.
const COLUMNS: usize = treeline_ebpf::feature::FEATURES;
/// Beyond, an f64 does not hold a threshold; no feature is as large.
const THRESHOLD_MAX: i64 = 1 << 53;

pub(crate) fn parse(files: &[Vec<u8>; 5], unit: Option<TimeUnit>) -> Result<Forest, ImportError> {
    if unit.is_none() {
        return Err(ImportError::TimeUnit);
    }
    let mut arrays: [Vec<i64>; 5] = Default::default();
    for ((array, file), name) in arrays.iter_mut().zip(files).zip(ARRAYS) {
        let (words, rest) = file.as_chunks::<8>();
        if !rest.is_empty() || file.len() != files[0].len() {
            return Err(field(name, format!("{} bytes", file.len()), format!("8 bytes a node, as long as {}", ARRAYS[0])));
        }
        *array = words.iter().map(|word| i64::from_le_bytes(*word)).collect();
    }
    let nodes = (0..arrays[0].len()).map(|node| branch(&arrays, node)).collect::<Result<_, _>>()?;
    Ok(Forest {
        trees: vec![Tree { place: "the tree".to_owned(), output: 0, nodes, unused: 0 }],
        precision: Precision::Exact,
        vote: Combination { choice: Choice::Above(0.5), arithmetic: Arithmetic::F64, base: vec![0.0], classes: Vec::new() },
        labels: vec!["0".to_owned(), "1".to_owned()],
        names: None,
        columns_count: COLUMNS,
        columns: Vec::new(),
        notes: vec!["columns are taken in the paper's order".to_owned()],
    })
}

#[expect(clippy::cast_precision_loss, reason = "checked: within 53 bits")]
fn branch([left, right, feature, threshold, value]: &[Vec<i64>; 5], node: usize) -> Result<Branch, ImportError> {
    let refused = |array: usize, found: i64, expected: &str| field(format!("{}[{node}]", ARRAYS[array]), found, expected);
    if (left[node], right[node]) == (-1, -1) {
        return match value[node] {
            0 => Ok(Branch::Leaf(vec![0.0])),
            1 => Ok(Branch::Leaf(vec![1.0])),
            found => Err(refused(4, found, "0 or 1")),
        };
    }
    if threshold[node].abs_diff(0) > THRESHOLD_MAX.unsigned_abs() {
        return Err(refused(3, threshold[node], "within 2^53 of zero"));
    }
    let expected = "0 or more, or -1 for both children of a leaf";
    let index = |array: usize, found: i64| usize::try_from(found).map_err(|_| refused(array, found, expected));
    Ok(Branch::Split {
        feature: index(2, feature[node])?,
        threshold: threshold[node] as f64 / 65536.0,
        strict: false,
        left: index(0, left[node])?,
        right: index(1, right[node])?,
    })
}

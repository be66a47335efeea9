//! rows -> tree: exact best-first growth of one decision tree, on the classifier's own integers.
//!
//! The splits are those of scikit-learn 1.9 (`DecisionTreeClassifier`, Gini, `max_depth`, `max_leaf_nodes`, `min_samples_leaf`): every boundary between two
//! values that a node's rows have is a candidate, the one that lowers the weighted impurity most is taken, and of all open nodes the one with the
//! greatest gain is split next. `model/tests/scikit_learn.rs` compares the trees.
//! Thresholds lie halfway between neighbouring values, rounded down to the grid. The trainer compares the same integers as the kernel, so a
//! row of the table gets in the kernel the leaf that it had in training.
//!
//! What makes it fast: each column is sorted once (`order`). A split keeps every column sorted by a stable partition, so that a node's best split is
//! one pass over its rows a column (`split`). Rows are renumbered so that a node's rows lie side by side (`growth`), which keeps the passes in the cache.
//! Columns run in parallel on the current rayon pool; no result depends on how many threads it has.
//!
//! Ties: of equal gains, the lowest threshold within a column, then the first column in the seed's order, then the node that was made first.
//! scikit-learn draws columns at random at each node, so there two trees may differ where gains are equal.
//!
//! Not here: where rows come from (`treeline-data`), the split into training and test rows, and the model file.

mod error;

mod table;

mod weight;

mod order;

mod split;

mod growth;

mod grown;

#[cfg(test)]
#[cfg(test)]
mod property;

pub use error::Error;
pub use grown::{Detail, Grown};
pub use growth::{Progress, Settings, grow};
pub use table::{CLASSES_MAX, ROWS_MAX, Table};

//! How an object is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Kind, TargetBtf};

/// How to read an object: what is set in it before it is loaded anywhere.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReadOptions {
    /// Global constants to set before loading, by symbol name; sizes must match.
    pub globals: BTreeMap<String, Vec<u8>>,
    /// Sizes to give to maps instead of those in the object.
    pub map_max_entries: BTreeMap<String, u32>,
    /// What a program is whose section's name does not say it.
    pub kind: Option<Kind>,
    /// The kernel's types, for CO-RE. Without, the running kernel's where they can be read, else the object's own: then every field
    /// lies where it lay when the object was compiled. They stay with this process: another kernel has its own.
    #[serde(skip)]
    pub target: Option<Arc<TargetBtf>>,
}

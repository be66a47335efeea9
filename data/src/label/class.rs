//! Class names and their numbers.

use std::collections::HashMap;

use treeline_model::{BENIGN, CLASSES_MAX};

/// Classes in the order in which they were met, `benign` first.
#[derive(Debug)]
pub(super) struct Classes {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl Default for Classes {
    fn default() -> Self {
        Self { names: vec![BENIGN.to_owned()], numbers: HashMap::from([(BENIGN.to_owned(), 0)]) }
    }
}

impl Classes {
    /// The number of the class called `name`, new or known. `benign` is recognised in any case. `None` if there are [`CLASSES_MAX`] already.
    pub(super) fn number(&mut self, name: &str) -> Option<u16> {
        let name = if name.eq_ignore_ascii_case(BENIGN) { BENIGN } else { name };
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.names.len()).ok().filter(|_| self.names.len() < CLASSES_MAX)?;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

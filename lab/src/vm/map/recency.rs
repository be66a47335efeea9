//! The order in which entries were used, exactly: what an LRU map is where engines are compared whose tables are exact.

use super::list::Lists;

const USED: u32 = 0;

/// Elements, the last one used first.
#[derive(Debug)]
pub(super) struct Recency(Lists);

impl Recency {
    pub(super) fn new() -> Self {
        Self(Lists::new(1))
    }

    /// An element was used.
    pub(super) fn touch(&mut self, element: u32) {
        let place = self.0.place(element);
        self.0.move_to(place, USED);
    }

    /// An element is in the map no longer.
    pub(super) fn remove(&mut self, element: u32) {
        let place = self.0.place(element);
        self.0.remove(place);
    }

    /// The element that was not used for the longest time.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.0.element(self.0.previous(USED))
    }
}

//! The native engine's flow table: it evicts exactly the flow that was not used for the longest time.
//!
//! The flows lie in one array, in which an evicted flow's place goes to the next new one. So they can be read piece by piece, by the place,
//! while packets come between the pieces.

use std::num::NonZeroUsize;

use lru::LruCache;
use treeline_ebpf::{Flow, Key};

/// The table.
#[derive(Debug)]
pub struct Table {
    places: LruCache<Key, usize>,
    flows: Vec<Flow>,
}

impl Table {
    /// An empty one with room for `flows_max` flows, at least one.
    pub fn new(flows_max: u32) -> Self {
        Self { places: LruCache::new(NonZeroUsize::new(flows_max as usize).unwrap_or(NonZeroUsize::MIN)), flows: vec![] }
    }

    /// The key's flow, used now, or a new one, after `inserted`.
    pub fn get_or_insert_mut(&mut self, key: &Key, inserted: impl FnOnce()) -> &mut Flow {
        let place = match self.places.get(key) {
            Some(&place) => place,
            None => self.insert(key, inserted),
        };
        &mut self.flows[place]
    }

    fn insert(&mut self, key: &Key, inserted: impl FnOnce()) -> usize {
        inserted();
        let is_full = self.places.len() == self.places.cap().get();
        let place = if let Some((_, evicted)) = is_full.then(|| self.places.pop_lru()).flatten() {
            self.flows[evicted] = Flow::new(key);
            evicted
        } else {
            self.flows.push(Flow::new(key));
            self.flows.len() - 1
        };
        self.places.put(*key, place);
        place
    }

    /// The key's flow, which does not count as used.
    pub fn peek_mut(&mut self, key: &Key) -> Option<&mut Flow> {
        self.places.peek(key).map(|&place| &mut self.flows[place])
    }

    /// All flows, by their places.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        Key { low_port: number, ..Key::default() }
    }

    #[test]
    fn the_flow_that_was_not_used_for_the_longest_time_gives_its_place_to_a_new_one() {
        let (mut table, mut model) = (Table::new(3), Vec::<u16>::new());
        let mut state = 1_u64;
        for step in 0..2000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = u16::try_from((state >> 33) % 5).expect("small");
            let mut inserted = false;
            table.get_or_insert_mut(&key(number), || inserted = true).packets += 1;
            let known = model.iter().position(|&known| known == number);
            assert_eq!(inserted, known.is_none(), "step {step}");
            model.retain(|&known| known != number);
            model.push(number);
            model.drain(..model.len().saturating_sub(3));
            let mut found: Vec<_> = table.flows().iter().map(|flow| flow.key.low_port).collect();
            found.sort_unstable();
            let mut expected = model.clone();
            expected.sort_unstable();
            assert_eq!(found, expected, "step {step}");
            assert!(model.iter().all(|&number| table.peek_mut(&key(number)).is_some_and(|flow| flow.key == key(number))), "step {step}");
        }
    }
}

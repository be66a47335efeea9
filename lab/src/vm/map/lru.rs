//! The elements of an LRU map as Linux 6.18 keeps them, for one CPU of several: which is used next, and which makes room for it.
//!
//! The kernel does not keep elements in the order of their use. It has an active and an inactive list and a mark on what was used; a CPU
//! takes free elements in batches and evicts to fill one. All of this is determined by what one CPU does, in the order of
//! <https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/bpf_lru_list.c>. Not here: what other CPUs do meanwhile.

use super::list::{Lists, Place};

/// `LOCAL_FREE_TARGET`, also how many elements are looked at in one go.
const BATCH: u32 = 128;
/// `PERCPU_FREE_TARGET`, the same for lists that CPUs do not share.
const OWN_BATCH: u32 = 4;

const ACTIVE: Place = 0;
const INACTIVE: Place = 1;
const FREE: Place = 2;
/// The CPU's free elements, and those that it put into the map lately.
const LOCAL_FREE: Place = 3;
const PENDING: Place = 4;
/// Free elements on their way from the shared lists to the CPU's.
const TAKEN: Place = 5;
const LISTS: u32 = 6;

/// The elements of a map.
#[derive(Debug)]
pub(super) struct Lru {
    lists: Lists,
    /// The list and the mark of each element that was ever used.
    nodes: Vec<(Place, bool)>,
    /// Elements of the active and the inactive list.
    counts: [u32; 2],
    /// Where the inactive list is looked through next.
    rotation: Place,
    /// Elements that were never used; they come after the free ones.
    fresh: u32,
    /// Free elements that are taken at a time.
    target: u32,
    scans_max: u32,
    /// `BPF_F_NO_COMMON_LRU`: each CPU has lists of its own.
    is_own: bool,
}

impl Lru {
    /// The elements that the first of so many CPUs has of a map of so many entries.
    pub(super) fn new(max_entries: u32, cpus_count: u32, is_own: bool) -> Self {
        let cpus_count = cpus_count.max(1);
        let (fresh, target, scans_max) = if is_own {
            (max_entries.div_ceil(cpus_count), OWN_BATCH, OWN_BATCH)
        } else {
            (max_entries, (max_entries / cpus_count / 2).clamp(1, BATCH), BATCH)
        };
        let (lists, nodes) = (Lists::new(LISTS), Vec::new());
        Self { lists, nodes, counts: [0; 2], rotation: INACTIVE, fresh, target, scans_max, is_own }
    }

    /// Elements that were ever used have numbers below this.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("elements have 32 bits")
    }

    /// Marks an element as used.
    pub(super) fn touch(&mut self, element: u32) {
        self.nodes[element as usize].1 = true;
    }

    /// An element for a new entry; those that made room are added to `evicted`. `None` only if the map has none at all.
    pub(super) fn take(&mut self, evicted: &mut Vec<u32>) -> Option<u32> {
        if self.is_own {
            self.rotate();
            if self.lists.is_empty(FREE) && !self.refresh(FREE) {
                self.shrink(OWN_BATCH, FREE, evicted);
            }
            let place = self.lists.next(FREE);
            let element = self.lists.element(place)?;
            self.shift(place, INACTIVE);
            return Some(element);
        }
        if self.lists.is_empty(LOCAL_FREE) {
            self.fill(evicted);
        }
        let place = self.lists.next(LOCAL_FREE);
        let element = self.lists.element(place)?;
        self.enlist(place, PENDING);
        Some(element)
    }

    /// Takes an element back.
    pub(super) fn give(&mut self, element: u32) {
        let place = self.lists.place(element);
        if self.nodes[element as usize].0 == PENDING {
            self.enlist(place, LOCAL_FREE);
        } else {
            self.shift(place, FREE);
        }
    }

    /// An element that was never used, to the start of a list; whether there is one.
    fn refresh(&mut self, list: Place) -> bool {
        if self.fresh == 0 {
            return false;
        }
        self.fresh -= 1;
        let place = self.lists.place(self.count());
        self.nodes.push((list, false));
        self.lists.move_to(place, list);
        true
    }

    /// Gets the CPU a batch of free elements.
    fn fill(&mut self, evicted: &mut Vec<u32>) {
        while self.lists.previous(PENDING) != PENDING {
            let place = self.lists.previous(PENDING);
            let list = if self.is_marked(place) { ACTIVE } else { INACTIVE };
            self.counts[list as usize] += 1;
            self.enlist(place, list);
        }
        self.rotate();
        for taken in 0..self.target {
            if !self.lists.is_empty(FREE) {
                self.enlist(self.lists.next(FREE), TAKEN);
            } else if !self.refresh(TAKEN) {
                self.shrink(self.target - taken, TAKEN, evicted);
                break;
            }
        }
        // One after the other: the first one taken is the first one used.
        while !self.lists.is_empty(TAKEN) {
            self.enlist(self.lists.next(TAKEN), LOCAL_FREE);
        }
    }

    fn rotate(&mut self) {
        if self.counts[INACTIVE as usize] < self.counts[ACTIVE as usize] {
            self.rotate_active();
        }
        self.rotate_inactive();
    }

    /// The oldest of the active list: what was used may stay, the others become inactive.
    fn rotate_active(&mut self) {
        let first = self.lists.next(ACTIVE);
        let mut place = self.lists.previous(ACTIVE);
        for _ in 0..self.scans_max {
            let before = self.lists.previous(place);
            self.shift(place, if self.is_marked(place) { ACTIVE } else { INACTIVE });
            if place == first || before == ACTIVE {
                break;
            }
            place = before;
        }
    }

    /// What was used of the inactive list becomes active.
    fn rotate_inactive(&mut self) {
        if self.lists.is_empty(INACTIVE) {
            return;
        }
        let mut last = self.lists.next(self.rotation);
        if last == INACTIVE {
            last = self.lists.next(last);
        }
        let (mut place, mut next) = (self.rotation, INACTIVE);
        let mut scans = 0;
        while scans < self.scans_max {
            if place == INACTIVE {
                place = self.lists.previous(place);
                continue;
            }
            next = self.lists.previous(place);
            if self.is_marked(place) {
                self.shift(place, ACTIVE);
            }
            if place == last {
                break;
            }
            place = next;
            scans += 1;
        }
        self.rotation = next;
    }

    /// Evicts up to `count` elements, and one at least, to the start of a free list.
    fn shrink(&mut self, count: u32, list: Place, evicted: &mut Vec<u32>) {
        let mut found = 0;
        let mut place = self.lists.previous(INACTIVE);
        for _ in 0..self.scans_max {
            if place == INACTIVE || found == count {
                break;
            }
            let before = self.lists.previous(place);
            if self.is_marked(place) {
                self.shift(place, ACTIVE);
            } else {
                self.evict(place, list, evicted);
                found += 1;
            }
            place = before;
        }
        if found == 0 {
            let from = if self.lists.is_empty(INACTIVE) { ACTIVE } else { INACTIVE };
            let place = self.lists.previous(from);
            if place != from {
                self.evict(place, list, evicted);
            }
        }
    }

    fn evict(&mut self, place: Place, list: Place, evicted: &mut Vec<u32>) {
        evicted.extend(self.lists.element(place));
        self.leave(place);
        let node = &mut self.nodes[(place - LISTS) as usize];
        node.0 = list;
        self.lists.move_to(place, list);
    }

    fn is_marked(&self, place: Place) -> bool {
        self.nodes[(place - LISTS) as usize].1
    }

    /// Moves an element among the shared lists.
    fn shift(&mut self, place: Place, list: Place) {
        self.leave(place);
        if list < FREE {
            self.counts[list as usize] += 1;
        }
        self.enlist(place, list);
    }

    /// An element is about to leave its list.
    fn leave(&mut self, place: Place) {
        let list = self.nodes[(place - LISTS) as usize].0;
        if list < FREE {
            self.counts[list as usize] -= 1;
        }
        if place == self.rotation {
            self.rotation = self.lists.previous(place);
        }
    }

    /// Moves an element, and takes its mark away.
    fn enlist(&mut self, place: Place, list: Place) {
        self.nodes[(place - LISTS) as usize] = (list, false);
        self.lists.move_to(place, list);
    }
}

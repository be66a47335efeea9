//! Circular lists of elements by number, each in one list at most, as `struct list_head`: what an LRU map keeps its elements in.
//!
//! A list has a head, which lies between its last and its first element and has a place of its own among them.

/// Where an element or a head stands.
pub(super) type Place = u32;

/// Some lists.
#[derive(Debug)]
pub(super) struct Lists {
    heads_count: u32,
    /// (previous, next) of each place.
    links: Vec<(Place, Place)>,
}

impl Lists {
    /// So many empty lists; the head of each is its number.
    pub(super) fn new(heads_count: u32) -> Self {
        Self { heads_count, links: (0..heads_count).map(|head| (head, head)).collect() }
    }

    /// The place of an element, which is in no list if it is new.
    pub(super) fn place(&mut self, element: u32) -> Place {
        let place = self.heads_count + element;
        while self.links.len() <= place as usize {
            let next = u32::try_from(self.links.len()).expect("elements have 32 bits");
            self.links.push((next, next));
        }
        place
    }

    /// The element at a place; `None` for a head.
    pub(super) fn element(&self, place: Place) -> Option<u32> {
        place.checked_sub(self.heads_count)
    }

    pub(super) fn previous(&self, place: Place) -> Place {
        self.links[place as usize].0
    }

    pub(super) fn next(&self, place: Place) -> Place {
        self.links[place as usize].1
    }

    pub(super) fn is_empty(&self, head: Place) -> bool {
        self.next(head) == head
    }

    /// Takes a place out of its list.
    pub(super) fn remove(&mut self, place: Place) {
        let (previous, next) = self.links[place as usize];
        self.links[previous as usize].1 = next;
        self.links[next as usize].0 = previous;
        self.links[place as usize] = (place, place);
    }

    /// Moves a place to the start of a list.
    pub(super) fn move_to(&mut self, place: Place, head: Place) {
        self.remove(place);
        let first = self.next(head);
        self.links[place as usize] = (head, first);
        self.links[first as usize].0 = place;
        self.links[head as usize].1 = place;
    }
}

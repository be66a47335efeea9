//! One column's rows in ascending order of value, kept so through every split.
//!
//! An entry is a row's place and a flag in the top bit, set where a value differs from the one before. With the flag the passes need no values: only the threshold of a
//! split that is taken looks two of them up. Partitioning carries the flags along: the first entry that goes to a side after a flag bears it there.

/// Set in the first entry of each run of equal values.
pub(super) const START: u32 = 1 << 31;

/// Bits a radix pass sorts by: 2048 counters and write positions stay in the first two caches.
const DIGIT_BITS: u32 = 11;

/// Bytes that [`sort`] needs for each row beyond its result.
pub(super) const SORT_BYTES: usize = 2 * size_of::<Item>();

/// The place in `entry`.
pub(super) fn place(entry: u32) -> usize {
    (entry & !START) as usize
}

/// Packed: the two buffers are what bounds the memory of a training.
#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
struct Item {
    key: u64,
    place: u32,
}

/// The places 0.. of `origin` in the order of the column's values, by place where values are equal.
pub(super) fn sort(column: &[i64], origin: &[u32]) -> Vec<u32> {
    let values = || origin.iter().map(|&row| column[row as usize]);
    let least = values().min().unwrap_or(0);
    // Differences to the least value: never negative, and few bits long where values are alike.
    let mut items: Vec<_> = values().zip(0..).map(|(value, place)| Item { key: value.abs_diff(least), place }).collect();
    let bits = items.iter().fold(0, |bits, item| bits | item.key);
    let mut spare = vec![Item::default(); items.len()];
    let mut shift = bits.trailing_zeros();
    while shift < u64::BITS - bits.leading_zeros() {
        scatter(&items, &mut spare, shift);
        std::mem::swap(&mut items, &mut spare);
        shift += DIGIT_BITS;
    }
    drop(spare);
    // A vector of its own size: collecting would keep the items' memory, three times as much.
    let mut entries = Vec::with_capacity(items.len());
    let mut before = None;
    entries.extend(items.into_iter().map(|Item { key, place }| if before.replace(key) == Some(key) { place } else { place | START }));
    entries
}

/// One stable pass of a radix sort, by [`DIGIT_BITS`] from `shift` on.
fn scatter(items: &[Item], sorted: &mut [Item], shift: u32) {
    const DIGITS: usize = 1 << DIGIT_BITS;
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves the digit")]
    let digit = |key: u64| (key >> shift) as usize & (DIGITS - 1);
    let mut next = [0_usize; DIGITS];
    for item in items {
        next[digit(item.key)] += 1;
    }
    let mut sum = 0;
    for slot in &mut next {
        sum += std::mem::replace(slot, sum);
    }
    for item in items {
        let slot = &mut next[digit(item.key)];
        sorted[*slot] = *item;
        *slot += 1;
    }
}

/// Splits `entries` in two, stably: places that move below `middle` first. `target` says where each place moves. `spare` is scratch memory.
pub(super) fn partition(entries: &mut [u32], target: &[u32], middle: usize, spare: &mut Vec<u32>) {
    // Fetched a block ahead: in a loop that does nothing else, the CPU has many fetches under way at once.
    const BLOCK: usize = 128;
    let mut targets = [0; BLOCK];
    spare.resize(entries.len().max(spare.len()), 0);
    let (mut left, mut right) = (0, 0);
    let (mut left_flag, mut right_flag) = (0, 0);
    for start in (0..entries.len()).step_by(BLOCK) {
        let block = start..entries.len().min(start + BLOCK);
        for (slot, &entry) in targets.iter_mut().zip(&entries[block.clone()]) {
            *slot = target[place(entry)];
        }
        for (index, to) in block.zip(targets) {
            let flag = entries[index] & START;
            let goes_left = (to as usize) < middle;
            left_flag |= flag;
            right_flag |= flag;
            // Both are written and one of them counts: a branch here would be mispredicted every other time. `left` is never beyond `index`.
            entries[left] = to | left_flag;
            spare[right] = to | right_flag;
            left += usize::from(goes_left);
            right += usize::from(!goes_left);
            left_flag = if goes_left { 0 } else { left_flag };
            right_flag = if goes_left { right_flag } else { 0 };
        }
    }
    entries[left..].copy_from_slice(&spare[..right]);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -3_i64..3, Just(i64::MIN), Just(i64::MAX), (0_i64..5).prop_map(|port| port << 16)]
    }

    /// The entries as the text of the module defines them.
    fn expected(values: &[i64], mut places: Vec<u32>) -> Vec<u32> {
        places.sort_by_key(|&place| values[place as usize]);
        let starts = |index: usize| index == 0 || values[places[index] as usize] != values[places[index - 1] as usize];
        places.iter().enumerate().map(|(index, &place)| if starts(index) { place | START } else { place }).collect()
    }

    proptest! {
        #[test]
        fn sorting_is_stable_and_flags_each_new_value(values in vec(value(), 1..300)) {
            let places: Vec<u32> = (0..).take(values.len()).collect();
            prop_assert_eq!(sort(&values, &places), expected(&values, places));
        }

        #[test]
        fn partitioning_gives_two_sorted_orders(rows in vec((value(), any::<bool>()), 1..300)) {
            let values: Vec<_> = rows.iter().map(|row| row.0).collect();
            let side = |left: bool| (0..).zip(&rows).filter(move |(_, row)| row.1 == left).map(|(place, _)| place);
            let left: Vec<u32> = side(true).collect();
            // New places: those of the left side in turn, then those of the right.
            let mut target = vec![0; rows.len()];
            for (to, from) in (0..).zip(side(true).chain(side(false))) {
                target[from as usize] = to;
            }
            let mut moved = vec![0; rows.len()];
            target.iter().zip(&values).for_each(|(&to, &value)| moved[to as usize] = value);

            let mut entries = expected(&values, (0..).take(rows.len()).collect());
            partition(&mut entries, &target, left.len(), &mut Vec::new());
            let (first, second) = entries.split_at(left.len());
            for (side, range) in [(first, 0..left.len()), (second, left.len()..rows.len())] {
                let places: Vec<_> = side.iter().map(|&entry| moved[place(entry)]).collect();
                prop_assert!(places.is_sorted());
                let mut members: Vec<_> = side.iter().map(|&entry| place(entry)).collect();
                members.sort_unstable();
                prop_assert_eq!(members, range.collect::<Vec<_>>());
                for index in 0..side.len() {
                    let starts = index == 0 || places[index] != places[index - 1];
                    prop_assert_eq!(side[index] & START != 0, starts);
                }
            }
        }
    }
}

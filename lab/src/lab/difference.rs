//! Two outcomes -> what differs; two maps' entries -> what differs. Empty is agreement.
//!
//! A value that one of the two cannot show is not compared: metadata, fields of the context.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Outcome, Record, verdict};
use crate::vm::Hook;

/// Ranges of bytes that a difference of two packets lists.
const RANGES_MAX: usize = 8;
/// Bytes of one value that a difference shows.
const BYTES_SHOWN_MAX: usize = 64;

/// One thing on which two engines differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: the return value, a range of the packet, a field of the context; of the classifier a feature, a field of the flow, a counter.
    pub what: String,
    /// The first engine's value.
    pub first: String,
    /// The second's.
    pub second: String,
}

/// All differences between two outcomes of one frame.
#[must_use]
pub fn outcomes(hook: Hook, first: &Outcome, second: &Outcome) -> Vec<Difference> {
    let mut found = Vec::new();
    // Without `..`: a new part does not compile until it is compared, or said not to be.
    let Outcome { returned, packet, meta, context, records: sent, shown: _ } = first;
    if *returned != second.returned {
        found.push(difference("returned", verdict::name(hook, *returned), verdict::name(hook, second.returned)));
    }
    bytes(&mut found, "packet", packet, &second.packet);
    if let (Some(one), Some(two)) = (meta, &second.meta) {
        bytes(&mut found, "metadata", one, two);
    }
    for (name, one) in context {
        if let Some(two) = second.context.get(name)
            && one != two
        {
            found.push(difference(name, format!("{one:#x}"), format!("{two:#x}")));
        }
    }
    records(&mut found, sent, &second.records);
    found
}

/// An entry of a map on which two engines differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDifference {
    /// The map.
    pub map: String,
    /// The key.
    pub key: Vec<u8>,
    /// The first engine's value; `None`: no entry.
    pub first: Option<Vec<u8>>,
    /// The second's.
    pub second: Option<Vec<u8>>,
}

/// Differences between the entries of one map in two engines, each sorted by key.
#[must_use]
pub fn entries(map: &str, first: &[(Vec<u8>, Vec<u8>)], second: &[(Vec<u8>, Vec<u8>)]) -> Vec<EntryDifference> {
    if first == second {
        return Vec::new();
    }
    let theirs: BTreeMap<&[u8], &[u8]> = second.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let ours: BTreeMap<&[u8], &[u8]> = first.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    let mut found: Vec<_> = keys
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| EntryDifference {
            map: map.to_owned(),
            key: key.to_vec(),
            first: ours.get(key).map(|value| value.to_vec()),
            second: theirs.get(key).map(|value| value.to_vec()),
        })
        .collect();
    found.sort_by(|one, other| one.key.cmp(&other.key));
    found
}

fn difference(what: &str, first: String, second: String) -> Difference {
    Difference { what: what.to_owned(), first, second }
}

fn bytes(found: &mut Vec<Difference>, what: &str, first: &[u8], second: &[u8]) {
    if first.len() != second.len() {
        found.push(difference(&format!("{what} length"), first.len().to_string(), second.len().to_string()));
    }
    let ranges = differing(first, second);
    for range in ranges.iter().take(RANGES_MAX) {
        let name = format!("{what}[{}..{}]", range.start, range.end);
        found.push(difference(&name, hex(&first[range.clone()]), hex(&second[range.clone()])));
    }
    if ranges.len() > RANGES_MAX {
        found.push(difference(&format!("{what}, more ranges"), (ranges.len() - RANGES_MAX).to_string(), String::new()));
    }
}

/// Ranges in which the bytes that both have differ.
#[must_use]
pub fn differing(first: &[u8], second: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for (position, _) in first.iter().zip(second).enumerate().filter(|(_, (one, two))| one != two) {
        match ranges.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => ranges.push(position..position + 1),
        }
    }
    ranges
}

fn records(found: &mut Vec<Difference>, first: &[Record], second: &[Record]) {
    let mut maps: Vec<&str> = first.iter().chain(second).map(|record| record.map.as_str()).collect();
    maps.sort_unstable();
    maps.dedup();
    for map in maps {
        let of = |records: &[Record]| -> Vec<Record> { records.iter().filter(|record| record.map == map).cloned().collect() };
        let (one, two) = (of(first), of(second));
        if one.len() != two.len() {
            found.push(difference(&format!("{map}: records"), one.len().to_string(), two.len().to_string()));
        }
        for (number, (one, two)) in one.iter().zip(&two).enumerate().filter(|(_, (one, two))| !one.agrees(two)) {
            found.push(difference(&format!("{map}: record {number}"), hex(&one.bytes), hex(&two.bytes)));
        }
    }
}

/// Bytes as two digits each, shortened.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(BYTES_SHOWN_MAX) {
        let _ = write!(text, "{}{byte:02x}", if text.is_empty() { "" } else { " " });
    }
    if bytes.len() > BYTES_SHOWN_MAX {
        let _ = write!(text, " ... ({} bytes)", bytes.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            returned: 2,
            packet: vec![1, 2, 3, 4],
            meta: Some(vec![9]),
            context: [("mark".to_owned(), 7)].into(),
            records: vec![Record { map: "events".to_owned(), bytes: vec![5, 6], padded: false }],
            ..Outcome::default()
        }
    }

    fn found(change: impl FnOnce(&mut Outcome)) -> Vec<(String, String, String)> {
        let (first, mut second) = (outcome(), outcome());
        change(&mut second);
        outcomes(Hook::Xdp, &first, &second).into_iter().map(|one| (one.what, one.first, one.second)).collect()
    }

    fn line(what: &str, first: &str, second: &str) -> (String, String, String) {
        (what.to_owned(), first.to_owned(), second.to_owned())
    }

    #[test]
    fn each_part_of_an_outcome_is_compared() {
        assert_eq!(found(|_| ()), []);
        assert_eq!(found(|other| other.returned = 1), [line("returned", "XDP_PASS", "XDP_DROP")]);
        assert_eq!(found(|other| other.packet[2] = 0), [line("packet[2..3]", "03", "00")]);
        assert_eq!(found(|other| other.packet.push(0)), [line("packet length", "4", "5")]);
        assert_eq!(found(|other| other.meta = Some(vec![8])), [line("metadata[0..1]", "09", "08")]);
        assert_eq!(found(|other| other.context = [("mark".to_owned(), 8)].into()), [line("mark", "0x7", "0x8")]);
        assert_eq!(found(|other| other.records.clear()), [line("events: records", "1", "0")]);
        assert_eq!(found(|other| other.records[0].bytes[1] = 7), [line("events: record 0", "05 06", "05 07")]);
    }

    #[test]
    fn what_an_engine_cannot_show_is_not_compared() {
        assert_eq!(found(|other| other.meta = None), []);
        assert_eq!(found(|other| other.context.clear()), []);
    }

    #[test]
    fn padding_of_perf_is_no_difference_and_more_bytes_are() {
        let record = |bytes: &[u8], padded| Record { map: "perf".to_owned(), bytes: bytes.to_vec(), padded };
        let ours = record(&[1, 2, 3], false);
        assert!(ours.agrees(&record(&[1, 2, 3, 0x77], true)));
        assert!(!ours.agrees(&record(&[1, 2, 4, 0x77], true)));
        assert!(!ours.agrees(&record(&[1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], true)));
        assert!(!ours.agrees(&record(&[1, 2, 3, 0x77], false)));
    }

    #[test]
    fn entries_differ_by_value_and_by_presence() {
        let one = |key: u8, value: u8| (vec![key], vec![value]);
        let found = entries("m", &[one(1, 1), one(2, 2), one(3, 3)], &[one(2, 9), one(3, 3), one(4, 4)]);
        let keys: Vec<_> = found.iter().map(|entry| (entry.key[0], entry.first.clone(), entry.second.clone())).collect();
        assert_eq!(keys, [(1, Some(vec![1]), None), (2, Some(vec![2]), Some(vec![9])), (4, None, Some(vec![4]))]);
    }
}

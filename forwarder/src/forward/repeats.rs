//! Records that come a second time: a filter sends a batch again when the answer was lost on its way, and another bridge
//! may write it again. The same source, sequence and bytes are the same record; the second one is not delivered.

use crate::ledger::Stamp;
use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::Xxh3;

/// Records remembered in each partition: about a megabyte. A repeat that comes later than that is delivered twice.
const MAX_RECORDS: usize = 20_000;

/// The last records of a partition that can come again.
#[derive(Debug, Default)]
pub struct Repeats {
    /// Each with the offset under which it is to be delivered, or was.
    known: HashMap<u128, i64>,
    order: VecDeque<u128>,
}

impl Repeats {
    /// The other offset under which this record was here before. If it was not, it is from now on known under its own.
    /// Records without a filter's number never were here: two that are alike may be two.
    pub fn known(&mut self, stamp: &Stamp, value: &[u8], offset: i64) -> Option<i64> {
        let identity = identity(stamp, value)?;
        if let Some(known) = self.known.get(&identity) {
            return Some(*known).filter(|known| *known != offset);
        }
        self.known.insert(identity, offset);
        self.order.push_back(identity);
        if self.order.len() > MAX_RECORDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        None
    }

    /// What is known under this offset will not be delivered from here.
    pub fn forget(&mut self, stamp: &Stamp, value: &[u8], offset: i64) {
        if let Some(identity) = identity(stamp, value)
            && self.known.get(&identity) == Some(&offset)
        {
            self.known.remove(&identity);
        }
    }
}

/// Source, sequence and bytes in one number. The bytes belong to it since another bridge may divide a batch otherwise.
fn identity(stamp: &Stamp, value: &[u8]) -> Option<u128> {
    if stamp.sequence == 0 || stamp.source.is_empty() {
        return None;
    }
    let mut hash = Xxh3::new();
    hash.update(&stamp.source);
    hash.update(&stamp.sequence.to_le_bytes());
    hash.update(value);
    Some(hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    fn is_repeat(repeats: &mut Repeats, source: &str, sequence: u64, value: &str) -> bool {
        let stamp = Stamp { source: source.as_bytes().to_vec(), sequence, ..Stamp::default() };
        let offset = repeats.order.len() as i64;
        repeats.known(&stamp, value.as_bytes(), offset).is_some()
    }

    #[test]
    fn the_same_source_sequence_and_bytes_are_a_repeat() {
        let mut repeats = Repeats::default();
        assert!(!is_repeat(&mut repeats, "a", 1, "x"));
        assert!(is_repeat(&mut repeats, "a", 1, "x"));
        for (source, sequence, value) in [("b", 1, "x"), ("a", 2, "x"), ("a", 1, "y")] {
            assert!(!is_repeat(&mut repeats, source, sequence, value));
        }
    }

    #[test]
    fn a_record_is_known_under_one_offset_until_that_is_forgotten() {
        let mut repeats = Repeats::default();
        let stamp = Stamp { source: b"a".to_vec(), sequence: 1, ..Stamp::default() };
        assert_eq!(repeats.known(&stamp, b"x", 900), None);
        assert_eq!(repeats.known(&stamp, b"x", 3), Some(900));
        assert_eq!(repeats.known(&stamp, b"x", 900), None, "it is no repeat of itself");
        repeats.forget(&stamp, b"x", 3);
        assert_eq!(repeats.known(&stamp, b"x", 3), Some(900));
        repeats.forget(&stamp, b"x", 900);
        assert_eq!(repeats.known(&stamp, b"x", 3), None);
        assert_eq!(repeats.known(&stamp, b"x", 900), Some(3));
    }

    #[test]
    fn records_without_a_number_are_never_repeats() {
        let mut repeats = Repeats::default();
        for (source, sequence) in [("", 1), ("", 1), ("a", 0), ("a", 0)] {
            assert!(!is_repeat(&mut repeats, source, sequence, "x"));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut repeats = Repeats::default();
        for sequence in 1..=MAX_RECORDS as u64 + 1 {
            is_repeat(&mut repeats, "a", sequence, "x");
        }
        assert_eq!(repeats.known.len(), MAX_RECORDS);
        assert!(!is_repeat(&mut repeats, "a", 1, "x"), "the oldest is forgotten");
        assert!(is_repeat(&mut repeats, "a", MAX_RECORDS as u64, "x"));
    }
}

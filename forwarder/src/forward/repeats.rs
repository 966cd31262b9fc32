//! Records that come a second time: a filter sends a batch again when the answer was lost on its way, and another bridge
//! may write it again. The same source, sequence and bytes are the same record; the second one is not delivered.

use crate::ledger::{STAMP_HEADER, Stamp};
use crate::log::Record;
use prost::Message;
use std::collections::{HashSet, VecDeque};
use xxhash_rust::xxh3::Xxh3;

/// Records remembered in each partition: about a megabyte. A repeat that comes later than that is delivered twice.
const MAX_RECORDS: usize = 20_000;

/// The last records of a partition that can come again.
#[derive(Debug, Default)]
pub struct Repeats {
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Repeats {
    /// Whether this record was here before; from now on it was. Records without a filter's number never were: two that are
    /// alike may be two.
    pub fn is_repeat(&mut self, record: &Record) -> bool {
        let Some(identity) = identity(record) else { return false };
        if !self.known.insert(identity) {
            return true;
        }
        self.order.push_back(identity);
        if self.order.len() > MAX_RECORDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

/// Source, sequence and bytes in one number. The bytes belong to it since another bridge may divide a batch otherwise.
fn identity(record: &Record) -> Option<u128> {
    let stamp = Stamp::decode(&record.header(STAMP_HEADER)?[..]).ok()?;
    if stamp.sequence == 0 || stamp.source.is_empty() {
        return None;
    }
    let mut hash = Xxh3::new();
    hash.update(&stamp.source);
    hash.update(&stamp.sequence.to_le_bytes());
    hash.update(&record.value);
    Some(hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(source: &str, sequence: u64, value: &str) -> Record {
        let stamp = Stamp { source: source.as_bytes().to_vec(), sequence, ..Stamp::default() };
        let headers = vec![(STAMP_HEADER.to_owned(), Bytes::from(stamp.encode_to_vec()))];
        Record { headers, value: value.to_owned().into(), ..Record::default() }
    }

    #[test]
    fn the_same_source_sequence_and_bytes_are_a_repeat() {
        let mut repeats = Repeats::default();
        assert!(!repeats.is_repeat(&record("a", 1, "x")));
        assert!(repeats.is_repeat(&record("a", 1, "x")));
        for other in [record("b", 1, "x"), record("a", 2, "x"), record("a", 1, "y")] {
            assert!(!repeats.is_repeat(&other));
        }
    }

    #[test]
    fn records_without_a_number_are_never_repeats() {
        let mut repeats = Repeats::default();
        let plain = Record { value: "x".into(), ..Record::default() };
        for one in [
            &plain,
            &plain,
            &record("", 1, "x"),
            &record("", 1, "x"),
            &record("a", 0, "x"),
            &record("a", 0, "x"),
        ] {
            assert!(!repeats.is_repeat(one));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut repeats = Repeats::default();
        for sequence in 1..=MAX_RECORDS as u64 + 1 {
            repeats.is_repeat(&record("a", sequence, "x"));
        }
        assert_eq!(repeats.known.len(), MAX_RECORDS);
        assert!(!repeats.is_repeat(&record("a", 1, "x")), "the oldest is forgotten");
        assert!(repeats.is_repeat(&record("a", MAX_RECORDS as u64, "x")));
    }
}

//! The table of filters: from the stamps of every record that the log still holds. It needs no second store, and reaches
//! back as far as retention does.

use super::partition::State;
use super::report::{Row, SourceRow};
use crate::dlq::Letter;
use crate::forward::spans_in;
use crate::ledger::Stamp;
use crate::log::StoredRecord;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Filters in the table; those beyond are in one line with all who have no name.
const MAX_SOURCES: usize = 10_000;
/// Batches of a filter that are followed at a time: a repeat comes soon, or not at all.
const MAX_BATCHES: usize = 1_000;
/// The line of all who have no name.
const OTHERS: &str = "(others)";

/// See the module.
#[derive(Default)]
pub struct Sources {
    of: BTreeMap<Bytes, Source>,
    /// Where the records of dead letters stood, with the spans that were left out of them if that was not all.
    letters: HashMap<(u32, i64), Option<u64>>,
}

#[derive(Default)]
struct Source {
    row: Row,
    dropped: u64,
    /// The batches seen last: the parts of each that are here, and how many there should be.
    batches: BTreeMap<u64, (HashSet<u32>, u32)>,
    first: u64,
    last: u64,
    /// Batches that are followed no more, and parts that were missing in them.
    closed_batches: u64,
    missing_records: u64,
}

impl Sources {
    /// A dead letter; to be told before the records.
    pub fn dead_letter(&mut self, letter: &Letter) {
        if let Some(place) = letter.place {
            self.letters.insert(place, letter.left_out);
        }
    }

    /// A record of the topic.
    pub fn take(&mut self, record: &StoredRecord, state: State) {
        let stamp = Stamp::of(&record.record).unwrap_or_default();
        let spans = spans_in(&record.record).unwrap_or(u64::from(stamp.spans));
        let letter = self.letters.get(&(record.partition, record.offset)).copied();
        let source = self.line(&stamp);
        source.dropped = source.dropped.max(stamp.dropped);
        source.row.accepted += spans;
        let is_repeat = source.is_repeat(&stamp);
        let row = &mut source.row;
        match (state, letter) {
            (State::Waiting, _) => row.in_log += spans,
            (State::Settled, Some(left_out)) => {
                let dead = left_out.unwrap_or(spans).min(spans);
                row.dead_lettered += dead;
                row.delivered += spans - dead;
            }
            (State::Settled, None) if is_repeat => row.suppressed += spans,
            (State::Settled, None) => row.delivered += spans,
        }
    }

    /// The lines, by name.
    pub fn rows(self) -> Vec<SourceRow> {
        self.of.into_iter().map(|(name, source)| source.finished(&name)).collect()
    }

    fn line(&mut self, stamp: &Stamp) -> &mut Source {
        let is_known = self.of.len() < MAX_SOURCES || self.of.contains_key(&stamp.source[..]);
        let name = if is_known { Bytes::from(stamp.source.clone()) } else { Bytes::new() };
        self.of.entry(name).or_default()
    }
}

impl Source {
    /// Whether this part of this batch was here before.
    fn is_repeat(&mut self, stamp: &Stamp) -> bool {
        if stamp.sequence == 0 || stamp.source.is_empty() {
            return false;
        }
        self.first = if self.first == 0 { stamp.sequence } else { self.first.min(stamp.sequence) };
        self.last = self.last.max(stamp.sequence);
        let batch = self.batches.entry(stamp.sequence).or_default();
        batch.1 = stamp.parts;
        let is_new = batch.0.insert(stamp.part);
        if self.batches.len() > MAX_BATCHES {
            self.close_first();
        }
        !is_new
    }

    fn close_first(&mut self) {
        if let Some((_, (seen, parts))) = self.batches.pop_first() {
            self.closed_batches += 1;
            self.missing_records += u64::from(parts).saturating_sub(seen.len() as u64);
        }
    }

    fn finished(mut self, name: &[u8]) -> SourceRow {
        while !self.batches.is_empty() {
            self.close_first();
        }
        let numbers = if self.last == 0 { 0 } else { self.last - self.first + 1 };
        let source = match name {
            [] => OTHERS.to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        SourceRow {
            source,
            row: self.row,
            dropped: self.dropped,
            missing_batches: numbers.saturating_sub(self.closed_batches),
            missing_records: self.missing_records,
        }
    }
}

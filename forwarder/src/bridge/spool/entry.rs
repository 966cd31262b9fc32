//! A batch as the spool keeps it: the bytes as they came and a stamp; it is divided and placed when it is written to the
//! log, since only then it is known how many partitions there are and how much a record may hold.

use crate::bridge::repeats::Sender;
use crate::ledger::{STAMP_HEADER, Stamp};
use crate::log::{Placed, Record};
use bytes::Bytes;
use prost::Message;

/// A batch with its sender's number; one that came without has the bridge's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// OTLP protobuf, as it came.
    pub body: Bytes,
    /// Whose it is. The number is what makes a second writing of it recognisable.
    pub sender: Sender,
    /// Spans that will be written.
    pub spans: u64,
    /// When it came, ms since 1970.
    pub received_ms: u64,
}

/// What makes an entry the same wherever it is met.
pub type Number = (Bytes, u64);

impl Entry {
    /// Its source and sequence.
    pub fn number(&self) -> Number {
        (self.sender.source.clone(), self.sender.sequence)
    }

    /// As a record of the spool's log.
    pub fn record(&self, writer: [u8; 16], total_records: u64, total_spans: u64) -> Placed {
        let stamp = Stamp {
            writer: writer.to_vec(),
            total_records,
            total_spans,
            spans: u32::try_from(self.spans).unwrap_or(u32::MAX),
            source: self.sender.source.to_vec(),
            sequence: self.sender.sequence,
            dropped: self.sender.dropped,
            received_unix_ms: self.received_ms,
            ..Stamp::default()
        };
        let headers = stamp.headers();
        Placed { partition: 0, record: Record { key: None, headers, value: self.body.clone() } }
    }

    /// Reads what `record` made, with its stamp; `None` for anything else.
    pub fn read(record: &Record) -> Option<(Self, Stamp)> {
        let stamp = stamp(record)?;
        let entry = Self {
            body: record.value.clone(),
            sender: Sender {
                source: stamp.source.clone().into(),
                sequence: stamp.sequence,
                dropped: stamp.dropped,
            },
            spans: stamp.spans.into(),
            received_ms: stamp.received_unix_ms,
        };
        Some((entry, stamp))
    }
}

/// The spans of an entry: what a record of the spool weighs.
pub fn weigh(record: &Record) -> u64 {
    stamp(record).map_or(0, |stamp| stamp.spans.into())
}

fn stamp(record: &Record) -> Option<Stamp> {
    Stamp::decode(record.header(STAMP_HEADER)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let sender = Sender { source: "vm-1".into(), sequence: 7, dropped: 2 };
        let entry = Entry { body: "body".into(), sender, spans: 5, received_ms: 9 };
        let placed = entry.record([3; 16], 4, 20);
        assert_eq!(weigh(&placed.record), 5);
        let (read, stamp) = Entry::read(&placed.record).unwrap();
        assert_eq!((read, stamp.total_records, stamp.total_spans), (entry, 4, 20));
    }

    #[test]
    fn a_record_that_is_no_entry_is_none_and_weighs_nothing() {
        let record = Record { value: "x".into(), ..Record::default() };
        assert_eq!((Entry::read(&record), weigh(&record)), (None, 0));
    }
}

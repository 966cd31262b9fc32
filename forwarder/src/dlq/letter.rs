//! A dead letter: a record as it was, with headers that say where it stood and why it is here.

use crate::forward::letter_headers::{FAULT, LEFT_OUT, OFFSET, PARTITION, PREFIX, REASON, TOPIC};
use crate::forward::spans_in;
use crate::ledger::Stamp;
use crate::log::{Header, Record, StoredRecord};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A letter's number: its partition and offset in the topic of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// The partition; the topic has one if we made it.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

/// What a letter says.
#[derive(Debug, Clone, Serialize)]
pub struct Letter {
    /// Its number.
    pub number: Number,
    /// When it was written, ms since 1970.
    pub timestamp_ms: i64,
    /// Why, in words.
    pub reason: String,
    /// What kind of fault.
    pub fault: String,
    /// The topic that it was to go through.
    pub topic: String,
    /// Partition and offset of its record; `None` if a bridge wrote the letter.
    pub place: Option<(u32, i64)>,
    /// Spans in it.
    pub spans: u64,
    /// Spans that the destination left out, if it took the others.
    pub left_out: Option<u64>,
    /// Bytes of key, headers and value.
    pub bytes: usize,
    /// The record's stamp.
    #[serde(skip)]
    pub stamp: Stamp,
}

impl Letter {
    /// Reads a record of the topic of dead letters.
    pub fn of(stored: &StoredRecord) -> Self {
        let record = &stored.record;
        let stamp = Stamp::of(record).unwrap_or_default();
        let number = |name| text(record, name)?.parse().ok();
        let partition = text(record, PARTITION).and_then(|text| text.parse().ok());
        Self {
            number: Number { partition: stored.partition, offset: stored.offset },
            timestamp_ms: stored.timestamp_ms,
            reason: text(record, REASON).unwrap_or_default(),
            fault: text(record, FAULT).unwrap_or_else(|| "unknown".into()),
            topic: text(record, TOPIC).unwrap_or_default(),
            place: partition.zip(number(OFFSET)),
            spans: spans_in(record).unwrap_or(u64::from(stamp.spans)),
            left_out: number(LEFT_OUT).map(i64::unsigned_abs),
            bytes: record.size(),
            stamp,
        }
    }

    /// The record to be written again: as it was, without what made it a letter and without the stamp of its writer,
    /// whose numbers are told already.
    pub fn to_write_again(stored: &StoredRecord) -> Record {
        let is_kept =
            |(name, _): &&Header| !name.starts_with(PREFIX) && name != crate::ledger::STAMP_HEADER;
        let headers = stored.record.headers.iter().filter(is_kept).cloned().collect();
        Record { headers, ..stored.record.clone() }
    }
}

fn text(record: &Record, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(record.header(name)?).into_owned())
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            0 => write!(f, "{}", self.offset),
            partition => write!(f, "{partition}:{}", self.offset),
        }
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
        let number = partition.parse().ok().zip(offset.parse().ok());
        let (partition, offset) =
            number.ok_or("expected a letter's number as `list` shows it: 17, or 2:17")?;
        Ok(Self { partition, offset })
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn stored(headers: &[(&str, &str)]) -> StoredRecord {
        let header = |(name, value): &(&str, &str)| {
            ((*name).to_owned().into(), Bytes::copy_from_slice(value.as_bytes()))
        };
        let record = Record {
            key: Some("k".into()),
            headers: headers.iter().map(header).collect(),
            value: "v".into(),
        };
        StoredRecord { partition: 0, offset: 3, timestamp_ms: 1, record }
    }

    #[test]
    fn a_number_is_read_as_it_is_shown() {
        for text in ["17", "2:17"] {
            assert_eq!(text.parse::<Number>().unwrap().to_string(), text);
        }
        assert!("x".parse::<Number>().is_err() && "1:".parse::<Number>().is_err());
    }

    #[test]
    fn a_letter_says_where_its_record_stood() {
        let of_forwarder = [(PARTITION, "5"), (OFFSET, "77"), (REASON, "bad"), (LEFT_OUT, "2")];
        let letter = Letter::of(&stored(&of_forwarder));
        assert_eq!((letter.place, letter.left_out), (Some((5, 77)), Some(2)));
        assert_eq!(Letter::of(&stored(&[(TOPIC, "traces")])).place, None);
    }

    #[test]
    fn a_record_is_written_again_without_what_made_it_a_letter() {
        let headers = [("own", "1"), (REASON, "bad"), (OFFSET, "7"), ("spanferry", "stamp")];
        let record = Letter::to_write_again(&stored(&headers));
        assert_eq!(record.headers[..], [("own".into(), Bytes::from("1"))]);
        assert_eq!((record.key, record.value), (Some("k".into()), "v".into()));
    }
}

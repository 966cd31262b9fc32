//! What the bridge writes into each record's one header: who wrote it, and how much before it in this partition.

use crate::log::{Headers, Record};
use prost::Message;

/// The name of the record's header.
pub const STAMP_HEADER: &str = "spanferry";

/// About 50 bytes of protobuf; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Stamp {
    /// The writer: 16 bytes, drawn anew at each start of a bridge and after each failure to write.
    #[prost(bytes = "vec", tag = "1")]
    pub writer: Vec<u8>,
    /// Records of this writer in this partition, this one included: 1, 2, 3, …
    #[prost(uint64, tag = "2")]
    pub total_records: u64,
    /// Spans of this writer in this partition, this record's included.
    #[prost(uint64, tag = "3")]
    pub total_spans: u64,
    /// Spans in this record.
    #[prost(uint32, tag = "4")]
    pub spans: u32,
    /// The filter's VM (`x-spanferry-source`); empty if the batch came from elsewhere.
    #[prost(bytes = "vec", tag = "5")]
    pub source: Vec<u8>,
    /// The source's number of the batch (`x-spanferry-sequence`): 1, 2, 3, …; 0: none.
    #[prost(uint64, tag = "6")]
    pub sequence: u64,
    /// Which record of the batch this is: 1 to `parts`.
    #[prost(uint32, tag = "7")]
    pub part: u32,
    /// Records of the batch.
    #[prost(uint32, tag = "8")]
    pub parts: u32,
    /// Spans that the source has dropped so far (`x-spanferry-dropped`).
    #[prost(uint64, tag = "9")]
    pub dropped: u64,
    /// When the bridge took the batch, ms since 1970.
    #[prost(uint64, tag = "10")]
    pub received_unix_ms: u64,
}

impl Stamp {
    /// The stamp of a record; `None` if it has none that can be read.
    pub fn of(record: &Record) -> Option<Self> {
        Self::decode(&record.header(STAMP_HEADER)?[..]).ok()
    }

    /// The headers of a record that has this stamp and nothing else.
    pub fn headers(&self) -> Headers {
        [(STAMP_HEADER.into(), self.encode_to_vec().into())].into()
    }

    /// What it says of its writer; `None` if it is not one of ours.
    pub fn mark(&self) -> Option<Mark> {
        let writer = <[u8; 16]>::try_from(&self.writer[..]).ok()?;
        let (records, spans) = (self.total_records, self.total_spans);
        let is_ours = records > 0 && spans >= self.spans.into();
        is_ours.then_some(Mark { writer, records, spans, here: self.spans })
    }
}

/// What a record's stamp says of its writer. It needs no memory of its own: many wait until all before them are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The writer.
    pub writer: [u8; 16],
    /// Its records in this partition, this one included; at least 1.
    pub records: u64,
    /// Its spans in this partition, this record's included.
    pub spans: u64,
    /// Spans in this record.
    pub here: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_small_and_is_read_as_written() {
        let stamp = Stamp {
            writer: vec![7; 16],
            total_records: 1_000_000,
            total_spans: 5_000_000,
            spans: 5,
            source: vec![9; 16],
            sequence: 70_000,
            part: 3,
            parts: 200,
            dropped: 0,
            received_unix_ms: 1_790_000_000_000,
        };
        let bytes = stamp.encode_to_vec();
        assert!(bytes.len() <= 70, "{} bytes", bytes.len());
        assert_eq!(Stamp::decode(&bytes[..]).unwrap(), stamp);
    }

    #[test]
    fn a_stamp_that_is_not_ours_says_nothing_of_its_writer() {
        let ours = Stamp {
            writer: vec![1; 16],
            total_records: 2,
            total_spans: 5,
            spans: 3,
            ..Stamp::default()
        };
        let mark = Mark { writer: [1; 16], records: 2, spans: 5, here: 3 };
        assert_eq!(ours.mark(), Some(mark));
        for odd in [
            Stamp::default(),
            Stamp { writer: vec![1; 4], ..ours.clone() },
            Stamp { total_records: 0, ..ours.clone() },
            Stamp { spans: 6, ..ours },
        ] {
            assert_eq!(odd.mark(), None);
        }
    }
}

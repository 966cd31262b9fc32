//! A record as both logs store it, and where it stands.

use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Name and value.
pub type Header = (Cow<'static, str>, Bytes);

/// A record's headers, in order; names may repeat. The one that our own records have, under a name that is
/// known, takes no memory beside the record.
pub type Headers = SmallVec<[Header; 1]>;

/// What is stored: nothing of it is changed on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The key: 32 hex digits of the trace id in our own records; anything, or nothing, in others'.
    pub key: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
    /// The value.
    pub value: Bytes,
}

impl Record {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Bytes of key, headers and value.
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len) + headers + self.value.len()
    }

    /// Bytes that it takes in memory, about: what bounds of memory count, since of small records it is a multiple.
    pub fn memory(&self) -> usize {
        self.size() + IN_MEMORY
    }
}

/// What a record takes in memory beside its bytes, about: its places in lists, its stamp once it is read.
const IN_MEMORY: usize = 256;

/// A record and the partition that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Below the topic's number of partitions.
    pub partition: u32,
    /// The record.
    pub record: Record,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: i64,
    /// When it was appended, ms since 1970; 0 if the log does not know.
    pub timestamp_ms: i64,
    /// The record.
    pub record: Record,
}

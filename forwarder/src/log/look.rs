//! Looking at a log from outside its groups: where a group stands, what a range of offsets holds, and what comes in now.
//! Nothing of it disturbs a reader.

use super::{LogError, StoredRecord};
use async_trait::async_trait;
use std::ops::Range;

/// Where a group stands in a partition, and where the partition begins and ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: u32,
    /// The group's committed offset, if there is one.
    pub committed: Option<i64>,
    /// The string stored with it; empty if none.
    pub metadata: String,
    /// The offset of the oldest record that the log still holds.
    pub start: i64,
    /// One past the last record. Asked for after the committed offset, so it is never below it by a race.
    pub end: i64,
}

/// Some of a partition's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: u32,
    /// From the first, to one past the last.
    pub offsets: Range<i64>,
}

/// The records of some stretches, each partition's in order.
#[async_trait]
pub trait Scan: Send {
    /// The next records; `None` when there are no more. Offsets without a record are passed over.
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError>;
}

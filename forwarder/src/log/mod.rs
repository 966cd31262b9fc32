//! The log between bridge and forwarder: one small trait, two kinds (Kafka; a directory on disk), one promise.
//!
//! Words, used alike in every file below:
//! - *record*: key, headers and value, stored as given.
//! - *partition*: a sequence of records; records of one key are in one partition, in the order of their append.
//! - *offset*: a record's place in its partition, growing; there may be gaps.
//! - *committed offset*: of a group in a partition, the offset of the **next** record that the group wants.
//! - *acknowledged*: stored so that a crash of any process, and for Kafka the loss of a broker, keeps it.

#[cfg(test)]
pub mod double;
pub mod embedded;
mod error;
pub mod kafka;
mod location;
mod look;
mod partitioner;
mod record;
mod settings;

pub use error::{AppendError, LogError};
pub use location::{LocationError, LogLocation};
pub use look::{Scan, Standing, Stretch};
pub use partitioner::partition_of;
pub use record::{Header, Headers, Placed, Record, StoredRecord};
pub use settings::{LogSettings, Retention, TopicSettings};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Resolves when every record of one append is acknowledged (their offsets, in the order given), or
/// when one of them failed. Dropping it does not take the records back.
pub type Acknowledgement = BoxFuture<'static, Result<Vec<i64>, AppendError>>;

/// A topic of a log. Cheap to share; every method may be called from many tasks.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// The topic's name, for messages.
    fn topic(&self) -> &str;

    /// How many partitions the topic has. Asks the log until it is known, then answers from memory;
    /// creates the topic when it is missing and the settings allow it.
    async fn partitions(&self) -> Result<u32, LogError>;

    /// Whether an append could be acknowledged now: whether the log can be reached, and for one on this disk whether what was
    /// written last was fsynced. After a failure each question tries anew, so it is answered when the disk is mended.
    async fn writable(&self) -> Result<(), LogError> {
        self.partitions().await.map(|_| ())
    }

    /// The largest record, in bytes of key, headers and value: as configured, or less once the log has said so
    /// (with its answer to `partitions`).
    fn max_record_bytes(&self) -> usize;

    /// Takes the records in, in the order given, before it returns: two calls that follow each other keep their
    /// order in each partition. All are taken or none. The queue is bounded in bytes: `AppendError::Full`. It wants an
    /// answer of `partitions` first. After `AppendError::Failed`, from here or from an acknowledgement, whoever
    /// numbers records begins anew: what was behind the failed record may be stored or not.
    fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError>;

    /// Records and bytes taken and not yet acknowledged.
    fn queue(&self) -> QueueSize;

    /// Joins `group` as a reader of this topic.
    async fn reader(&self, group: &str) -> Result<Box<dyn Reader>, LogError>;

    /// Where `group` stands in each partition, without joining it.
    async fn standing(&self, group: &str) -> Result<Vec<Standing>, LogError>;

    /// The records of these stretches, without a group. Stretches may be empty.
    async fn scan(&self, stretches: Vec<Stretch>) -> Result<Box<dyn Scan>, LogError>;

    /// The records of these partitions that were appended at `since_ms` (ms since 1970, by their timestamps) or later, and
    /// from then on those that are appended; perhaps some older ones before them. Without a group, from within a runtime.
    /// It never comes to an end, and its `next` is cancel safe; after an error it is of no more use.
    fn recent(&self, partitions: &[u32], since_ms: i64) -> Box<dyn Scan>;

    /// Stores the offsets of a group that has no reader.
    async fn store(&self, group: &str, commits: Vec<Commit>) -> Result<(), LogError>;

    /// How long a record is kept, whoever has not read it; `None` when without end, or not known yet.
    fn retention(&self) -> Option<Duration>;

    /// The log of another topic in the same cluster or directory, with its own settings.
    fn sibling(&self, topic: &str, settings: &TopicSettings) -> Result<Arc<dyn Log>, LogError>;

    /// Waits until everything taken is acknowledged or has failed. The caller bounds the time.
    async fn flush(&self) -> Result<(), LogError>;
}

/// Records and bytes in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueSize {
    /// Records.
    pub records: usize,
    /// Bytes of keys, headers and values.
    pub bytes: usize,
}

/// A member of a group. It keeps its membership whether or not `next` is called; what it has fetched ahead is
/// bounded in bytes (`LogSettings::fetch_ahead_bytes`).
#[async_trait]
pub trait Reader: Send {
    /// The next event, waiting for it. Cancel safe: a dropped call loses no record. Trouble that the reader gets over
    /// by itself (broker away, rebalance) is logged and waited out, not returned.
    async fn next(&mut self) -> Result<Event, LogError>;

    /// As `next`, but without records: for a caller that has no room for more and must still hear of a revocation.
    async fn next_change(&mut self) -> Result<Event, LogError>;

    /// Stores the group's committed offsets. Only for partitions that are assigned; others are skipped.
    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), LogError>;

    /// What waits, for each assigned partition. Never blocks; answers from what the reader knows.
    fn lag(&self) -> Vec<PartitionLag>;

    /// Leaves the group. Uncommitted offsets stay uncommitted.
    async fn close(self: Box<Self>) -> Result<(), LogError>;
}

/// What a reader tells.
#[derive(Debug)]
pub enum Event {
    /// These partitions are this reader's from now on; records follow from the committed offset
    /// (or from the start, when none was committed or what it named is gone).
    Assigned(Vec<Assignment>),
    /// Records, per partition in order of offset. Never empty.
    Records(Vec<StoredRecord>),
    /// These partitions are about to go to another reader.
    Revoked(Revocation),
    /// These partitions were lost without a chance to commit: forget them.
    Lost(Vec<u32>),
}

/// A partition given to a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: u32,
    /// The group's committed offset, if there is one.
    pub committed: Option<i64>,
    /// The string stored with it; empty if none.
    pub metadata: String,
    /// The offset of the oldest record that the log still holds, where known. Above `committed`: a retention overrun.
    pub log_start: Option<i64>,
}

/// Partitions that are about to go. The hand-over waits for `done` (bounded by the reader; dropping counts as an empty answer),
/// and commits what it is given before the partitions go.
#[derive(Debug)]
pub struct Revocation {
    /// The partitions.
    pub partitions: Vec<u32>,
    /// Answer with the last commits of these partitions.
    pub done: oneshot::Sender<Vec<Commit>>,
}

/// A committed offset with the string that is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: u32,
    /// The offset of the next record wanted: one past the last of the unbroken delivered prefix.
    pub offset: i64,
    /// Stored beside the offset; up to 4 KiB at a Kafka broker by default.
    pub metadata: String,
}

/// How far a partition's reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: u32,
    /// The committed offset (or where reading started, when nothing is committed yet).
    pub committed: i64,
    /// The offset of the oldest record that the log still holds, as far as the reader knows.
    pub start: i64,
    /// One past the last record in the log.
    pub end: i64,
}

/// Opens the topic that `location` names. Kafka need not be reachable now; a directory must be writable and
/// is locked to this process.
pub fn open(location: &LogLocation, settings: &LogSettings) -> Result<Arc<dyn Log>, LogError> {
    match location {
        LogLocation::Kafka { brokers, topic } => kafka::open(brokers, topic, settings),
        LogLocation::Directory { path, topic } => embedded::open(path, topic, settings),
    }
}

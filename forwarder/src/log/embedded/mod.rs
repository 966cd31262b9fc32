//! The log in a directory: one process, fsync before acknowledgement, the readers' positions beside the records.
//!
//! Files, bottom up: `block` (bytes of records) → `unsynced` (what a failed sync leaves) → `store` (tables) → `topic` (what is
//! known of it in memory) → `retention` (what may go) → `queue` (what waits) → `verdict` (whether the disk keeps it) → `writer`
//! (the one thread that writes) → `set_aside` (what cannot be read) → `fetch` (blocks from disk) → `follow` (the next ones, as they
//! come) → `reader`, `look` and `recent` (without a group), `waiting` (what a group has still to read), `directory` (open and
//! lock).

mod block;
mod directory;
mod fetch;
mod follow;
mod look;
mod queue;
mod reader;
mod recent;
mod retention;
mod set_aside;
mod store;
mod topic;
mod unsynced;
mod verdict;
mod waiting;
mod writer;

#[cfg(test)]
mod crashes;
#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod platter;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;

pub use set_aside::set_file_aside;
pub use topic::{Counters, Weigh};
pub use waiting::Waiting;

use super::{
    Acknowledgement, AppendError, Commit, Log, LogError, LogSettings, Placed, QueueSize, Reader,
    Scan, Standing, Stretch, TopicSettings,
};
use async_trait::async_trait;
use directory::{Directory, Surroundings};
use queue::Item;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use topic::Topic;

/// Opens `topic` in the directory, which is made when it is missing and locked to this process.
pub fn open(path: &Path, topic: &str, settings: &LogSettings) -> Result<Arc<dyn Log>, LogError> {
    Ok(EmbeddedLog::open(path, topic, settings)?)
}

/// A topic in a directory. The directory is closed when the last handle of its topics and readers is dropped.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    directory: Arc<Directory>,
    topic: Arc<Topic>,
}

impl EmbeddedLog {
    /// As [`open`], for one who wants the counters.
    pub fn open(path: &Path, topic: &str, settings: &LogSettings) -> Result<Arc<Self>, LogError> {
        Self::open_in(path, topic, settings, |_| 0, Surroundings::default())
    }

    /// As `open`, for an owner whose records have a weight: what waits is known by it too.
    pub fn open_weighed(
        path: &Path,
        topic: &str,
        settings: &LogSettings,
        weigh: Weigh,
    ) -> Result<Arc<Self>, LogError> {
        Self::open_in(path, topic, settings, weigh, Surroundings::default())
    }

    /// As `open_weighed`, with time and disk in the hands of a test.
    #[cfg(test)]
    pub(crate) fn open_in_hands(
        path: &Path,
        topic: &str,
        settings: &LogSettings,
        weigh: Weigh,
        hands: &faults::Hands,
    ) -> Result<Arc<Self>, LogError> {
        Self::open_in(path, topic, settings, weigh, hands.surroundings())
    }

    fn open_in(
        path: &Path,
        topic: &str,
        settings: &LogSettings,
        weigh: Weigh,
        surroundings: Surroundings,
    ) -> Result<Arc<Self>, LogError> {
        let directory = Arc::new(Directory::open(path, settings, surroundings)?);
        let topic = directory.topic(topic, &settings.topic, weigh)?;
        Ok(Arc::new(Self { directory, topic }))
    }

    /// Whether a partition has a record from this offset on that is not known to be damaged. Blocks while it reads the
    /// index.
    pub fn is_readable_from(&self, partition: u32, offset: i64) -> Result<bool, LogError> {
        waiting::is_readable_from(&self.directory.shared.store, &self.topic, partition, offset)
    }

    /// What `group` has still to commit, as the disk has it. Blocks while it reads the index and a block or two.
    pub fn waiting(&self, group: &str) -> Result<Waiting, LogError> {
        waiting::of(&self.directory.shared.store, &self.topic, group)
    }

    /// What was trimmed, lost or failed since the directory was opened, and what it holds.
    pub fn counters(&self) -> Counters {
        self.topic.counters()
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn topic(&self) -> &str {
        &self.topic.name
    }

    async fn partitions(&self) -> Result<u32, LogError> {
        Ok(self.topic.partitions)
    }

    async fn writable(&self) -> Result<(), LogError> {
        let shared = &self.directory.shared;
        if shared.verdict.fault().is_none() {
            return Ok(());
        }
        let (done, through) = oneshot::channel();
        if shared.queue.push(Item::Try(done)) {
            // One that is dropped unanswered leaves the verdict as it is.
            let _ = through.await;
        }
        let what = shared.store.path();
        shared.verdict.fault().map_or(Ok(()), |detail| Err(LogError::NotStored { what, detail }))
    }

    fn max_record_bytes(&self) -> usize {
        self.topic.settings.max_record_bytes
    }

    fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError> {
        self.directory.shared.queue.append(&self.topic, records)
    }

    fn queue(&self) -> QueueSize {
        self.topic.queued()
    }

    async fn reader(&self, group: &str) -> Result<Box<dyn Reader>, LogError> {
        let reader = reader::DirectoryReader::join(&self.directory, &self.topic, group).await?;
        Ok(Box::new(reader))
    }

    async fn standing(&self, group: &str) -> Result<Vec<Standing>, LogError> {
        Ok(look::standing(&self.topic, group))
    }

    async fn scan(&self, stretches: Vec<Stretch>) -> Result<Box<dyn Scan>, LogError> {
        Ok(Box::new(look::Blocks::new(&self.directory, &self.topic, stretches)))
    }

    fn recent(&self, partitions: &[u32], since_ms: i64) -> Box<dyn Scan> {
        Box::new(recent::Recent::new(&self.directory, &self.topic, partitions, since_ms))
    }

    async fn store(&self, group: &str, commits: Vec<Commit>) -> Result<(), LogError> {
        look::store(&self.directory, &self.topic, group, commits).await
    }

    fn retention(&self) -> Option<Duration> {
        self.topic.settings.retention.age
    }

    fn sibling(&self, topic: &str, settings: &TopicSettings) -> Result<Arc<dyn Log>, LogError> {
        let topic = self.directory.topic(topic, settings, |_| 0)?;
        Ok(Arc::new(Self { directory: self.directory.clone(), topic }))
    }

    async fn flush(&self) -> Result<(), LogError> {
        let (done, through) = oneshot::channel();
        let closed = || LogError::Fatal {
            what: format!("flush of topic {}", self.topic.name),
            detail: "the log is closed".into(),
        };
        if !self.directory.shared.queue.push(Item::Flush(done)) {
            return Err(closed());
        }
        through.await.map_err(|_| closed())
    }
}

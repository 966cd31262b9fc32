//! A group's reader: all partitions at once, read in the order of the appends on blocking threads.

use super::block;
use super::directory::{Directory, Shared};
use super::queue::commit_item;
use super::set_aside::set_aside;
use super::store::{Fault, describe};
use super::topic::Topic;
use crate::log::{Assignment, Commit, Event, LogError, PartitionLag, Reader, StoredRecord};
use async_trait::async_trait;
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// One event of records is no larger (but holds one block at least).
const EVENT_BYTES: usize = 1 << 20;

/// Before reading is tried again while the disk fails.
const PATIENCE: Duration = Duration::from_millis(500);

/// The one reader of a group.
pub(super) struct DirectoryReader {
    membership: Membership,
    /// Told first.
    assigned: Option<Vec<Assignment>>,
    /// The first offset wanted, of each partition: what is below was committed.
    wanted: Arc<[i64]>,
    /// The sequence of the next block; unknown until the index was searched.
    sequence: Option<u64>,
    tail: watch::Receiver<u64>,
    /// Kept here while it runs, so that a dropped `next` loses nothing.
    fetching: Option<JoinHandle<Result<Fetched, LogError>>>,
    event_bytes: usize,
}

/// The one place of the group, given back when dropped.
struct Membership {
    directory: Arc<Directory>,
    topic: Arc<Topic>,
    group: String,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.topic.leave(&self.group);
    }
}

/// Records, and the sequence of the block behind them.
pub(super) struct Fetched {
    pub records: Vec<StoredRecord>,
    pub next: u64,
}

impl DirectoryReader {
    pub async fn join(
        directory: &Arc<Directory>,
        topic: &Arc<Topic>,
        group: &str,
    ) -> Result<Self, LogError> {
        let tail = topic.tail.subscribe();
        let assigned = topic.enter(group)?;
        let membership =
            Membership { directory: directory.clone(), topic: topic.clone(), group: group.into() };
        if !topic.is_stored(group) {
            // From now on nothing is trimmed that this group has not committed, after a restart too.
            membership.store(Vec::new()).await?;
        }
        let wanted = assigned.iter().map(|a| a.committed.or(a.log_start).unwrap_or_default());
        Ok(Self {
            wanted: wanted.collect(),
            assigned: Some(assigned),
            sequence: None,
            tail,
            fetching: None,
            event_bytes: (directory.fetch_ahead_bytes / 2).clamp(1, EVENT_BYTES),
            membership,
        })
    }

    /// Begins to read, when there is something to be read.
    fn fetch_ahead(&mut self) {
        let tail = *self.tail.borrow_and_update();
        if self.fetching.is_some() || self.sequence.is_some_and(|sequence| sequence >= tail) {
            return;
        }
        let shared = self.membership.directory.shared.clone();
        let topic = self.membership.topic.clone();
        let (from, wanted, bytes) = (self.sequence, self.wanted.clone(), self.event_bytes);
        self.fetching = Some(spawn_blocking(move || {
            let fetched = fetch(&shared, &topic, from, tail, &wanted, bytes);
            fetched.map_err(|fault| shared.store.explain(fault))
        }));
    }

    fn damaged(&self) -> LogError {
        self.membership.directory.shared.store.damaged("its pages make no sense")
    }
}

impl Membership {
    async fn store(&self, commits: Vec<Commit>) -> Result<(), LogError> {
        let closed = || LogError::Fatal {
            what: format!("commit of group {} in topic {}", self.group, self.topic.name),
            detail: "the log is closed".into(),
        };
        let (item, answer) = commit_item(&self.topic, &self.group, commits);
        if !self.directory.shared.queue.push(item) {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

#[async_trait]
impl Reader for DirectoryReader {
    async fn next(&mut self) -> Result<Event, LogError> {
        if let Some(assigned) = self.assigned.take() {
            return Ok(Event::Assigned(assigned));
        }
        loop {
            self.fetch_ahead();
            let Some(fetching) = &mut self.fetching else {
                // The sender stands in the topic, which the membership holds.
                let _ = self.tail.changed().await;
                continue;
            };
            let fetched = fetching.await;
            self.fetching = None;
            match fetched {
                Ok(Ok(Fetched { records, next })) => {
                    self.sequence = Some(next);
                    if !records.is_empty() {
                        self.fetch_ahead();
                        return Ok(Event::Records(records));
                    }
                }
                Ok(Err(error @ LogError::Unavailable { .. })) => {
                    tracing::warn!(%error, "reading the log failed; it is tried again");
                    sleep(PATIENCE).await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(self.damaged()),
            }
        }
    }

    async fn next_change(&mut self) -> Result<Event, LogError> {
        match self.assigned.take() {
            Some(assigned) => Ok(Event::Assigned(assigned)),
            // A directory's partitions never go elsewhere.
            None => std::future::pending().await,
        }
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), LogError> {
        let Membership { topic, group, .. } = &self.membership;
        let commits = topic.check(group, commits)?;
        if commits.is_empty() {
            return Ok(());
        }
        self.membership.store(commits).await
    }

    fn lag(&self) -> Vec<PartitionLag> {
        self.membership.topic.lag(&self.membership.group, &self.wanted)
    }

    async fn close(mut self: Box<Self>) -> Result<(), LogError> {
        if let Some(fetching) = self.fetching.take() {
            // It holds the database; nobody wants its answer any more.
            let _ = fetching.await;
        }
        Ok(())
    }
}

/// Reads blocks until so many bytes or the end are reached. `tail` is where the end was before.
pub(super) fn fetch(
    shared: &Shared,
    topic: &Topic,
    from: Option<u64>,
    tail: u64,
    wanted: &[i64],
    limit_bytes: usize,
) -> Result<Fetched, Fault> {
    let transaction = shared.store.read()?;
    let from = match from {
        Some(sequence) => sequence,
        None => first_wanted(&transaction, topic, wanted)?.unwrap_or(tail),
    };
    let blocks = transaction.open_table(topic.tables.blocks())?;
    let index = transaction.open_table(topic.tables.index())?;
    let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
    // The index leads: a block that it names and that is gone is a damaged one.
    for entry in index.range(from..)? {
        let (sequence, descriptor) = entry?;
        let sequence = sequence.value();
        let block = blocks.get(sequence)?;
        let block = Bytes::copy_from_slice(block.as_ref().map_or(&[][..], |block| block.value()));
        bytes += block.len();
        if bytes > limit_bytes && !records.is_empty() {
            return Ok(Fetched { records, next: sequence });
        }
        match block::decode(block.clone()).filter(|all| !all.is_empty()) {
            Some(all) => records.extend(all.into_iter().filter(|r| is_wanted(r, wanted))),
            None => {
                let descriptor = describe(descriptor.value())?;
                set_aside(&shared.store, topic, sequence, &block, &descriptor, wanted);
            }
        }
        next = sequence + 1;
    }
    // All that was there is read; what is missing below the old end was trimmed.
    Ok(Fetched { records, next: next.max(tail) })
}

fn is_wanted(record: &StoredRecord, wanted: &[i64]) -> bool {
    wanted.get(record.partition as usize).is_none_or(|wanted| record.offset >= *wanted)
}

/// The oldest block that holds a record wanted.
fn first_wanted(
    transaction: &ReadTransaction,
    topic: &Topic,
    wanted: &[i64],
) -> Result<Option<u64>, Fault> {
    for entry in transaction.open_table(topic.tables.index())?.iter()? {
        let (sequence, descriptor) = entry?;
        let holds = |(partition, _, end): &(u32, i64, i64)| {
            wanted.get(*partition as usize).is_none_or(|wanted| end > wanted)
        };
        if describe(descriptor.value())?.ranges.iter().any(holds) {
            return Ok(Some(sequence.value()));
        }
    }
    Ok(None)
}

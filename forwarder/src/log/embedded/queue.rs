//! What waits for the writer: appends, commits, flushes and trials in one order, bounded in bytes for each topic.

use super::store::Fault;
use super::topic::Topic;
use crate::log::{Acknowledgement, AppendError, Commit, LogError, Placed, QueueSize};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of records in one transaction, at most (one append goes in whole).
const ROUND_BYTES: usize = 8 << 20;

/// Records of one append, with their offsets.
#[derive(Debug)]
pub(super) struct Append {
    pub topic: Arc<Topic>,
    pub records: Vec<(i64, Placed)>,
    bytes: usize,
    pub timestamp_ms: i64,
    done: oneshot::Sender<Result<(), AppendError>>,
}

/// What waits for the writer.
#[derive(Debug)]
pub(super) enum Item {
    Append(Append),
    /// Stores a group's commits; without any, that the group is known.
    Commit {
        topic: Arc<Topic>,
        group: String,
        commits: Vec<Commit>,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    /// Answered when everything before it was answered.
    Flush(oneshot::Sender<()>),
    /// Has the writer write although nothing may be there to write; answered as a flush.
    Try(oneshot::Sender<()>),
}

/// What waits, in order. Bounded in bytes, for each topic by itself.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    limit_bytes: usize,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

impl Queue {
    pub fn new(limit_bytes: usize, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { waiting: Mutex::default(), ready: Condvar::new(), limit_bytes, clock }
    }

    /// Takes records in, or refuses them all.
    pub fn append(
        &self,
        topic: &Arc<Topic>,
        records: Vec<Placed>,
    ) -> Result<Acknowledgement, AppendError> {
        check(topic, &records)?;
        if records.is_empty() {
            return Ok(Box::pin(async { Ok(Vec::new()) }));
        }
        let bytes = records.iter().map(|placed| placed.record.size()).sum();
        let timestamp_ms = (self.clock)();
        let (done, answer) = oneshot::channel();
        let offsets = {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(closed(topic));
            }
            if topic.is_broken.swap(false, Relaxed) {
                let detail = "records taken before these were not stored: send again".into();
                return Err(AppendError::Failed { topic: topic.name.clone(), detail });
            }
            self.check_room(topic, bytes)?;
            let records = place(topic, records);
            let offsets: Vec<i64> = records.iter().map(|(offset, _)| *offset).collect();
            topic.queued_bytes.fetch_add(bytes, Relaxed);
            topic.queued_records.fetch_add(records.len(), Relaxed);
            let topic = topic.clone();
            let append = Append { topic, records, bytes, timestamp_ms, done };
            waiting.items.push_back(Item::Append(append));
            offsets
        };
        self.ready.notify_one();
        let topic = topic.clone();
        Ok(Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(closed(&topic))).map(|()| offsets)
        }))
    }

    /// Puts anything else behind what waits; `false` when the log is closed.
    pub fn push(&self, item: Item) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// Takes nothing in any more; what waits is still written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// After `failed` was not stored: takes out every append that waits behind it, and has the next one of each topic
    /// refused. A record is never stored behind one that was taken before it and is not.
    pub fn fail_behind(&self, failed: &[Item]) -> Vec<Item> {
        let mut waiting = self.lock();
        let all = std::mem::take(&mut waiting.items);
        let is_append = |item: &Item| matches!(item, Item::Append(_));
        let (appends, others): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(is_append);
        waiting.items = others;
        for item in failed.iter().chain(&appends) {
            if let Item::Append(append) = item {
                append.topic.is_broken.store(true, Relaxed);
            }
        }
        appends.into()
    }

    /// What is to be done next; nothing when `patience` is over; `None` when closed and empty.
    pub fn take(&self, patience: Duration) -> Option<Vec<Item>> {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.items.is_empty() && !waiting.closed;
        let (mut waiting, _) = self
            .ready
            .wait_timeout_while(waiting, patience, idle)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.items.is_empty() && waiting.closed {
            return None;
        }
        let mut bytes = 0;
        let mut within = |item: &Item| {
            bytes += if let Item::Append(append) = item { append.bytes } else { 0 };
            bytes <= ROUND_BYTES
        };
        let fits = waiting.items.iter().take_while(|item| within(item)).count();
        let count = fits.max(1).min(waiting.items.len());
        Some(waiting.items.drain(..count).collect())
    }

    fn check_room(&self, topic: &Topic, bytes: usize) -> Result<(), AppendError> {
        let QueueSize { bytes: queued, .. } = topic.queued();
        let full =
            |bytes, limit| Err(AppendError::Full { topic: topic.name.clone(), bytes, limit });
        if queued + bytes > self.limit_bytes {
            return full(queued, self.limit_bytes);
        }
        let Some(limit) = topic.settings.retention.bytes else { return Ok(()) };
        let stored = topic.state().disk_bytes + queued as u64;
        if stored + bytes as u64 > limit {
            return full(stored as usize, limit as usize);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a group's commits; returns when they are fsynced.
    pub async fn commit(
        &self,
        topic: &Arc<Topic>,
        group: &str,
        commits: Vec<Commit>,
    ) -> Result<(), LogError> {
        let closed = || LogError::Fatal {
            what: format!("commit of group {group} in topic {}", topic.name),
            detail: "the log is closed".into(),
        };
        let (done, answer) = oneshot::channel();
        let item = Item::Commit { topic: topic.clone(), group: group.into(), commits, done };
        if !self.push(item) {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed(topic: &Topic) -> AppendError {
    AppendError::Closed { topic: topic.name.clone() }
}

fn check(topic: &Topic, records: &[Placed]) -> Result<(), AppendError> {
    let limit = topic.settings.max_record_bytes;
    for Placed { partition, record } in records {
        if record.size() > limit {
            let topic = topic.name.clone();
            return Err(AppendError::TooLarge { topic, size: record.size(), limit });
        }
        if *partition >= topic.partitions {
            let detail = format!("there is no partition {partition}, only {}", topic.partitions);
            return Err(AppendError::Failed { topic: topic.name.clone(), detail });
        }
    }
    Ok(())
}

/// Gives each record its offset. Under the queue's lock, so offsets have the order of the queue.
fn place(topic: &Topic, records: Vec<Placed>) -> Vec<(i64, Placed)> {
    let mut next = topic.next_offsets.lock().unwrap_or_else(PoisonError::into_inner);
    let with_offset = |placed: Placed| {
        let next = next.get_mut(placed.partition as usize)?;
        *next += 1;
        Some((*next - 1, placed))
    };
    records.into_iter().filter_map(with_offset).collect()
}

/// Tells everyone how it went, in the order of the queue.
pub(super) fn answer(items: Vec<Item>, fault: Option<&Fault>) {
    for item in items {
        match item {
            Item::Append(Append { topic, records, bytes, done, .. }) => {
                topic.queued_bytes.fetch_sub(bytes, Relaxed);
                topic.queued_records.fetch_sub(records.len(), Relaxed);
                let result = fault.map_or(Ok(()), |fault| {
                    topic.failed.fetch_add(records.len() as u64, Relaxed);
                    let detail = format!("not stored, send again: {fault}");
                    Err(AppendError::Failed { topic: topic.name.clone(), detail })
                });
                let _ = done.send(result);
            }
            Item::Commit { topic, group, done, .. } => {
                let what = format!("commit of group {group} in topic {}", topic.name);
                let failed =
                    |fault: &Fault| Err(LogError::Unavailable { what, detail: fault.to_string() });
                let _ = done.send(fault.map_or(Ok(()), failed));
            }
            Item::Flush(done) | Item::Try(done) => {
                let _ = done.send(());
            }
        }
    }
}

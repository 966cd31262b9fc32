//! The one thread that writes: it takes everything that waits, stores it in one transaction with one fsync, and
//! only then answers (group commit). What may go is trimmed in the same transaction.

use super::block::BlockBuilder;
use super::directory::Shared;
use super::retention::{self, BLOCKS_A_ROUND, Due, Floor};
use super::store::{self, Fault, GROUPS, PARTITIONS, POSITIONS};
use super::topic::Topic;
use crate::log::{Acknowledgement, AppendError, Commit, LogError, Placed, QueueSize};
use redb::WriteTransaction;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of records in one transaction, at most (one append goes in whole).
const ROUND_BYTES: usize = 8 << 20;

/// How often an idle log looks for records that grew too old.
const TICK: Duration = Duration::from_secs(1);

/// Records of one append, with their offsets.
#[derive(Debug)]
pub(super) struct Append {
    topic: Arc<Topic>,
    records: Vec<(i64, Placed)>,
    bytes: usize,
    timestamp_ms: i64,
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

    /// What is to be done next; nothing when `patience` is over; `None` when closed and empty.
    fn take(&self, patience: Duration) -> Option<Vec<Item>> {
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

/// Writes until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut patience = TICK;
    while let Some(items) = shared.queue.take(patience) {
        let work = sort(shared, &items);
        let more = match store_round(shared, &work) {
            Ok(more) => {
                answer(items, None);
                more
            }
            Err(error) => {
                answer(items, Some(&error));
                false
            }
        };
        patience = if more { Duration::ZERO } else { TICK };
    }
}

/// What one round does to one topic.
struct Work<'a> {
    topic: Arc<Topic>,
    appends: Vec<&'a Append>,
    commits: Vec<(String, Vec<Commit>)>,
}

fn sort<'a>(shared: &Shared, items: &'a [Item]) -> Vec<Work<'a>> {
    let new = |topic| Work { topic, appends: Vec::new(), commits: Vec::new() };
    let mut works: Vec<_> = shared.topics().into_iter().map(new).collect();
    for item in items {
        let (Item::Append(Append { topic, .. }) | Item::Commit { topic, .. }) = item else {
            continue;
        };
        let Some(work) = works.iter_mut().find(|work| work.topic.name == topic.name) else {
            continue;
        };
        match item {
            Item::Append(append) => work.appends.push(append),
            Item::Commit { group, commits, .. } => {
                work.commits.push((group.clone(), commits.clone()));
            }
            Item::Flush(_) => {}
        }
    }
    works
}

/// Stores all of it or nothing. Says whether more could be trimmed at once.
fn store_round(shared: &Shared, works: &[Work<'_>]) -> Result<bool, Fault> {
    let mut result = attempt(shared, works);
    let unserved =
        |fault: &Fault| matches!(fault.0, redb::Error::PreviousIo | redb::Error::DatabaseClosed);
    if result.as_ref().is_err_and(unserved) {
        // The database had failed before this round: it is opened anew, and has one more chance.
        shared.recover()?;
        result = attempt(shared, works);
    }
    let changes = match result {
        Ok(changes) => changes,
        Err(fault) => {
            tracing::error!(path = %shared.store.path(), error = %fault, "nothing could be stored");
            if let Err(error) = shared.recover() {
                tracing::error!(path = %shared.store.path(), %error, "the log is still shut");
            }
            return Err(fault);
        }
    };
    let more = changes.iter().any(|change| change.trimmed.len() == BLOCKS_A_ROUND);
    for (work, change) in works.iter().zip(changes) {
        apply(&work.topic, change);
    }
    Ok(more)
}

fn attempt(shared: &Shared, works: &[Work<'_>]) -> Result<Vec<Change>, Fault> {
    let attempt = || {
        let idle = works.iter().all(|work| work.appends.is_empty() && work.commits.is_empty());
        if idle && !anything_due(shared, works)? {
            return Ok(Vec::new());
        }
        shared.store.write(|transaction| {
            works.iter().map(|work| change(shared, transaction, work)).collect()
        })
    };
    catch_unwind(AssertUnwindSafe(attempt))
        .unwrap_or_else(|_| Err(Fault::corrupted("its pages make no sense")))
}

fn anything_due(shared: &Shared, works: &[Work<'_>]) -> Result<bool, Fault> {
    let transaction = shared.store.read()?;
    for Work { topic, .. } in works {
        let floor = Floor::after(&topic.state(), &[]);
        let index = transaction.open_table(topic.tables.index())?;
        let retention = &topic.settings.retention;
        if !retention::due(&index, &floor, retention, shared.now_ms())?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a transaction did to a topic; true once it is committed.
#[derive(Default)]
struct Change {
    bounds: BTreeMap<u32, (i64, i64)>,
    commits: Vec<(String, Vec<Commit>)>,
    blocks: u64,
    added_bytes: u64,
    trimmed: Vec<Due>,
}

fn change(
    shared: &Shared,
    transaction: &WriteTransaction,
    work: &Work<'_>,
) -> Result<Change, Fault> {
    let topic = &work.topic;
    let mut change = Change { commits: work.commits.clone(), ..Change::default() };
    write_records(transaction, work, &mut change)?;
    write_commits(transaction, work)?;
    trim(shared, transaction, work, &mut change)?;
    if !change.bounds.is_empty() {
        let mut partitions = transaction.open_table(PARTITIONS)?;
        for (partition, bounds) in &change.bounds {
            partitions.insert((topic.name.as_str(), *partition), *bounds)?;
        }
    }
    Ok(change)
}

fn write_records(
    transaction: &WriteTransaction,
    work: &Work<'_>,
    change: &mut Change,
) -> Result<(), Fault> {
    if work.appends.is_empty() {
        return Ok(());
    }
    let tables = &work.topic.tables;
    let mut blocks = transaction.open_table(tables.blocks())?;
    let mut index = transaction.open_table(tables.index())?;
    let first = work.topic.state().next_sequence;
    let mut close = |block: &mut BlockBuilder, change: &mut Change| -> Result<(), Fault> {
        let (bytes, descriptor) = std::mem::take(block).finish();
        let sequence = first + change.blocks;
        blocks.insert(sequence, bytes.as_slice())?;
        index.insert(sequence, descriptor.encode().as_slice())?;
        change.blocks += 1;
        change.added_bytes += descriptor.disk_bytes;
        Ok(())
    };
    let mut block = BlockBuilder::default();
    for append in &work.appends {
        for (offset, Placed { partition, record }) in &append.records {
            if block.is_full_for(record) {
                close(&mut block, change)?;
            }
            block.push(*partition, *offset, append.timestamp_ms, record);
            bounds_of(&work.topic, *partition, change).1 = offset + 1;
        }
    }
    if !block.is_empty() {
        close(&mut block, change)?;
    }
    Ok(())
}

fn bounds_of<'a>(topic: &Topic, partition: u32, change: &'a mut Change) -> &'a mut (i64, i64) {
    let known = || topic.state().bounds.get(partition as usize).copied().unwrap_or_default();
    change.bounds.entry(partition).or_insert_with(known)
}

fn write_commits(transaction: &WriteTransaction, work: &Work<'_>) -> Result<(), Fault> {
    if work.commits.is_empty() {
        return Ok(());
    }
    let topic = work.topic.name.as_str();
    let mut groups = transaction.open_table(GROUPS)?;
    let mut positions = transaction.open_table(POSITIONS)?;
    for (group, commits) in &work.commits {
        let group = group.as_str();
        groups.insert((topic, group), ())?;
        for Commit { partition, offset, metadata } in commits {
            positions.insert((topic, group, *partition), (*offset, metadata.as_str()))?;
        }
    }
    Ok(())
}

fn trim(
    shared: &Shared,
    transaction: &WriteTransaction,
    work: &Work<'_>,
    change: &mut Change,
) -> Result<(), Fault> {
    let topic = &work.topic;
    let floor = Floor::after(&topic.state(), &work.commits);
    let mut index = transaction.open_table(topic.tables.index())?;
    let due = retention::due(&index, &floor, &topic.settings.retention, shared.now_ms())?;
    if due.is_empty() {
        return Ok(());
    }
    let mut blocks = transaction.open_table(topic.tables.blocks())?;
    for Due { sequence, block, .. } in &due {
        blocks.remove(sequence)?;
        index.remove(sequence)?;
        for (partition, _, end) in &block.ranges {
            let start = &mut bounds_of(topic, *partition, change).0;
            *start = (*start).max(*end);
        }
    }
    change.trimmed = due;
    Ok(())
}

fn apply(topic: &Topic, change: Change) {
    let unread: u64 = change.trimmed.iter().map(|due| due.unread).sum();
    let trimmed_bytes: u64 = change.trimmed.iter().map(|due| due.block.disk_bytes).sum();
    let mut state = topic.state();
    for (partition, bounds) in change.bounds {
        if let Some(known) = state.bounds.get_mut(partition as usize) {
            *known = bounds;
        }
    }
    for (group, commits) in change.commits {
        let group = state.groups.entry(group).or_default();
        group.is_stored = true;
        let positions = commits.into_iter().map(|c| (c.partition, (c.offset, c.metadata)));
        group.positions.extend(positions);
    }
    state.disk_bytes = (state.disk_bytes + change.added_bytes).saturating_sub(trimmed_bytes);
    state.next_sequence += change.blocks;
    let tail = state.next_sequence;
    drop(state);
    if change.blocks > 0 {
        topic.tail.send_replace(tail);
    }
    if unread > 0 {
        topic.expired_unread.fetch_add(unread, Relaxed);
        tracing::error!(
            topic = %topic.name, records = unread,
            "records grew older than the topic keeps them before they were read: they are lost"
        );
    }
}

/// Tells everyone how it went, in the order of the queue.
fn answer(items: Vec<Item>, fault: Option<&Fault>) {
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
            Item::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// An item that stores commits, and its answer.
pub(super) fn commit_item(
    topic: &Arc<Topic>,
    group: &str,
    commits: Vec<Commit>,
) -> (Item, oneshot::Receiver<Result<(), LogError>>) {
    let (done, answer) = oneshot::channel();
    (Item::Commit { topic: topic.clone(), group: group.into(), commits, done }, answer)
}

/// A failed reopening, for those who waited.
impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Self(redb::Error::Io(std::io::Error::other(error.to_string())))
    }
}

/// Reads all topics anew after the database was opened again.
pub(super) fn follow(shared: &Shared) -> Result<(), Fault> {
    let transaction = shared.store.read()?;
    for topic in shared.topics() {
        if let Some(stored) = store::load_topic(&transaction, &topic.name)? {
            topic.follow(stored);
        }
    }
    Ok(())
}

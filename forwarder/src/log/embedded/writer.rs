//! The one thread that writes: it takes everything that waits, stores it in one transaction with one fsync, and
//! only then answers (group commit). What may go is trimmed in the same transaction.

use super::block::BlockBuilder;
use super::directory::Shared;
use super::queue::{Append, Item, answer};
use super::retention::{self, BLOCKS_A_ROUND, Due, Floor};
use super::store::{self, Fault, GROUPS, PARTITIONS, POSITIONS, TRIAL};
use super::topic::Topic;
use crate::log::{Commit, LogError, Placed};
use redb::WriteTransaction;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often an idle log looks for records that grew too old.
const TICK: Duration = Duration::from_secs(1);

/// As much as a large batch.
const TRIAL_BYTES: usize = 256 << 10;

/// Writes until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut patience = TICK;
    while let Some(items) = shared.queue.take(patience) {
        let work = sort(shared, &items);
        let is_tried = items.iter().any(|item| matches!(item, Item::Try(_)));
        let more = match store_round(shared, &work, is_tried) {
            Ok(more) => {
                answer(items, None);
                more
            }
            Err(error) => {
                shared.verdict.failed(&error);
                let behind = shared.queue.fail_behind(&items);
                answer(items, Some(&error));
                answer(behind, Some(&error));
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
            Item::Flush(_) | Item::Try(_) => {}
        }
    }
    works
}

/// Stores all of it or nothing. Says whether more could be trimmed at once.
fn store_round(shared: &Shared, works: &[Work<'_>], is_tried: bool) -> Result<bool, Fault> {
    let mut result = attempt(shared, works, is_tried);
    let unserved =
        |fault: &Fault| matches!(fault.0, redb::Error::PreviousIo | redb::Error::DatabaseClosed);
    if result.as_ref().is_err_and(unserved) {
        // The database had failed before this round: it is opened anew, and has one more chance.
        shared.recover()?;
        result = attempt(shared, works, is_tried);
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

/// With `is_tried` it writes although there may be nothing to write.
fn attempt(shared: &Shared, works: &[Work<'_>], is_tried: bool) -> Result<Vec<Change>, Fault> {
    let attempt = || {
        let idle = works.iter().all(|work| work.appends.is_empty() && work.commits.is_empty());
        if idle && !is_tried && !anything_due(shared, works)? {
            return Ok(Vec::new());
        }
        if is_tried {
            shared.store.write(try_disk)?;
        }
        let changes = shared.store.write(|transaction| {
            if is_tried {
                transaction.delete_table(TRIAL)?;
            }
            works.iter().map(|work| change(shared, transaction, work)).collect()
        })?;
        shared.verdict.stored();
        Ok(changes)
    };
    catch_unwind(AssertUnwindSafe(attempt))
        .unwrap_or_else(|_| Err(Fault::corrupted("its pages make no sense")))
}

/// Writes what a batch may take: on a full disk a transaction of nothing would succeed. The next transaction frees it.
fn try_disk(transaction: &WriteTransaction) -> Result<(), Fault> {
    let mut trial = transaction.open_table(TRIAL)?;
    trial.insert((), vec![0; TRIAL_BYTES].as_slice())?;
    Ok(())
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
            block.weigh((work.topic.weigh)(record));
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

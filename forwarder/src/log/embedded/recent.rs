//! What was appended to a topic of the directory since a moment, and what is appended from now on, outside its groups.

use super::directory::{Directory, Shared};
use super::reader::{Fetched, fetch};
use super::store::{Fault, describe};
use super::topic::Topic;
use crate::log::{LogError, Scan, StoredRecord};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

/// What one step reads, about.
const STEP_BYTES: usize = 256 << 10;

/// See the module.
pub(super) struct Recent {
    directory: Arc<Directory>,
    topic: Arc<Topic>,
    since_ms: i64,
    /// The first offset wanted, of each partition: beyond the end of those that nobody asked for.
    wanted: Arc<[i64]>,
    /// The sequence of the next block; unknown until the index was searched.
    sequence: Option<u64>,
    tail: watch::Receiver<u64>,
    /// Kept here while it runs, so that a dropped `next` loses nothing.
    fetching: Option<JoinHandle<Result<Fetched, LogError>>>,
}

impl Recent {
    pub fn new(
        directory: &Arc<Directory>,
        topic: &Arc<Topic>,
        partitions: &[u32],
        since_ms: i64,
    ) -> Self {
        let first = |partition| if partitions.contains(&partition) { 0 } else { i64::MAX };
        Self {
            directory: directory.clone(),
            topic: topic.clone(),
            since_ms,
            wanted: (0..topic.partitions).map(first).collect(),
            sequence: None,
            tail: topic.tail.subscribe(),
            fetching: None,
        }
    }

    /// Begins to read, when there is something to be read.
    fn fetch_ahead(&mut self) {
        let tail = *self.tail.borrow_and_update();
        if self.fetching.is_some() || self.sequence.is_some_and(|sequence| sequence >= tail) {
            return;
        }
        let (shared, topic) = (self.directory.shared.clone(), self.topic.clone());
        let (from, since_ms, wanted) = (self.sequence, self.since_ms, self.wanted.clone());
        self.fetching = Some(spawn_blocking(move || {
            let fetched = from.map_or_else(|| first_since(&shared, &topic, since_ms, tail), Ok);
            let fetched = fetched
                .and_then(|from| fetch(&shared, &topic, Some(from), tail, &wanted, STEP_BYTES));
            fetched.map_err(|fault| shared.store.explain(fault))
        }));
    }
}

#[async_trait]
impl Scan for Recent {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        loop {
            self.fetch_ahead();
            let Some(fetching) = &mut self.fetching else {
                // The sender stands in the topic, which is held here.
                let _ = self.tail.changed().await;
                continue;
            };
            let fetched = fetching.await;
            self.fetching = None;
            let damaged = |_| self.directory.shared.store.damaged("its pages make no sense");
            let Fetched { records, next } = fetched.map_err(damaged)??;
            self.sequence = Some(next);
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }
}

/// The first block behind the last one that holds only older records. `tail`: one past the last block.
fn first_since(shared: &Shared, topic: &Topic, since_ms: i64, tail: u64) -> Result<u64, Fault> {
    let transaction = shared.store.read()?;
    let mut first = tail;
    for entry in transaction.open_table(topic.tables.index())?.range(..tail)?.rev() {
        let (sequence, descriptor) = entry?;
        if describe(descriptor.value())?.newest_ms < since_ms {
            break;
        }
        first = sequence.value();
    }
    Ok(first)
}

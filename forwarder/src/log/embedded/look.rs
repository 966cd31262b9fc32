//! Looking into a topic of the directory from outside its groups.

use super::directory::Directory;
use super::fetch::{Begin, Fetched, fetch};
use super::topic::Topic;
use crate::log::{Commit, LogError, Scan, Standing, StoredRecord, Stretch};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What one step of a scan reads, about.
const STEP_BYTES: usize = 1 << 20;

pub(super) fn standing(topic: &Topic, group: &str) -> Vec<Standing> {
    let state = topic.state();
    let group = state.groups.get(group);
    let of = |(partition, (start, end)): (usize, &(i64, i64))| {
        let position = group.and_then(|group| group.positions.get(&(partition as u32)));
        Standing {
            partition: partition as u32,
            committed: position.map(|(offset, _)| *offset),
            metadata: position.map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
            start: *start,
            end: *end,
        }
    };
    state.bounds.iter().enumerate().map(of).collect()
}

pub(super) async fn store(
    directory: &Directory,
    topic: &Arc<Topic>,
    group: &str,
    commits: Vec<Commit>,
) -> Result<(), LogError> {
    let commits = topic.check(group, commits)?;
    directory.shared.queue.commit(topic, group, commits).await
}

/// A scan over the blocks, in the order of the appends.
pub(super) struct Blocks {
    directory: Arc<Directory>,
    topic: Arc<Topic>,
    stretches: BTreeMap<u32, Range<i64>>,
    /// Where the next step begins.
    from: Begin,
    /// Where the topic ended when the scan began.
    tail: u64,
}

impl Blocks {
    pub fn new(directory: &Arc<Directory>, topic: &Arc<Topic>, stretches: Vec<Stretch>) -> Self {
        let tail = *topic.tail.borrow();
        let open = stretches.into_iter().filter(|stretch| !stretch.offsets.is_empty());
        let stretches = open.map(|stretch| (stretch.partition, stretch.offsets)).collect();
        let (directory, topic) = (directory.clone(), topic.clone());
        Self { directory, topic, stretches, from: Begin::FirstWanted, tail }
    }

    fn is_wanted(&self, record: &StoredRecord) -> bool {
        let stretch = self.stretches.get(&record.partition);
        stretch.is_some_and(|offsets| offsets.contains(&record.offset))
    }
}

#[async_trait]
impl Scan for Blocks {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        if self.stretches.is_empty() || self.from.is_at(self.tail) {
            return Ok(None);
        }
        let (shared, topic) = (self.directory.shared.clone(), self.topic.clone());
        let (from, tail) = (self.from, self.tail);
        // A partition that nobody asked for is wanted from beyond its end.
        let first = |partition| self.stretches.get(&partition).map_or(i64::MAX, |s| s.start);
        let wanted: Vec<i64> = (0..self.topic.partitions).map(first).collect();
        let fetched = spawn_blocking(move || {
            let fetched = fetch(&shared, &topic, from, tail, &wanted, STEP_BYTES);
            fetched.map_err(|fault| shared.store.explain(fault))
        });
        let damaged = |_| self.directory.shared.store.damaged("its pages make no sense");
        let Fetched { mut records, next } = fetched.await.map_err(damaged)??;
        self.from = Begin::Block(next);
        records.retain(|record| self.is_wanted(record));
        Ok(Some(records))
    }
}

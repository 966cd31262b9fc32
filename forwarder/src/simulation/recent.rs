//! One who reads from the log's end without a group: it begins with some of the last records, as a log that goes by
//! timestamps does.

use super::chance::Chance;
use super::cluster::{Cluster, State};
use crate::log::{LogError, Scan, StoredRecord};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Records before the end with which it begins, at most.
const BEFORE: u64 = 12;

/// See the module.
pub struct Recent {
    cluster: Arc<Cluster>,
    chance: Chance,
    /// The offset that it reads next in each partition; none until the cluster was reached.
    next: BTreeMap<u32, Option<i64>>,
}

impl Recent {
    pub fn new(cluster: &Arc<Cluster>, chance: &Chance, partitions: &[u32]) -> Self {
        let next = partitions.iter().map(|partition| (*partition, None)).collect();
        Self { cluster: cluster.clone(), chance: chance.clone(), next }
    }

    fn look(&mut self, state: &State) -> Option<Vec<StoredRecord>> {
        if state.is_away || self.next.is_empty() {
            return None;
        }
        for (partition, next) in &mut self.next {
            let first = || (state.end(*partition) - self.chance.below(BEFORE) as i64).max(0);
            next.get_or_insert_with(first);
        }
        let partition = *self.next.keys().nth(self.chance.index(self.next.len()))?;
        let from = self.next[&partition]?;
        let records = state.read(partition, from, self.chance.index(8) + 1);
        let last = records.last()?.offset;
        self.next.insert(partition, Some(last + 1));
        Some(records)
    }
}

#[async_trait]
impl Scan for Recent {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        let cluster = self.cluster.clone();
        loop {
            let changed = cluster.changed.notified();
            if let Some(records) = self.look(&cluster.lock()) {
                return Ok(Some(records));
            }
            let _ = timeout(Duration::from_millis(20), changed).await;
        }
    }
}

//! One who reads stretches of offsets without a group. Now and then its question is not answered, and it ends.

use super::chance::Chance;
use super::cluster::Cluster;
use crate::log::{LogError, Scan, StoredRecord, Stretch};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// See the module.
pub struct Stretches {
    cluster: Arc<Cluster>,
    chance: Chance,
    left: Vec<Stretch>,
}

impl Stretches {
    pub fn new(cluster: &Arc<Cluster>, chance: &Chance, stretches: Vec<Stretch>) -> Self {
        Self { cluster: cluster.clone(), chance: chance.clone(), left: stretches }
    }

    /// Some records of one of the stretches.
    fn look(&mut self) -> Option<Vec<StoredRecord>> {
        let state = self.cluster.lock();
        if state.is_away {
            return None;
        }
        let stretch = self.chance.index(self.left.len());
        let Stretch { partition, offsets } = &mut self.left[stretch];
        let mut records = state.read(*partition, offsets.start, self.chance.index(8) + 1);
        records.retain(|stored| stored.offset < offsets.end);
        match records.last() {
            Some(last) => offsets.start = last.offset + 1,
            None => drop(self.left.swap_remove(stretch)),
        }
        Some(records)
    }
}

#[async_trait]
impl Scan for Stretches {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        loop {
            if self.chance.one_in(500) {
                let (what, detail) = ("stretches".into(), "no answer".into());
                return Err(LogError::Unavailable { what, detail });
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            if let Some(records) = self.look() {
                return Ok(Some(records));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

//! A reader in the group. It learns at its next call what happened to it meanwhile, as one that was stopped does.

use super::chance::Chance;
use super::cluster::{Cluster, State};
use super::group::MemberId;
use crate::log::{
    Assignment, Commit, Event, LogError, PartitionLag, Reader, Revocation, StoredRecord,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// See the module.
pub struct Member {
    cluster: Arc<Cluster>,
    chance: Chance,
    pub id: MemberId,
    /// Its partitions, and the offset that it reads next in each.
    holds: BTreeMap<u32, i64>,
    handing_over: Option<(Vec<u32>, oneshot::Receiver<Vec<Commit>>)>,
}

impl Member {
    pub fn join(cluster: &Arc<Cluster>, chance: &Chance) -> Self {
        let id = cluster.lock().group.join();
        cluster.changed.notify_waiters();
        let (cluster, chance) = (cluster.clone(), chance.clone());
        Self { cluster, chance, id, holds: BTreeMap::new(), handing_over: None }
    }

    async fn event(&mut self, with_records: bool) -> Event {
        let cluster = self.cluster.clone();
        loop {
            let changed = cluster.changed.notified();
            if let Some(event) = self.look(with_records) {
                return event;
            }
            let _ = timeout(Duration::from_millis(50), changed).await;
        }
    }

    fn look(&mut self, with_records: bool) -> Option<Event> {
        let cluster = self.cluster.clone();
        if cluster.lock().is_away {
            return None;
        }
        self.hand_over();
        let mut state = cluster.lock();
        if !state.group.has(self.id) {
            state.group.join_again(self.id);
            cluster.changed.notify_waiters();
            let lost: Vec<u32> = std::mem::take(&mut self.holds).into_keys().collect();
            if !lost.is_empty() {
                return Some(Event::Lost(lost));
            }
        }
        if let Some(revoked) = self.revoked(&state) {
            return Some(revoked);
        }
        let taken = state.group.take(self.id);
        if !taken.is_empty() {
            return Some(self.assigned(&state, &taken));
        }
        let records = if with_records { self.read(&state) } else { Vec::new() };
        (!records.is_empty()).then_some(Event::Records(records))
    }

    /// What was answered to the last revocation is committed, and its partitions go.
    fn hand_over(&mut self) {
        let Some((partitions, mut answer)) = self.handing_over.take() else { return };
        self.cluster.commit(self.id, answer.try_recv().unwrap_or_default());
        let mut state = self.cluster.lock();
        partitions.iter().for_each(|partition| state.group.release(self.id, *partition));
        self.cluster.changed.notify_waiters();
    }

    fn revoked(&mut self, state: &State) -> Option<Event> {
        let is_foreign = |p: &u32| !state.group.is_meant(self.id, *p);
        let partitions: Vec<u32> = self.holds.keys().copied().filter(is_foreign).collect();
        if partitions.is_empty() {
            return None;
        }
        partitions.iter().for_each(|partition| {
            self.holds.remove(partition);
        });
        let (done, answer) = oneshot::channel();
        self.handing_over = Some((partitions.clone(), answer));
        Some(Event::Revoked(Revocation { partitions, done }))
    }

    fn assigned(&mut self, state: &State, partitions: &[u32]) -> Event {
        let assignment = |partition: &u32| {
            let commit = state.committed(*partition);
            Assignment {
                partition: *partition,
                committed: commit.map(|commit| commit.offset),
                metadata: commit.map(|commit| commit.metadata.clone()).unwrap_or_default(),
                log_start: Some(0),
            }
        };
        let assigned: Vec<Assignment> = partitions.iter().map(assignment).collect();
        self.holds.extend(assigned.iter().map(|a| (a.partition, a.committed.unwrap_or(0))));
        Event::Assigned(assigned)
    }

    fn read(&mut self, state: &State) -> Vec<StoredRecord> {
        let (most, count) = (self.chance.index(8) + 1, self.holds.len());
        let first = self.chance.index(count.max(1));
        let in_turn: Vec<u32> =
            self.holds.keys().copied().cycle().skip(first).take(count).collect();
        for partition in in_turn {
            let records = state.read(partition, self.holds[&partition], most);
            if let Some(last) = records.last() {
                self.holds.insert(partition, last.offset + 1);
                return records;
            }
        }
        Vec::new()
    }
}

#[async_trait]
impl Reader for Member {
    async fn next(&mut self) -> Result<Event, LogError> {
        Ok(self.event(true).await)
    }

    async fn next_change(&mut self) -> Result<Event, LogError> {
        Ok(self.event(false).await)
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), LogError> {
        sleep(self.chance.delay(10)).await;
        let unavailable =
            || LogError::Unavailable { what: "commit".into(), detail: "no answer".into() };
        if self.cluster.lock().is_away || self.chance.one_in(30) {
            return Err(unavailable());
        }
        self.cluster.commit(self.id, commits);
        sleep(self.chance.delay(10)).await;
        // The answer may be lost too.
        if self.chance.one_in(30) { Err(unavailable()) } else { Ok(()) }
    }

    fn lag(&self) -> Vec<PartitionLag> {
        Vec::new()
    }

    async fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.hand_over();
        self.cluster.lock().group.leave(self.id);
        self.cluster.changed.notify_waiters();
        Ok(())
    }
}

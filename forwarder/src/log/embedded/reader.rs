//! A group's reader: all partitions at once, read in the order of the appends on blocking threads.

use super::directory::Directory;
use super::fetch::Begin;
use super::follow::Follower;
use super::topic::Topic;
use crate::log::{Assignment, Commit, Event, LogError, PartitionLag, Reader};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
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
    /// It wants what was not committed.
    follower: Follower,
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

impl DirectoryReader {
    pub async fn join(
        directory: &Arc<Directory>,
        topic: &Arc<Topic>,
        group: &str,
    ) -> Result<Self, LogError> {
        let assigned = topic.enter(group)?;
        let membership =
            Membership { directory: directory.clone(), topic: topic.clone(), group: group.into() };
        if !topic.is_stored(group) {
            // From now on nothing is trimmed that this group has not committed, after a restart too.
            membership.store(Vec::new()).await?;
        }
        let wanted = assigned.iter().map(|a| a.committed.or(a.log_start).unwrap_or_default());
        let event_bytes = (directory.fetch_ahead_bytes / 2).clamp(1, EVENT_BYTES);
        let follower =
            Follower::new(directory, topic, wanted.collect(), Begin::FirstWanted, event_bytes);
        Ok(Self { assigned: Some(assigned), follower, membership })
    }
}

impl Membership {
    async fn store(&self, commits: Vec<Commit>) -> Result<(), LogError> {
        self.directory.shared.queue.commit(&self.topic, &self.group, commits).await
    }
}

#[async_trait]
impl Reader for DirectoryReader {
    async fn next(&mut self) -> Result<Event, LogError> {
        if let Some(assigned) = self.assigned.take() {
            return Ok(Event::Assigned(assigned));
        }
        loop {
            match self.follower.next().await {
                Ok(records) => {
                    self.follower.fetch_ahead();
                    return Ok(Event::Records(records));
                }
                Err(error @ LogError::Unavailable { .. }) => {
                    tracing::warn!(%error, "reading the log failed; it is tried again");
                    sleep(PATIENCE).await;
                }
                Err(error) => return Err(error),
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
        self.membership.topic.lag(&self.membership.group, &self.follower.wanted)
    }

    async fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.follower.end().await;
        Ok(())
    }
}

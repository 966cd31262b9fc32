//! What was appended to a topic of the directory since a moment, and what is appended from now on, outside its groups.

use super::directory::Directory;
use super::fetch::Begin;
use super::follow::Follower;
use super::topic::Topic;
use crate::log::{LogError, Scan, StoredRecord};
use async_trait::async_trait;
use std::sync::Arc;

/// What one step reads, about.
const STEP_BYTES: usize = 256 << 10;

/// See the module.
pub(super) struct Recent {
    follower: Follower,
    /// Its store lives as long as somebody reads.
    _directory: Arc<Directory>,
}

impl Recent {
    pub fn new(
        directory: &Arc<Directory>,
        topic: &Arc<Topic>,
        partitions: &[u32],
        since_ms: i64,
    ) -> Self {
        // A partition that nobody asked for is wanted from beyond its end.
        let first = |partition| if partitions.contains(&partition) { 0 } else { i64::MAX };
        let wanted = (0..topic.partitions).map(first).collect();
        let follower = Follower::new(directory, topic, wanted, Begin::Since(since_ms), STEP_BYTES);
        Self { follower, _directory: directory.clone() }
    }
}

#[async_trait]
impl Scan for Recent {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        self.follower.next().await.map(Some)
    }
}

//! A partition that is ours: what was read of it, what is delivered, and what is to be committed.

use super::ahead;
use super::deliver::Origin;
use super::repeats::Repeats;
use super::window::Window;
use crate::log::{Commit, StoredRecord};
use std::ops::Range;

/// Whether a record is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// It is.
    New,
    /// It came before, under another offset.
    Repeat,
    /// The reader before us had delivered it, beyond the offset that it committed.
    Delivered,
}

/// See the module.
pub struct Partition {
    /// Which assignment this is: what was read under an older one counts for nothing.
    pub epoch: u64,
    /// Records read and not committed.
    pub window: Window,
    repeats: Repeats,
    delivered_before: Vec<Range<i64>>,
    /// The offset to commit when no record is open; unknown until one was delivered.
    position: Option<i64>,
    /// Whether something was delivered since the last commit.
    is_behind: bool,
}

impl Partition {
    /// A partition as it was assigned.
    pub fn new(epoch: u64, delivered_before: Vec<Range<i64>>) -> Self {
        Self {
            epoch,
            window: Window::default(),
            repeats: Repeats::default(),
            delivered_before,
            position: None,
            is_behind: false,
        }
    }

    /// Takes a record in; one that is not new is done at once.
    pub fn read(&mut self, stored: &StoredRecord) -> Fresh {
        self.window.read(stored.offset, stored.timestamp_ms);
        let is_repeat = self.repeats.is_repeat(&stored.record);
        let fresh = match (self.was_delivered(stored.offset), is_repeat) {
            (true, _) => Fresh::Delivered,
            (false, true) => Fresh::Repeat,
            (false, false) => return Fresh::New,
        };
        self.done(stored.offset);
        fresh
    }

    /// Where a record stands.
    pub fn origin(&self, stored: &StoredRecord) -> Origin {
        Origin { partition: stored.partition, epoch: self.epoch, offset: stored.offset }
    }

    /// A record was delivered or dead-lettered.
    pub fn done(&mut self, offset: i64) {
        self.window.done(offset);
        self.position = self.window.take_prefix().or(self.position);
        self.is_behind = true;
    }

    /// What is to be committed now, if anything is: the unbroken prefix, and beside it what is delivered beyond.
    pub fn commit(&mut self, partition: u32) -> Option<Commit> {
        let offset = self.window.first_open().or(self.position)?;
        let metadata = ahead::encode(offset, self.window.ahead());
        std::mem::take(&mut self.is_behind).then_some(Commit { partition, offset, metadata })
    }

    /// The last commit failed: the next tick commits, as it is then.
    pub fn commit_again(&mut self) {
        self.is_behind = true;
    }

    fn was_delivered(&self, offset: i64) -> bool {
        let at = self.delivered_before.partition_point(|run| run.end <= offset);
        self.delivered_before.get(at).is_some_and(|run| run.contains(&offset))
    }
}

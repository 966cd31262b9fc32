//! A partition that is ours: what was read of it, what is delivered, and what is to be committed.

use super::ahead;
use super::deliver::Origin;
use super::repeats::Repeats;
use super::window::Window;
use crate::ledger::{Finding, STAMP_HEADER, Stamp, View};
use crate::log::{Assignment, Commit, StoredRecord};
use prost::Message;
use std::ops::Range;

/// Kafka's `offset.metadata.max.bytes` by default.
const MAX_METADATA_BYTES: usize = 4096;
/// Between what is delivered ahead and the view of the writers.
const BETWEEN: char = ';';

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
    /// The writers as of the last record read, and as of the committed offset.
    view: View,
    committed_view: View,
    /// The offset to commit when no record is open; unknown until one was delivered.
    position: Option<i64>,
    /// Whether something was delivered since the last commit.
    is_behind: bool,
}

impl Partition {
    /// A partition as it was assigned.
    pub fn new(epoch: u64, assignment: &Assignment) -> Self {
        let (ahead, view) = assignment.metadata.split_once(BETWEEN).unwrap_or_default();
        let begins_with_the_first =
            assignment.committed.is_none() && assignment.log_start == Some(0);
        let view = if begins_with_the_first { View::from_the_start() } else { View::decode(view) };
        let delivered = assignment.committed.map(|offset| ahead::decode(offset, ahead));
        Self {
            epoch,
            window: Window::default(),
            repeats: Repeats::default(),
            delivered_before: delivered.unwrap_or_default(),
            committed_view: view.clone(),
            view,
            position: None,
            is_behind: false,
        }
    }

    /// Takes a record in; one that is not to be delivered is done at once. Also says what its stamp says.
    pub fn read(&mut self, stored: &StoredRecord) -> (Fresh, Option<Finding>) {
        let stamp = stamp_of(stored);
        let finding = stamp.as_ref().and_then(|stamp| self.view.see(stamp));
        let value = &stored.record.value;
        let is_repeat = stamp.as_ref().is_some_and(|stamp| self.repeats.is_repeat(stamp, value));
        self.window.read(stored.offset, stored.timestamp_ms, stamp);
        let fresh = match (self.was_delivered(stored.offset), is_repeat) {
            (true, _) => Fresh::Delivered,
            (false, true) => Fresh::Repeat,
            (false, false) => return (Fresh::New, finding),
        };
        self.done(stored.offset);
        (fresh, finding)
    }

    /// Where a record stands.
    pub fn origin(&self, stored: &StoredRecord) -> Origin {
        Origin { partition: stored.partition, epoch: self.epoch, offset: stored.offset }
    }

    /// A record was delivered or dead-lettered.
    pub fn done(&mut self, offset: i64) {
        self.window.done(offset);
        let committed = &mut self.committed_view;
        let prefix = self.window.take_prefix(|stamp| {
            committed.see(stamp);
        });
        self.position = prefix.or(self.position);
        self.is_behind = true;
    }

    /// What is to be committed now, if anything is: the unbroken prefix, and beside it what is delivered beyond.
    pub fn commit(&mut self, partition: u32) -> Option<Commit> {
        let offset = self.window.first_open().or(self.position)?;
        let view = self.committed_view.encode();
        let room = MAX_METADATA_BYTES.saturating_sub(view.len() + BETWEEN.len_utf8());
        let metadata =
            format!("{}{BETWEEN}{view}", ahead::encode(offset, self.window.ahead(), room));
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

fn stamp_of(stored: &StoredRecord) -> Option<Stamp> {
    Stamp::decode(&stored.record.header(STAMP_HEADER)?[..]).ok()
}

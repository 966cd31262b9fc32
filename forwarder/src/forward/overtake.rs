//! What the loop does with fresh records: they overtake a backlog, and are left to their turn when too many come.

use super::consume::Consumer;
use super::deliver::Item;
use super::format;
use super::fresh::FreshReader;
use super::lanes::Lane;
use super::metrics::now_ms;
use crate::log::StoredRecord;
use tokio::time::Instant;

/// A destination that took something within this time is not silent.
const LATELY_MS: i64 = 1_000;

impl Consumer {
    /// Near the log's end the reader in order meets fresh records itself, with old ones before them that it has read.
    pub(super) fn lane_of(&self, stored: &StoredRecord, now_ms: i64) -> Lane {
        let is_shared = self.fresh.is_on() && self.has_fresh_room();
        if is_shared && FreshReader::is_fresh(stored.timestamp_ms, now_ms) {
            Lane::Fresh
        } else {
            Lane::InOrder
        }
    }

    /// Fresh records: those that nobody knows yet overtake the others.
    pub(super) fn overtake(&mut self, records: Vec<StoredRecord>) {
        let since = Instant::now();
        for stored in records {
            let Some(partition) = self.partitions.get_mut(&stored.partition) else { continue };
            if let Some(due) = partition.overtake(&stored) {
                let origin = partition.origin(&stored);
                let payload = format::read(&stored.record).map_err(|error| error.to_string());
                self.take(due, Item { origin, stored, payload, lane: Lane::Fresh, since });
            }
        }
    }

    /// Reads fresh records while a backlog is old, and lets those go that are fresh no more.
    pub(super) fn keep_fresh(&mut self) {
        let mut ours: Vec<u32> = self.partitions.keys().copied().collect();
        ours.sort_unstable();
        let is_answering = self.deliverer.gate.is_open();
        self.fresh.look(ours, self.oldest_ms(), now_ms(), is_answering);
        self.lanes.share(self.fresh.is_on());
        // One that is silent for a while makes all wait: that is no reason to leave them to their turn.
        let is_answering = is_answering && self.metrics.is_delivering(LATELY_MS);
        if self.fresh.is_stale(self.lanes.fresh_waits(), is_answering) {
            self.let_go();
        }
    }

    /// Fresh records come faster than their share: those that wait are left to their turn, and newer ones go on.
    fn let_go(&mut self) {
        for item in self.lanes.take_fresh() {
            let partition = self.partitions.get_mut(&item.origin.partition);
            if partition.is_none_or(|partition| partition.let_go(&item.stored)) {
                self.metrics.fresh_let_go_records.inc();
            } else {
                self.lanes.push(Item { lane: Lane::InOrder, ..item });
            }
        }
        self.fresh.leap(now_ms());
    }
}

//! Entries that cannot be read, or are gone: counted, and passed over.

use super::Pump;
use crate::ledger::{Finding, Stamp};
use crate::log::LogError;

impl Pump {
    /// When all that is left cannot be read, nothing is left.
    pub(super) fn pass_over_damage(&mut self) -> Result<(), LogError> {
        let end = self.end();
        let is_waiting = !self.handed.is_empty() || !self.queue.is_empty() || self.done >= end;
        if !is_waiting && self.damaged.0 > 0 && !self.spool.disk.is_readable_from(self.done)? {
            (self.done, self.next) = (end, end);
        }
        Ok(())
    }

    /// Counts what is gone from between this entry and the one before, but for what is known to be damaged.
    pub(super) fn look(&mut self, stamp: &Stamp, before: i64) {
        let finding = stamp.mark().map(|mark| self.view.see(mark));
        let Some(Finding::Missing { records, spans }) = finding else { return };
        let explained = (records.min(self.explained.0), spans.min(self.explained.1));
        self.explained = (self.explained.0 - explained.0, self.explained.1 - explained.1);
        let (records, spans) = (records - explained.0, spans - explained.1);
        if records > 0 {
            self.spool.metrics.spool.lost_records.inc_by(records);
            self.spool.metrics.spool.lost_spans.inc_by(spans);
            tracing::error!(records, spans, before, "batches are gone from the spool");
        }
    }

    pub(super) fn count_damage(&mut self) {
        let (records, spans, bytes) = self.spool.disk.damaged();
        let new = (records - self.damaged.0, spans - self.damaged.1, bytes - self.damaged.2);
        if new.0 > 0 {
            self.damaged = (records, spans, bytes);
            self.explained = (self.explained.0 + new.0, self.explained.1 + new.1);
            self.spool.metrics.spool.set_aside(new.0, new.1, new.2);
        }
    }
}

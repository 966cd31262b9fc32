//! Whether the loop may read more. What it holds is bounded in bytes, and what waits behind a record that is not settled in
//! records; and what may repeat something is read only when that is known.

use super::consume::Consumer;
use super::lanes::Lane;

impl Consumer {
    /// For records in order.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.held_bytes(Lane::InOrder) < self.settings.max_held_bytes
            && self.window_records() < self.settings.max_window_records
            && !self.before.is_on()
    }

    /// For fresh ones.
    pub(super) fn has_fresh_room(&self) -> bool {
        self.lanes.held_bytes(Lane::Fresh) < self.settings.max_fresh_bytes && !self.before.is_on()
    }

    /// Records that are read and that no commit can pass yet.
    fn window_records(&self) -> usize {
        self.partitions.values().map(|state| state.window.len()).sum()
    }

    /// Brings the gauge up to date, and says when it becomes full: nothing more is read then until one record is settled.
    pub(super) fn show_window(&self) {
        let (records, most) = (self.window_records(), self.settings.max_window_records);
        let before = self.metrics.window_records.set(records as i64);
        if records >= most && before < most as i64 {
            self.warn_of_full_window(records);
        }
    }

    fn warn_of_full_window(&self, records: usize) {
        let longest = self.partitions.iter().max_by_key(|(_, state)| state.window.len());
        let Some((partition, state)) = longest else { return };
        tracing::warn!(
            records,
            partition,
            offset = state.window.first_open(),
            "reading rests: so many records are read behind some that the destination neither takes nor refuses"
        );
    }
}

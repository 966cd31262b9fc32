//! What was taken and is not acknowledged yet, bounded in bytes.

use crate::log::QueueSize;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Counts of records and bytes. Entered under the producer's lock; an append leaves with its last delivery report.
pub(super) struct Queue {
    limit: usize,
    records: AtomicUsize,
    bytes: AtomicUsize,
    emptied: Notify,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        let (records, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, records, bytes, emptied: Notify::new() }
    }

    /// The bound in bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn size(&self) -> QueueSize {
        QueueSize {
            records: self.records.load(Ordering::Acquire),
            bytes: self.bytes.load(Ordering::Acquire),
        }
    }

    /// Takes them all, or gives the bytes that stand in the way.
    pub(super) fn enter(&self, records: usize, bytes: usize) -> Result<(), usize> {
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.limit {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(before);
        }
        self.records.fetch_add(records, Ordering::AcqRel);
        Ok(())
    }

    /// Lets go of them, after whoever waits for them was told.
    pub(super) fn leave(&self, records: usize, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if self.records.fetch_sub(records, Ordering::AcqRel) == records {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing is in it.
    pub(super) async fn empty(&self) {
        loop {
            // Made before the look: it hears of what happens after.
            let emptied = self.emptied.notified();
            if self.records.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_bound_is_not_counted() {
        let queue = Queue::new(100);
        assert_eq!(queue.enter(2, 90), Ok(()));
        assert_eq!(queue.enter(1, 11), Err(90));
        assert_eq!(queue.size(), QueueSize { records: 2, bytes: 90 });
        assert_eq!(queue.enter(1, 10), Ok(()));
        queue.leave(3, 100);
        assert_eq!(queue.size(), QueueSize::default());
    }
}

//! One append's acknowledgement: a countdown of its records' delivery reports, and one answer.

use super::native::produce::KeepsValue;
use crate::log::{Acknowledgement, AppendError};
use bytes::Bytes;
use futures_util::FutureExt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Answer = Result<Vec<i64>, AppendError>;

/// An append that waits for its records.
pub(super) struct Pending {
    offsets: Vec<AtomicI64>,
    left: AtomicUsize,
    /// Gone when the answer was given.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// One record of an append, on its way through librdkafka.
pub(super) struct Slot {
    pub(super) pending: Arc<Pending>,
    /// Its place in the append.
    pub(super) index: usize,
    /// Its value, which librdkafka reads where it stands.
    pub(super) value: Bytes,
    /// Its share of the queue.
    pub(super) bytes: usize,
}

/// Starts the countdown of `records` (at least one).
pub(super) fn pending(topic: &str, records: usize) -> (Arc<Pending>, Acknowledgement) {
    let (answer, receiver) = oneshot::channel();
    let offsets = (0..records).map(|_| AtomicI64::new(-1)).collect();
    let (left, answer) = (AtomicUsize::new(records), Mutex::new(Some(answer)));
    let topic = topic.to_string();
    let acknowledgement = async move {
        let answer = receiver.await;
        answer.unwrap_or(Err(AppendError::Closed { topic }))
    };
    (Arc::new(Pending { offsets, left, answer }), acknowledgement.boxed())
}

impl Slot {
    /// The record is stored at `offset`.
    pub(super) fn stored(&self, offset: i64) {
        let Pending { offsets, left, .. } = &*self.pending;
        if let Some(place) = offsets.get(self.index) {
            place.store(offset, Ordering::Relaxed);
        }
        // The last one sees what all others stored before they counted down.
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let offsets = offsets.iter().map(|offset| offset.load(Ordering::Relaxed));
            self.pending.answer(Ok(offsets.collect()));
        }
    }

    /// The record was not acknowledged: nor is the append.
    pub(super) fn failed(&self, error: AppendError) {
        self.pending.answer(Err(error));
    }
}

impl KeepsValue for Box<Slot> {
    fn value(&self) -> &[u8] {
        &self.value
    }
}

impl Pending {
    fn answer(&self, answer: Answer) {
        if let Some(sender) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody may wait any more: the records are stored all the same.
            let _ = sender.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(pending: &Arc<Pending>, index: usize) -> Slot {
        Slot { pending: pending.clone(), index, value: Bytes::new(), bytes: 0 }
    }

    #[test]
    fn offsets_come_in_the_order_of_the_append() {
        let (pending, mut acknowledgement) = pending("t", 3);
        slot(&pending, 2).stored(30);
        slot(&pending, 0).stored(10);
        assert!(acknowledgement.as_mut().now_or_never().is_none());
        slot(&pending, 1).stored(20);
        assert_eq!(acknowledgement.now_or_never(), Some(Ok(vec![10, 20, 30])));
    }

    #[test]
    fn one_failed_record_fails_the_append_whatever_comes_later() {
        let (pending, acknowledgement) = pending("t", 2);
        let error = AppendError::Failed { topic: "t".into(), detail: "no".into() };
        slot(&pending, 1).failed(error.clone());
        slot(&pending, 0).stored(10);
        assert_eq!(acknowledgement.now_or_never(), Some(Err(error)));
    }

    #[test]
    fn records_that_vanish_with_their_producer_were_not_acknowledged() {
        let (pending, acknowledgement) = pending("t", 1);
        drop(pending);
        let closed = AppendError::Closed { topic: "t".into() };
        assert_eq!(acknowledgement.now_or_never(), Some(Err(closed)));
    }
}

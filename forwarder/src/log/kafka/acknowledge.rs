//! One append's acknowledgement: a countdown of its records' delivery reports, and one answer.

use super::queue::Queue;
use crate::log::{Acknowledgement, AppendError};
use futures_util::FutureExt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Answer = Result<Vec<i64>, AppendError>;

/// An append that waits for its records' reports. They leave the queue together, with the last of them.
pub(super) struct Pending {
    queue: Arc<Queue>,
    bytes: usize,
    offsets: Vec<AtomicI64>,
    left: AtomicUsize,
    /// Gone when the answer was given.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// Starts the countdown of `records` (at least one), which have entered the queue with so many bytes.
pub(super) fn pending(
    topic: &str,
    queue: Arc<Queue>,
    records: usize,
    bytes: usize,
) -> (Arc<Pending>, Acknowledgement) {
    let (answer, receiver) = oneshot::channel();
    let offsets = (0..records).map(|_| AtomicI64::new(-1)).collect();
    let (left, answer) = (AtomicUsize::new(records), Mutex::new(Some(answer)));
    let topic = topic.to_string();
    let acknowledgement = async move {
        let answer = receiver.await;
        answer.unwrap_or(Err(AppendError::Closed { topic }))
    };
    (Arc::new(Pending { queue, bytes, offsets, left, answer }), acknowledgement.boxed())
}

impl Pending {
    /// The record at this place of the append is stored at `offset`.
    pub(super) fn stored(&self, index: usize, offset: i64) {
        if let Some(place) = self.offsets.get(index) {
            place.store(offset, Ordering::Relaxed);
        }
        self.reported(1);
    }

    /// So many of its records were not acknowledged, or not handed over: nor is the append.
    pub(super) fn failed(&self, records: usize, error: AppendError) {
        self.answer(Err(error));
        self.reported(records);
    }

    /// The last one sees what all others stored before they counted down.
    fn reported(&self, records: usize) {
        if self.left.fetch_sub(records, Ordering::AcqRel) == records {
            let offsets = self.offsets.iter().map(|offset| offset.load(Ordering::Relaxed));
            self.answer(Ok(offsets.collect()));
            self.queue.leave(self.offsets.len(), self.bytes);
        }
    }

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
    use crate::log::QueueSize;

    const BYTES: usize = 70;

    /// An append of so many records, alone in the queue.
    fn append(records: usize) -> (Arc<Pending>, Acknowledgement, Arc<Queue>) {
        let queue = Arc::new(Queue::new(100));
        queue.enter(records, BYTES).unwrap();
        let (pending, acknowledgement) = pending("t", queue.clone(), records, BYTES);
        (pending, acknowledgement, queue)
    }

    #[test]
    fn offsets_come_in_the_order_of_the_append() {
        let (pending, mut acknowledgement, _) = append(3);
        pending.stored(2, 30);
        pending.stored(0, 10);
        assert!(acknowledgement.as_mut().now_or_never().is_none());
        pending.stored(1, 20);
        assert_eq!(acknowledgement.now_or_never(), Some(Ok(vec![10, 20, 30])));
    }

    #[test]
    fn one_failed_record_fails_the_append_whatever_comes_later() {
        let (pending, acknowledgement, _) = append(2);
        let error = AppendError::Failed { topic: "t".into(), detail: "no".into() };
        pending.failed(1, error.clone());
        pending.stored(1, 10);
        assert_eq!(acknowledgement.now_or_never(), Some(Err(error)));
    }

    #[test]
    fn records_leave_the_queue_with_the_last_of_them_stored_or_not() {
        let (pending, _, queue) = append(4);
        pending.stored(0, 10);
        let closed = AppendError::Closed { topic: "t".into() };
        pending.failed(1, closed.clone());
        assert_eq!(queue.size(), QueueSize { records: 4, bytes: BYTES });
        pending.failed(2, closed);
        assert_eq!(queue.size(), QueueSize::default());
    }

    #[test]
    fn records_that_vanish_with_their_producer_were_not_acknowledged() {
        let (pending, acknowledgement, _) = append(1);
        drop(pending);
        let closed = AppendError::Closed { topic: "t".into() };
        assert_eq!(acknowledgement.now_or_never(), Some(Err(closed)));
    }
}

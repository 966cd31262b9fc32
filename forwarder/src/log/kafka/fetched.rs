//! What the reader's thread hands to `next`: events without a bound (they are few), records bounded in bytes.
//! Events come before records: a revocation reaches the caller whatever is waiting, and no record comes before the
//! assignment of its partition, nor after its revocation.

use crate::log::{Event, LogError, StoredRecord};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The largest batch that one `next` gives, in records and bytes (one record may be larger).
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// Between the thread that fetches and the task that calls `next`.
pub(super) struct Fetched {
    limit: usize,
    inner: Mutex<Inner>,
    /// There is something for `next`.
    readable: Notify,
    /// There is room again, or waiting for it has no sense any more.
    room: Condvar,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    batches: VecDeque<Batch>,
    bytes: usize,
    failed: Option<LogError>,
    closed: bool,
}

#[derive(Default)]
struct Batch {
    records: Vec<StoredRecord>,
    bytes: usize,
}

impl Fetched {
    /// Records up to `limit` bytes, and always one.
    pub(super) fn new(limit: usize) -> Self {
        let inner = Mutex::default();
        Self { limit, inner, readable: Notify::new(), room: Condvar::new() }
    }

    /// Adds an event behind the others.
    pub(super) fn tell(&self, event: Event) {
        self.lock().events.push_back(event);
        self.readable.notify_one();
    }

    /// Adds a record behind the others. The caller tells `next` of it, once for several.
    pub(super) fn push(&self, record: StoredRecord) {
        let bytes = record.record.memory();
        let mut inner = self.lock();
        inner.bytes += bytes;
        let full = |batch: &Batch| {
            batch.records.len() >= BATCH_RECORDS || batch.bytes + bytes > BATCH_BYTES
        };
        if inner.batches.back().is_none_or(full) {
            inner.batches.push_back(Batch::default());
        }
        if let Some(batch) = inner.batches.back_mut() {
            batch.bytes += bytes;
            batch.records.push(record);
        }
    }

    /// There are records for `next`.
    pub(super) fn tell_of_records(&self) {
        self.readable.notify_one();
    }

    /// Whether it holds all that it may.
    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= self.limit
    }

    /// Drops the records of partitions that go.
    pub(super) fn forget(&self, partitions: &[u32]) {
        let mut inner = self.lock();
        for batch in &mut inner.batches {
            batch.records.retain(|record| !partitions.contains(&record.partition));
            batch.bytes = batch.records.iter().map(|record| record.record.memory()).sum();
        }
        inner.batches.retain(|batch| !batch.records.is_empty());
        inner.bytes = inner.batches.iter().map(|batch| batch.bytes).sum();
    }

    /// From now on `next` gives this error, after the events that came before.
    pub(super) fn fail(&self, error: LogError) {
        self.lock().failed = Some(error);
        self.readable.notify_one();
    }

    /// Nobody reads any more: waiting for room ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// Whether half of the room is free.
    pub(super) fn has_room(&self) -> bool {
        self.lock().bytes <= self.limit / 2
    }

    /// True at once when it is not full; else waits until half of it is free, or gives up after `patience`.
    pub(super) fn wait_for_room(&self, patience: Duration) -> bool {
        let inner = self.lock();
        if inner.bytes < self.limit.max(1) {
            return true;
        }
        let full = |inner: &mut Inner| inner.bytes > self.limit / 2 && !inner.closed;
        let waited = self.room.wait_timeout_while(inner, patience, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The next event; cancel safe, for one caller at a time.
    pub(super) async fn next(&self) -> Result<Event, LogError> {
        self.wait_for(Self::take).await
    }

    /// The next event that is not records; cancel safe, for one caller at a time.
    pub(super) async fn next_change(&self) -> Result<Event, LogError> {
        self.wait_for(|fetched| fetched.take_change(&mut fetched.lock())).await
    }

    async fn wait_for(
        &self,
        take: impl Fn(&Self) -> Option<Result<Event, LogError>>,
    ) -> Result<Event, LogError> {
        loop {
            let readable = self.readable.notified();
            if let Some(event) = take(self) {
                return event;
            }
            readable.await;
        }
    }

    fn take_change(&self, inner: &mut Inner) -> Option<Result<Event, LogError>> {
        if let Some(event) = inner.events.pop_front() {
            return Some(Ok(event));
        }
        inner.failed.clone().map(Err)
    }

    fn take(&self) -> Option<Result<Event, LogError>> {
        let mut inner = self.lock();
        if let Some(change) = self.take_change(&mut inner) {
            return Some(change);
        }
        let batch = inner.batches.pop_front()?;
        inner.bytes = inner.bytes.saturating_sub(batch.bytes);
        if inner.bytes <= self.limit / 2 {
            self.room.notify_all();
        }
        Some(Ok(Event::Records(batch.records)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Record;
    use futures_util::FutureExt;

    fn record(partition: u32, offset: i64) -> StoredRecord {
        let record = Record { value: vec![0; 10].into(), ..Record::default() };
        StoredRecord { partition, offset, timestamp_ms: 0, record }
    }

    /// Room for so many records.
    fn room_for(records: usize) -> Fetched {
        Fetched::new(records * record(0, 0).record.memory())
    }

    fn offsets(fetched: &Fetched) -> Vec<(u32, i64)> {
        match fetched.next().now_or_never() {
            Some(Ok(Event::Records(records))) => {
                records.iter().map(|r| (r.partition, r.offset)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_overtakes_the_records_that_wait() {
        let fetched = Fetched::new(1_000);
        fetched.push(record(0, 1));
        fetched.tell(Event::Lost(vec![7]));
        assert!(matches!(fetched.next().now_or_never(), Some(Ok(Event::Lost(_)))));
        assert_eq!(offsets(&fetched), [(0, 1)]);
        assert!(fetched.next().now_or_never().is_none());
    }

    #[test]
    fn records_of_partitions_that_go_are_forgotten_with_their_bytes() {
        let fetched = room_for(4);
        for offset in 0..2 {
            fetched.push(record(0, offset));
            fetched.push(record(1, offset));
        }
        assert!(!fetched.wait_for_room(Duration::ZERO));
        fetched.forget(&[1]);
        assert!(fetched.has_room());
        assert_eq!(offsets(&fetched), [(0, 0), (0, 1)]);
    }

    #[test]
    fn it_is_full_at_its_bound_and_has_room_at_half_of_it() {
        let fetched = room_for(2);
        assert!(fetched.wait_for_room(Duration::ZERO));
        fetched.push(record(0, 1));
        assert!(fetched.wait_for_room(Duration::ZERO));
        fetched.push(record(0, 2));
        assert!(!fetched.wait_for_room(Duration::ZERO));
        assert!(!fetched.has_room());
        assert_eq!(offsets(&fetched), [(0, 1), (0, 2)]);
        assert!(fetched.has_room() && fetched.wait_for_room(Duration::ZERO));
    }

    #[test]
    fn a_batch_ends_at_its_number_of_records() {
        let fetched = Fetched::new(1 << 20);
        for offset in 0..=BATCH_RECORDS as i64 {
            fetched.push(record(0, offset));
        }
        assert_eq!(offsets(&fetched).len(), BATCH_RECORDS);
        assert_eq!(offsets(&fetched), [(0, BATCH_RECORDS as i64)]);
    }

    #[test]
    fn an_error_comes_after_the_events_and_stays() {
        let fetched = Fetched::new(10);
        fetched.fail(LogError::NoTopic { topic: "t".into() });
        fetched.tell(Event::Lost(vec![]));
        assert!(matches!(fetched.next().now_or_never(), Some(Ok(Event::Lost(_)))));
        for _ in 0..2 {
            assert!(matches!(fetched.next().now_or_never(), Some(Err(LogError::NoTopic { .. }))));
        }
    }
}

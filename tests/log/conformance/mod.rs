//! The promises of the `Log` trait, each a function that any implementation must pass.
//! `conformance!(fixture)` makes one test of each; the fixture opens topics that nobody has used before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken promise is a failed test.

mod appending;
mod looking;
mod reading;

pub use appending::*;
pub use looking::*;
pub use reading::*;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use rand::Rng;
use spanferry::log::{
    AppendError, Assignment, Commit, Event, Log, LogSettings, Placed, Reader, Record, StoredRecord,
    TopicSettings,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a promise may take before it counts as broken: generous, for machines that are busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Opens logs of one kind.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A topic that was never used before.
    async fn fresh(&self, settings: LogSettings) -> Arc<dyn Log>;

    /// Closes `log`, the last handle on its topic, and opens the same topic anew.
    async fn reopen(&self, log: Arc<dyn Log>, settings: LogSettings) -> Arc<dyn Log>;
}

/// One `#[tokio::test]` for each promise. `$fixture` is evaluated in each test, may await, and gives an
/// `Option`: `None` ends the test (the one who answers it says why it is skipped).
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance!(@each $fixture;
            a_record_comes_back_byte_for_byte
            an_acknowledgement_names_the_offsets_that_are_read
            records_of_one_key_keep_their_order
            an_acknowledged_record_is_read_after_reopening
            a_dropped_acknowledgement_does_not_take_the_records_back
            a_new_group_starts_at_the_oldest_record
            a_group_resumes_at_its_committed_offset
            uncommitted_records_are_read_again
            metadata_comes_back_with_the_committed_offset
            a_commit_of_a_foreign_partition_is_skipped
            two_groups_read_independently
            a_waiting_reader_wakes_for_a_new_record
            a_dropped_next_loses_nothing
            an_append_above_the_queues_bound_is_refused_whole
            an_append_with_a_record_too_large_is_refused_whole
            flush_waits_for_every_acknowledgement
            the_queue_returns_to_zero
            lag_counts_what_is_not_committed
            the_number_of_partitions_stays
            concurrent_appenders_lose_nothing_and_keep_their_own_order
            a_small_fetch_bound_still_reads_everything
            a_sibling_topic_is_separate
            a_scan_gives_its_stretches_and_nothing_else
            a_group_is_looked_at_without_disturbing_it
            offsets_are_stored_for_a_group_without_readers
            recent_records_are_read_from_a_moment_on
            a_dropped_next_of_recent_records_loses_nothing
        );
    };
    (@each $fixture:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let Some(fixture) = $fixture else { return };
                $crate::log_conformance::$promise(&fixture).await;
            }
        )*
    };
}

/// Settings of the suite: a new topic of so many partitions.
pub fn settings(partitions: u32) -> LogSettings {
    let topic = TopicSettings { partitions, ..TopicSettings::default() };
    LogSettings { topic, ..LogSettings::default() }
}

/// A record whose value is this text.
pub fn text(partition: u32, value: impl Into<String>) -> Placed {
    let record = Record { value: Bytes::from(value.into()), ..Record::default() };
    Placed { partition, record }
}

/// The value as text.
pub fn value(record: &StoredRecord) -> String {
    String::from_utf8_lossy(&record.record.value).into_owned()
}

/// Appends and waits for the acknowledgement.
pub async fn store(log: &Arc<dyn Log>, records: Vec<Placed>) -> Vec<i64> {
    let acknowledged = log.append(records).expect("the append is taken");
    timeout(DEADLINE, acknowledged).await.expect("an answer in time").expect("acknowledged")
}

/// A member of a group with what it was assigned and what it has read.
pub struct Member {
    /// The reader.
    pub reader: Box<dyn Reader>,
    /// The last assignment of each partition.
    pub assigned: BTreeMap<u32, Assignment>,
    /// All records, as they came.
    pub records: Vec<StoredRecord>,
}

impl Member {
    /// Joins a group whose name begins with the topic's, so that no two tests share one.
    pub async fn join(log: &Arc<dyn Log>, group: &str) -> Self {
        let group = format!("{}-{group}", log.topic());
        let reader = timeout(DEADLINE, log.reader(&group)).await.expect("joined in time");
        Self { reader: reader.unwrap(), assigned: BTreeMap::new(), records: Vec::new() }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Assigned(all) => self.assigned.extend(all.into_iter().map(|a| (a.partition, a))),
            Event::Records(records) => {
                assert!(!records.is_empty(), "an event of records is never empty");
                for record in &records {
                    let partition = &record.partition;
                    assert!(self.assigned.contains_key(partition), "{partition} is not assigned");
                }
                self.records.extend(records);
            }
            Event::Revoked(revocation) => {
                self.assigned.retain(|p, _| !revocation.partitions.contains(p));
                let _ = revocation.done.send(Vec::new());
            }
            Event::Lost(partitions) => self.assigned.retain(|p, _| !partitions.contains(p)),
        }
    }

    /// Takes the next event, if there is one within the time.
    pub async fn poll(&mut self, wait: Duration) {
        if let Ok(event) = timeout(wait, self.reader.next()).await {
            self.take(event.expect("the reader reads"));
        }
    }

    /// Reads until `condition` holds; fails the test past the deadline.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(Instant::now() < end, "not in time: {what}; {} read", self.records.len());
            self.poll(Duration::from_millis(200)).await;
        }
    }

    /// Reads until so many records are there, and fails on one more.
    pub async fn read(&mut self, count: usize) -> &[StoredRecord] {
        self.until("records", |m| m.records.len() >= count).await;
        self.poll(Duration::from_millis(200)).await;
        assert_eq!(self.records.len(), count, "more records than were appended");
        &self.records
    }

    /// The values read in a partition, in order; their offsets must grow.
    pub fn values(&self, partition: u32) -> Vec<String> {
        let of_it: Vec<_> = self.records.iter().filter(|r| r.partition == partition).collect();
        assert!(of_it.windows(2).all(|w| w[0].offset < w[1].offset), "offsets grow");
        of_it.into_iter().map(value).collect()
    }

    /// Commits one offset, with a string beside it.
    pub async fn commit(&mut self, partition: u32, offset: i64, metadata: &str) {
        let commit = Commit { partition, offset, metadata: metadata.into() };
        timeout(DEADLINE, self.reader.commit(vec![commit])).await.expect("in time").unwrap();
    }

    /// Leaves the group.
    pub async fn leave(self) {
        timeout(DEADLINE, self.reader.close()).await.expect("left in time").unwrap();
    }

    fn waiting(&self) -> i64 {
        self.reader.lag().iter().map(|lag| lag.end - lag.committed).sum()
    }
}

fn numbered(partition: u32, prefix: &str, count: usize) -> Vec<Placed> {
    (0..count).map(|i| text(partition, format!("{prefix}{i}"))).collect()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

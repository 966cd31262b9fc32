//! The promises of the `Log` trait, each a function that any implementation must pass.
//! `conformance!(fixture)` makes one test of each; the fixture opens topics that nobody has used before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken promise is a failed test.

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

/// Key, headers (repeated names, empty and binary values, in order) and value are stored as given;
/// no key stays no key, and empty stays empty.
pub async fn a_record_comes_back_byte_for_byte(fixture: &impl Fixture) {
    let every_byte: Bytes = (0..=255u8).collect();
    let header = |name: &str, value: &[u8]| (name.to_string(), Bytes::copy_from_slice(value));
    let records = vec![
        Record {
            key: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            headers: vec![header("b", b"2"), header("a", &every_byte), header("b", b"")],
            value: every_byte.clone(),
        },
        Record { key: None, headers: Vec::new(), value: Bytes::from_static(b"no key") },
        Record { key: Some(Bytes::new()), headers: Vec::new(), value: Bytes::new() },
        Record { key: None, headers: vec![header("é", b"x")], value: vec![7; 200_000].into() },
    ];
    let log = fixture.fresh(settings(1)).await;
    let placed = records.iter().map(|r| Placed { partition: 0, record: r.clone() }).collect();
    store(&log, placed).await;
    let mut member = Member::join(&log, "a").await;
    let read: Vec<_> = member.read(4).await.iter().map(|r| r.record.clone()).collect();
    assert_eq!(read, records);
    assert!(member.records.iter().all(|r| r.timestamp_ms > 1_600_000_000_000));
    member.leave().await;
}

/// The offsets of an acknowledgement stand in the order of the append, whatever their partitions.
pub async fn an_acknowledgement_names_the_offsets_that_are_read(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(3)).await;
    let records: Vec<_> = (0..30).map(|i| text(i % 3, format!("{i}"))).collect();
    let offsets = store(&log, records.clone()).await;
    let mut member = Member::join(&log, "a").await;
    member.read(30).await;
    for (placed, offset) in records.iter().zip(&offsets) {
        let found = member
            .records
            .iter()
            .find(|r| r.partition == placed.partition && r.offset == *offset)
            .expect("the offset is read");
        assert_eq!(found.record, placed.record);
    }
    assert_eq!(offsets.len(), records.len());
    member.leave().await;
}

/// Appends that follow each other keep their order in each partition, waiting or not.
pub async fn records_of_one_key_keep_their_order(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    let appends = (0..200).flat_map(|i| {
        let log = &log;
        (0..2).map(move |p| {
            log.append(vec![text(p, format!("p{}", 2 * i)), text(p, format!("p{}", 2 * i + 1))])
        })
    });
    let acknowledged: Vec<_> = appends.map(|a| a.expect("taken")).collect();
    let mut member = Member::join(&log, "a").await;
    member.read(800).await;
    assert_eq!(member.values(0), names("p", 400));
    assert_eq!(member.values(1), names("p", 400));
    assert!(join_all(acknowledged).await.iter().all(Result::is_ok));
    member.leave().await;
}

/// What was acknowledged is there when the log is opened anew, and appends go on behind it.
pub async fn an_acknowledged_record_is_read_after_reopening(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 50)).await;
    let log = fixture.reopen(log, settings(1)).await;
    store(&log, vec![text(0, "r50")]).await;
    let mut member = Member::join(&log, "a").await;
    member.read(51).await;
    assert_eq!(member.values(0), names("r", 51));
    member.leave().await;
}

/// Nobody needs to wait for an acknowledgement for the records to be stored.
pub async fn a_dropped_acknowledgement_does_not_take_the_records_back(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    drop(log.append(numbered(0, "r", 5)).unwrap());
    let mut member = Member::join(&log, "a").await;
    member.read(5).await;
    assert_eq!(member.values(0), names("r", 5));
    member.leave().await;
}

/// A group that never committed is given all partitions without a committed offset, and everything held.
pub async fn a_new_group_starts_at_the_oldest_record(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(4)).await;
    store(&log, (0..4).flat_map(|p| numbered(p, "r", 3)).collect()).await;
    let mut member = Member::join(&log, "late").await;
    member.read(12).await;
    assert_eq!(member.assigned.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(member.assigned.values().all(|a| a.committed.is_none() && a.metadata.is_empty()));
    for partition in 0..4 {
        assert_eq!(member.values(partition), names("r", 3));
    }
    member.leave().await;
}

/// A group goes on at its committed offset, in this process and after the log was opened anew.
pub async fn a_group_resumes_at_its_committed_offset(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 10)).await;
    let mut member = Member::join(&log, "a").await;
    let fourth = member.read(10).await[4].offset;
    member.commit(0, fourth, "").await;
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(6).await[0]), "r4");
    assert_eq!(member.assigned[&0].committed, Some(fourth));
    let seventh = member.records[3].offset;
    member.commit(0, seventh, "").await;
    member.leave().await;
    let log = fixture.reopen(log, settings(1)).await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(3).await[0]), "r7");
    member.leave().await;
}

/// What was read and not committed comes again.
pub async fn uncommitted_records_are_read_again(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 5)).await;
    for _ in 0..2 {
        let mut member = Member::join(&log, "a").await;
        member.read(5).await;
        assert_eq!(member.values(0), names("r", 5));
        member.leave().await;
    }
}

/// The string of a commit stands in the next assignment, as long as a broker allows by default.
pub async fn metadata_comes_back_with_the_committed_offset(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    store(&log, vec![text(0, "a"), text(1, "b")]).await;
    let long = "m".repeat(4_000);
    let mut member = Member::join(&log, "a").await;
    member.read(2).await;
    let end = member.records.iter().find(|r| r.partition == 1).unwrap().offset + 1;
    member.commit(1, end, "first").await;
    member.commit(1, end, &long).await;
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    member.until("two assignments", |m| m.assigned.len() == 2).await;
    assert_eq!(member.assigned[&1].metadata, long);
    assert_eq!(member.assigned[&0].metadata, "");
    member.leave().await;
}

/// A commit for a partition that this reader has not got changes nothing and fails nothing.
pub async fn a_commit_of_a_foreign_partition_is_skipped(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 2)).await;
    let mut member = Member::join(&log, "a").await;
    let second = member.read(2).await[1].offset;
    let own = Commit { partition: 0, offset: second, metadata: String::new() };
    let foreign = Commit { partition: 77, ..own.clone() };
    member.reader.commit(vec![foreign, own]).await.unwrap();
    member.leave().await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(1).await[0]), "r1");
    member.leave().await;
}

/// One group's reading and committing is nothing to another.
pub async fn two_groups_read_independently(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    store(&log, numbered(0, "r", 6)).await;
    let mut a = Member::join(&log, "a").await;
    let mut b = Member::join(&log, "b").await;
    let end = a.read(6).await[5].offset + 1;
    a.commit(0, end, "a's").await;
    b.read(6).await;
    assert_eq!(a.values(0), b.values(0));
    assert!(b.assigned[&0].committed.is_none());
    a.leave().await;
    b.leave().await;
    let mut b = Member::join(&log, "b").await;
    b.read(6).await;
    b.leave().await;
}

/// A reader at the end waits, and gets what comes without being asked again.
pub async fn a_waiting_reader_wakes_for_a_new_record(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    let mut member = Member::join(&log, "a").await;
    member.until("assigned", |m| !m.assigned.is_empty()).await;
    for round in 0..3 {
        let next = timeout(DEADLINE, member.reader.next());
        let later = async {
            sleep(Duration::from_millis(50)).await;
            store(&log, vec![text(0, format!("r{round}"))]).await;
        };
        let (event, ()) = tokio::join!(next, later);
        member.take(event.expect("woken in time").unwrap());
    }
    member.until("records", |m| m.records.len() == 3).await;
    assert_eq!(member.values(0), names("r", 3));
    member.leave().await;
}

/// `next` is cancel safe: calls given up at any moment lose no event and no record.
pub async fn a_dropped_next_loses_nothing(fixture: &impl Fixture) {
    const COUNT: usize = 500;
    let log = fixture.fresh(LogSettings { fetch_ahead_bytes: 1_000, ..settings(1) }).await;
    let appender = tokio::spawn({
        let log = log.clone();
        async move {
            for i in 0..COUNT {
                store(&log, vec![text(0, format!("r{i}"))]).await;
            }
        }
    });
    let mut member = Member::join(&log, "a").await;
    let end = Instant::now() + DEADLINE;
    while member.records.len() < COUNT {
        assert!(Instant::now() < end, "only {} of {COUNT} came", member.records.len());
        let wait = rand::rng().random_range(0..2_000);
        member.poll(Duration::from_micros(wait)).await;
    }
    appender.await.unwrap();
    member.read(COUNT).await;
    assert_eq!(member.values(0), names("r", COUNT));
    member.leave().await;
}

/// `Full`: none of the records is taken, nothing stays in the queue, and the log goes on.
pub async fn an_append_above_the_queues_bound_is_refused_whole(fixture: &impl Fixture) {
    let log = fixture.fresh(LogSettings { queue_bytes: 10_000, ..settings(2) }).await;
    let many = (0..20).map(|i| text(i % 2, "x".repeat(1_000))).collect();
    let Err(AppendError::Full { limit, .. }) = log.append(many) else { panic!("it was taken") };
    assert_eq!(limit, 10_000);
    assert_eq!(log.queue().records, 0);
    store(&log, vec![text(0, "after"), text(1, "after")]).await;
    let mut member = Member::join(&log, "a").await;
    assert!(member.read(2).await.iter().all(|r| value(r) == "after"));
    member.leave().await;
}

/// `TooLarge`: the good records beside the large one are not taken either.
pub async fn an_append_with_a_record_too_large_is_refused_whole(fixture: &impl Fixture) {
    let topic = TopicSettings { max_record_bytes: 10_000, ..settings(1).topic };
    let log = fixture.fresh(LogSettings { topic, ..settings(1) }).await;
    let records = vec![text(0, "small"), text(0, "x".repeat(20_000)), text(0, "small")];
    let error = log.append(records).err().expect("refused");
    assert!(matches!(error, AppendError::TooLarge { limit: 10_000, .. }), "{error:?}");
    assert_eq!(log.queue().records, 0);
    store(&log, vec![text(0, "after")]).await;
    let mut member = Member::join(&log, "a").await;
    assert_eq!(value(&member.read(1).await[0]), "after");
    member.leave().await;
}

/// When `flush` is through, every acknowledgement of before is there to be had.
pub async fn flush_waits_for_every_acknowledgement(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    let waiting: Vec<_> =
        (0..50).map(|i| log.append(vec![text(i % 2, format!("{i}"))]).unwrap()).collect();
    timeout(DEADLINE, log.flush()).await.expect("flushed in time").unwrap();
    for acknowledgement in waiting {
        assert!(matches!(acknowledgement.now_or_never(), Some(Ok(offsets)) if offsets.len() == 1));
    }
    timeout(DEADLINE, log.flush()).await.expect("an idle log is flushed at once").unwrap();
}

/// The queue counts bytes of keys, headers and values, and is empty when all is acknowledged.
pub async fn the_queue_returns_to_zero(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(1)).await;
    for _ in 0..5 {
        store(&log, numbered(0, "r", 100)).await;
        let end = Instant::now() + DEADLINE;
        while log.queue() != spanferry::log::QueueSize::default() {
            assert!(Instant::now() < end, "still {:?}", log.queue());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Lag counts from the committed offset to the log's end, whether or not records were read.
pub async fn lag_counts_what_is_not_committed(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    store(&log, numbered(0, "r", 10)).await;
    let mut member = Member::join(&log, "a").await;
    let fourth = member.read(10).await[4].offset;
    member.until("a lag of 10", |m| m.waiting() == 10).await;
    member.commit(0, fourth, "").await;
    member.until("a lag of 6", |m| m.waiting() == 6).await;
    store(&log, numbered(1, "r", 2)).await;
    member.until("a lag of 8", |m| m.waiting() == 8).await;
    let mut partitions: Vec<_> = member.reader.lag().iter().map(|l| l.partition).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    member.leave().await;
}

/// A topic that exists keeps its number of partitions, whatever the settings say.
pub async fn the_number_of_partitions_stays(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(3)).await;
    assert_eq!(timeout(DEADLINE, log.partitions()).await.unwrap().unwrap(), 3);
    store(&log, vec![text(2, "r")]).await;
    let log = fixture.reopen(log, settings(5)).await;
    assert_eq!(timeout(DEADLINE, log.partitions()).await.unwrap().unwrap(), 3);
}

/// Many tasks append at once to the same partitions: all is read once, each task's records in its order.
pub async fn concurrent_appenders_lose_nothing_and_keep_their_own_order(fixture: &impl Fixture) {
    const TASKS: u32 = 8;
    const APPENDS: usize = 50;
    let log = fixture.fresh(settings(3)).await;
    let tasks = (0..TASKS).map(|task| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            for i in 0..APPENDS {
                let name = |n| format!("{task}/{n}");
                let pair = vec![text(task % 3, name(2 * i)), text(task % 3, name(2 * i + 1))];
                waiting.push(log.append(pair).expect("taken"));
                tokio::task::yield_now().await;
            }
            assert!(join_all(waiting).await.iter().all(Result::is_ok));
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let mut member = Member::join(&log, "a").await;
    member.read(TASKS as usize * APPENDS * 2).await;
    for task in 0..TASKS {
        let prefix = format!("{task}/");
        let mut own = member.values(task % 3);
        own.retain(|v| v.starts_with(&prefix));
        assert_eq!(own, names(&prefix, 2 * APPENDS));
    }
    member.leave().await;
}

/// A record larger than what is fetched ahead is read all the same.
pub async fn a_small_fetch_bound_still_reads_everything(fixture: &impl Fixture) {
    let log = fixture.fresh(LogSettings { fetch_ahead_bytes: 10_000, ..settings(2) }).await;
    for i in 0..10 {
        let large = format!("{i:>50000}");
        store(&log, vec![text(0, large), text(1, format!("{i}"))]).await;
    }
    let mut member = Member::join(&log, "a").await;
    member.read(20).await;
    let trimmed: Vec<_> = member.values(0).iter().map(|v| v.trim().to_string()).collect();
    assert_eq!(trimmed, names("", 10));
    assert_eq!(member.values(1), names("", 10));
    member.leave().await;
}

/// Another topic of the same cluster or directory has its own records, partitions and groups.
pub async fn a_sibling_topic_is_separate(fixture: &impl Fixture) {
    let log = fixture.fresh(settings(2)).await;
    let name = format!("{}.dlq", log.topic());
    let dlq = log.sibling(&name, &settings(1).topic).unwrap();
    assert_eq!(dlq.topic(), name);
    assert_eq!(timeout(DEADLINE, dlq.partitions()).await.unwrap().unwrap(), 1);
    store(&log, vec![text(0, "trace")]).await;
    store(&dlq, vec![text(0, "dead")]).await;
    let mut traces = Member::join(&log, "a").await;
    let mut dead = Member::join(&dlq, "a").await;
    let end = traces.read(1).await[0].offset + 1;
    traces.commit(0, end, "").await;
    assert_eq!(value(&traces.records[0]), "trace");
    assert_eq!(value(&dead.read(1).await[0]), "dead");
    assert_eq!(timeout(DEADLINE, log.partitions()).await.unwrap().unwrap(), 2);
    traces.leave().await;
    dead.leave().await;
}

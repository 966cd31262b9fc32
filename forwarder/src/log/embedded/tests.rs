//! What a log in a directory does beyond the promises of every log: bounds, faults of the disk, one owner.

use super::faults::{Disk, Hands};
use super::{EmbeddedLog, Waiting, set_file_aside};
use crate::log::{
    AppendError, Assignment, Commit, Event, Log, LogError, LogSettings, Placed, Reader, Record,
    Retention, StoredRecord, TopicSettings,
};
use bytes::Bytes;
use redb::{Database, TableDefinition};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

mod damage;

const DEADLINE: Duration = Duration::from_secs(30);

fn settings(retention: Retention) -> LogSettings {
    let topic = TopicSettings { partitions: 2, retention, ..TopicSettings::default() };
    LogSettings { topic, ..LogSettings::default() }
}

fn unbounded() -> LogSettings {
    settings(Retention { age: None, bytes: None })
}

struct Held {
    directory: TempDir,
    hands: Hands,
    settings: LogSettings,
}

impl Held {
    fn new(settings: LogSettings) -> Self {
        Self { directory: TempDir::new().unwrap(), hands: Hands::default(), settings }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn open(&self) -> Result<Arc<EmbeddedLog>, LogError> {
        let surroundings = self.hands.surroundings();
        EmbeddedLog::open_in(self.path(), "traces", &self.settings, weigh, surroundings)
    }
}

/// A record weighs what its value is long.
fn weigh(record: &Record) -> u64 {
    record.value.len() as u64
}

fn record(partition: u32, value: impl Into<Bytes>) -> Placed {
    Placed { partition, record: Record { value: value.into(), ..Record::default() } }
}

async fn store(log: &EmbeddedLog, records: Vec<Placed>) -> Result<Vec<i64>, AppendError> {
    timeout(DEADLINE, log.append(records)?).await.expect("an answer in time")
}

async fn join(log: &EmbeddedLog, group: &str) -> (Box<dyn Reader>, Vec<Assignment>) {
    let mut reader = log.reader(group).await.unwrap();
    let Event::Assigned(assigned) = reader.next().await.unwrap() else { panic!("not assigned") };
    (reader, assigned)
}

async fn read(reader: &mut Box<dyn Reader>, count: usize) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let event = timeout(DEADLINE, reader.next()).await.expect("read in time").unwrap();
        let Event::Records(more) = event else { panic!("{event:?}") };
        records.extend(more);
    }
    assert_eq!(records.len(), count);
    records
}

async fn commit(reader: &mut Box<dyn Reader>, partition: u32, offset: i64) {
    let metadata = String::new();
    reader.commit(vec![Commit { partition, offset, metadata }]).await.unwrap();
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    let sibling = log.sibling("traces.dlq", &held.settings.topic).unwrap();
    drop(log);
    let error = held.open().unwrap_err();
    assert_eq!(error, LogError::InUse { path: held.path().display().to_string() });
    drop(sibling);
    held.open().unwrap();
}

#[tokio::test]
async fn a_reader_keeps_the_directory_open() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    let (reader, _) = join(&log, "a").await;
    drop(log);
    assert!(matches!(held.open(), Err(LogError::InUse { .. })));
    reader.close().await.unwrap();
    held.open().unwrap();
}

#[tokio::test]
async fn a_group_has_one_reader_until_it_is_closed_or_dropped() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    let reader = log.reader("a").await.unwrap();
    let error = log.reader("a").await.err().expect("the place is taken");
    assert_eq!(error, LogError::GroupInUse { group: "a".into(), topic: "traces".into() });
    let other = log.reader("b").await.unwrap();
    drop(reader);
    log.reader("a").await.unwrap().close().await.unwrap();
    log.reader("a").await.unwrap();
    drop(other);
}

#[tokio::test]
async fn settings_that_make_no_topic_are_named() {
    let topic = TopicSettings { create: false, ..TopicSettings::default() };
    let held = Held::new(LogSettings { topic, ..LogSettings::default() });
    assert_eq!(held.open().unwrap_err(), LogError::NoTopic { topic: "traces".into() });
    let topic = TopicSettings { partitions: 0, ..TopicSettings::default() };
    let held = Held::new(LogSettings { topic, ..LogSettings::default() });
    let error = held.open().unwrap_err().to_string();
    assert_eq!(error, "partitions=0: a topic has 1 to 10000");
}

#[tokio::test]
async fn an_append_to_a_missing_partition_is_refused_whole() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    let error = log.append(vec![record(0, "good"), record(2, "bad")]).err().unwrap();
    assert!(error.to_string().contains("no partition 2, only 2"), "{error}");
    assert_eq!(store(&log, vec![record(0, "next")]).await.unwrap(), [0]);
}

#[tokio::test]
async fn a_commit_beyond_the_end_is_refused() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a")]).await.unwrap();
    let (mut reader, _) = join(&log, "a").await;
    let beyond = Commit { partition: 0, offset: 2, metadata: String::new() };
    let error = reader.commit(vec![beyond]).await.unwrap_err().to_string();
    assert!(error.contains("offset 2 is not in the log, which ends at 1"), "{error}");
    commit(&mut reader, 0, 1).await;
}

#[tokio::test]
async fn what_all_groups_committed_goes_and_offsets_go_on_after_it() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a"), record(0, "b"), record(1, "c")]).await.unwrap();
    let (mut first, _) = join(&log, "first").await;
    let (second, _) = join(&log, "second").await;
    commit(&mut first, 0, 2).await;
    commit(&mut first, 1, 1).await;
    assert!(log.counters().stored_bytes > 0, "the second group has committed nothing");
    second.close().await.unwrap();
    first.close().await.unwrap();
    drop(log);
    let log = held.open().unwrap();
    let (mut second, _) = join(&log, "second").await;
    read(&mut second, 3).await;
    commit(&mut second, 0, 2).await;
    commit(&mut second, 1, 1).await;
    log.flush().await.unwrap();
    assert_eq!(log.counters().stored_bytes, 0);
    second.close().await.unwrap();
    drop(log);
    let log = held.open().unwrap();
    assert_eq!(store(&log, vec![record(0, "d"), record(1, "e")]).await.unwrap(), [2, 1]);
    let (mut third, assigned) = join(&log, "third").await;
    assert_eq!(assigned.iter().map(|a| a.log_start).collect::<Vec<_>>(), [Some(2), Some(1)]);
    read(&mut third, 2).await;
    assert_eq!(log.counters().expired_unread_records, 0);
}

#[tokio::test]
async fn above_its_bound_in_bytes_the_log_refuses_and_keeps_what_is_unread() {
    for with_group in [true, false] {
        let held = Held::new(settings(Retention { age: None, bytes: Some(1_000_000) }));
        let log = held.open().unwrap();
        if with_group {
            log.reader("a").await.unwrap().close().await.unwrap();
        }
        let mut stored = 0;
        let error = loop {
            match store(&log, vec![record(0, vec![1; 50_000])]).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AppendError::Full { limit: 1_000_000, .. }), "{error:?}");
        assert!((10..20).contains(&stored), "{stored} records of 50,000 bytes");
        drop(log);
        let log = held.open().unwrap();
        assert!(log.append(vec![record(0, vec![1; 50_000])]).is_err(), "full after reopening");
        let (mut reader, _) = join(&log, "a").await;
        let last = read(&mut reader, stored).await[stored - 1].offset;
        commit(&mut reader, 0, last + 1).await;
        store(&log, vec![record(0, vec![1; 50_000])]).await.expect("there is room again");
        assert_eq!(log.counters().expired_unread_records, 0);
    }
}

#[tokio::test]
async fn what_grew_too_old_goes_and_is_counted_when_it_was_unread() {
    let age = Duration::from_secs(60);
    let held = Held::new(settings(Retention { age: Some(age), bytes: None }));
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a"), record(0, "b")]).await.unwrap();
    let (mut reader, _) = join(&log, "a").await;
    commit(&mut reader, 0, 1).await;
    reader.close().await.unwrap();
    held.hands.advance_ms(60_000);
    log.flush().await.unwrap();
    assert_eq!(log.counters().expired_unread_records, 0, "as old as is kept");
    store(&log, vec![record(0, "c")]).await.unwrap();
    held.hands.advance_ms(1);
    log.flush().await.unwrap();
    assert_eq!(log.counters().expired_unread_records, 1, "b, but not a");
    let (mut reader, assigned) = join(&log, "a").await;
    assert_eq!((assigned[0].committed, assigned[0].log_start), (Some(1), Some(2)));
    assert_eq!(read(&mut reader, 1).await[0].record.value, "c");
}

#[tokio::test]
async fn a_reader_passes_over_what_expired_before_its_eyes() {
    let held = Held::new(settings(Retention { age: Some(Duration::ZERO), bytes: None }));
    let log = held.open().unwrap();
    let (mut reader, _) = join(&log, "a").await;
    store(&log, vec![record(0, "a")]).await.unwrap();
    held.hands.advance_ms(1);
    log.flush().await.unwrap();
    store(&log, vec![record(0, "b")]).await.unwrap();
    assert_eq!(read(&mut reader, 1).await[0].record.value, "b");
}

#[tokio::test]
async fn a_sibling_opened_twice_is_one_topic() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    let one = log.sibling("dlq", &held.settings.topic).unwrap();
    let two = log.sibling("dlq", &held.settings.topic).unwrap();
    let first = one.append(vec![record(0, "a")]).unwrap();
    let second = two.append(vec![record(0, "b")]).unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (vec![0], vec![1]));
    let _reader = one.reader("g").await.unwrap();
    assert!(two.reader("g").await.is_err(), "one group");
}

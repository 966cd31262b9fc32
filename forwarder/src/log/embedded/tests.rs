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
async fn a_full_disk_fails_what_waits_and_what_is_behind_it_and_then_the_log_goes_on() {
    for (disk, words) in [(Disk::Full, "No space left"), (Disk::FailsToSync, "Input/output error")]
    {
        let held = Held::new(unbounded());
        let log = held.open().unwrap();
        store(&log, vec![record(0, "before")]).await.unwrap();
        let (mut reader, _) = join(&log, "a").await;
        read(&mut reader, 1).await;
        held.hands.disk(disk);
        let five = (0..5).map(|_| record(0, vec![1; 200_000])).collect();
        let error = store(&log, five).await.unwrap_err().to_string();
        assert!(error.starts_with("topic traces: not stored, send again: "), "{error}");
        assert!(error.contains(words), "{error}");
        let behind = store(&log, vec![record(1, "x")]).await.unwrap_err().to_string();
        assert!(behind.contains("before these"), "whoever numbers records begins anew: {behind}");
        let error = store(&log, vec![record(1, "x")]).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(log.queue().bytes, 0);
        assert_eq!(log.counters().failed_records, 6);
        held.hands.disk(Disk::Works);
        assert!(store(&log, vec![record(0, "behind")]).await.is_err());
        store(&log, vec![record(0, "after"), record(1, "after")]).await.unwrap();
        let seen = read(&mut reader, 2).await;
        assert!(seen.iter().all(|r| r.record.value == "after"), "nothing half-stored is read");
        commit(&mut reader, 0, seen[0].offset.max(seen[1].offset) + 1).await;
        reader.close().await.unwrap();
        drop(log);
        let log = held.open().unwrap();
        let (mut reader, _) = join(&log, "b").await;
        // What the one known group had committed went with its commit; the other partition's holds its block.
        let values: Vec<_> =
            read(&mut reader, 2).await.into_iter().map(|r| r.record.value).collect();
        assert_eq!(values, ["after", "after"]);
    }
}

#[tokio::test]
async fn a_failed_commit_of_offsets_is_told_and_holds_nothing() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a")]).await.unwrap();
    let (mut reader, _) = join(&log, "a").await;
    held.hands.disk(Disk::Full);
    let one = Commit { partition: 0, offset: 1, metadata: "m".into() };
    let error = reader.commit(vec![one]).await.unwrap_err().to_string();
    assert!(error.contains("commit of group a in topic traces is out of reach"), "{error}");
    held.hands.disk(Disk::Works);
    log.flush().await.unwrap();
    assert_eq!(reader.lag()[0].committed, 0);
    reader.close().await.unwrap();
    let (_, assigned) = join(&log, "a").await;
    assert_eq!(assigned[0].committed, None);
}

#[tokio::test]
async fn a_reader_waits_out_a_disk_that_cannot_be_read() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    // More than the database keeps in memory.
    for _ in 0..20 {
        store(&log, vec![record(0, vec![1; 990_000])]).await.unwrap();
    }
    drop(log);
    let log = held.open().unwrap();
    let (mut reader, _) = join(&log, "a").await;
    held.hands.disk(Disk::FailsToRead);
    // What the database has in memory still comes; then it waits.
    let mut early = 0;
    while let Ok(event) = timeout(Duration::from_millis(700), reader.next()).await {
        let Event::Records(records) = event.unwrap() else { panic!("no records") };
        early += records.len();
    }
    assert!(early < 20, "it never waited");
    held.hands.disk(Disk::Works);
    // The database is shut since the failed read; the writer opens it anew.
    let _ = store(&log, vec![record(1, "next")]).await.unwrap();
    read(&mut reader, 21 - early).await;
}

#[tokio::test]
async fn a_file_whose_making_was_cut_off_is_made_again() {
    let held = Held::new(unbounded());
    let half = held.path().join("log.new");
    fs::write(&half, vec![0; 100]).unwrap();
    let log = held.open().unwrap();
    assert_eq!(log.partitions().await, Ok(2));
    assert!(!half.exists() && held.path().join("log.redb").exists());
}

#[tokio::test]
async fn a_file_that_is_no_log_is_named_and_left_alone() {
    for garbage in [b"not a database at all".repeat(1_000), vec![0; 100], vec![0xff; 1 << 20]] {
        let held = Held::new(unbounded());
        let file = held.path().join("log.redb");
        fs::write(&file, &garbage).unwrap();
        let error = held.open().unwrap_err();
        assert!(matches!(error, LogError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("log.redb is damaged"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), garbage);
    }
}

#[tokio::test]
async fn a_newer_layout_is_not_read() {
    let held = Held::new(unbounded());
    drop(held.open().unwrap());
    let database = Database::open(held.path().join("log.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let format = TableDefinition::<&str, u64>::new("format");
    write.open_table(format).unwrap().insert("version", 3).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = held.open().unwrap_err().to_string();
    assert!(error.contains("layout Some(3), and this program knows 2"), "{error}");
}

#[tokio::test]
async fn a_file_cut_short_never_panics_and_never_invents() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    for i in 0..40 {
        store(&log, vec![record(0, vec![i; 60_000])]).await.unwrap();
    }
    drop(log);
    let file = held.path().join("log.redb");
    let len = fs::metadata(&file).unwrap().len();
    fs::File::options().write(true).open(&file).unwrap().set_len(len / 2).unwrap();
    let error = held.open().unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_block_is_passed_over_with_its_count_and_the_rest_is_served() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a"), record(0, "b")]).await.unwrap();
    store(&log, vec![record(0, "c")]).await.unwrap();
    drop(log);
    let database = Database::open(held.path().join("log.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let blocks = TableDefinition::<u64, &[u8]>::new("blocks.traces");
    write.open_table(blocks).unwrap().insert(0, [1, 2, 3, 4].repeat(5).as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    let log = held.open().unwrap();
    // However often it is met, it is counted once.
    for _ in 0..2 {
        let (mut reader, _) = join(&log, "a").await;
        assert_eq!(read(&mut reader, 1).await[0].record.value, "c");
        let counters = log.counters();
        assert_eq!((counters.damaged_records, counters.damaged_weight), (2, 2));
        assert!(counters.damaged_bytes > 0);
    }
    let kept = fs::read(held.path().join("set-aside/traces-0.block")).unwrap();
    assert_eq!(kept, [1, 2, 3, 4].repeat(5));
}

#[tokio::test]
async fn a_block_that_is_gone_is_counted_as_a_damaged_one() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a"), record(1, "bb")]).await.unwrap();
    store(&log, vec![record(0, "c")]).await.unwrap();
    drop(log);
    let database = Database::open(held.path().join("log.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let blocks = TableDefinition::<u64, &[u8]>::new("blocks.traces");
    write.open_table(blocks).unwrap().remove(0).unwrap();
    write.commit().unwrap();
    drop(database);
    let log = held.open().unwrap();
    assert_eq!(log.waiting("a").unwrap(), Waiting { records: 3, weight: 4 });
    let (mut reader, _) = join(&log, "a").await;
    assert_eq!(read(&mut reader, 1).await[0].record.value, "c");
    let counters = log.counters();
    assert_eq!((counters.damaged_records, counters.damaged_weight), (2, 3));
}

#[tokio::test]
async fn what_waits_is_known_before_anything_is_read() {
    let held = Held::new(unbounded());
    let log = held.open().unwrap();
    store(&log, vec![record(0, "a"), record(0, "bb"), record(1, "ccc")]).await.unwrap();
    let (mut reader, _) = join(&log, "a").await;
    commit(&mut reader, 0, 1).await;
    assert_eq!(log.waiting("a").unwrap(), Waiting { records: 2, weight: 5 });
    assert_eq!(log.waiting("nobody").unwrap(), Waiting { records: 3, weight: 6 });
    reader.close().await.unwrap();
    drop(log);
    assert_eq!(held.open().unwrap().waiting("a").unwrap(), Waiting { records: 2, weight: 5 });
}

#[tokio::test]
async fn a_file_that_is_no_log_can_be_set_aside_and_a_new_one_begins() {
    let held = Held::new(unbounded());
    fs::write(held.path().join("log.redb"), b"not a database at all").unwrap();
    assert!(matches!(held.open(), Err(LogError::Damaged { .. })));
    let (kept, bytes) = set_file_aside(held.path()).unwrap();
    assert_eq!((fs::read(kept).unwrap().len(), bytes), (21, 21));
    store(&held.open().unwrap(), vec![record(0, "a")]).await.unwrap();
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

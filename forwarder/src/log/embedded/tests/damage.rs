//! What a log in a directory does when its disk fails, or when what is on it is not what was written.

use super::*;

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
async fn it_is_writable_as_the_last_write_was_and_tries_anew_when_it_is_asked() {
    for (disk, words) in [(Disk::Full, "No space left"), (Disk::FailsToSync, "Input/output error")]
    {
        let held = Held::new(unbounded());
        let log = held.open().unwrap();
        store(&log, vec![record(0, "before")]).await.unwrap();
        held.hands.disk(disk);
        log.writable().await.expect("nobody has written since");
        store(&log, vec![record(0, "lost")]).await.unwrap_err();
        log.flush().await.unwrap();
        for _ in 0..2 {
            let error = log.writable().await.unwrap_err().to_string();
            assert!(error.contains("log.redb") && error.contains(words), "{error}");
        }
        assert!(store(&log, vec![record(0, "x")]).await.is_err());
        held.hands.disk(Disk::Works);
        log.writable().await.unwrap();
        store(&log, vec![record(0, "after")]).await.unwrap();
        let (mut reader, _) = join(&log, "a").await;
        let seen: Vec<_> = read(&mut reader, 2).await.into_iter().map(|r| r.record.value).collect();
        assert_eq!(seen, ["before", "after"]);
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

//! What one who appends is promised.

use super::*;
use spanferry::log::Headers;

/// Key, headers (repeated names, empty and binary values, in order) and value are stored as given;
/// no key stays no key, and empty stays empty.
pub async fn a_record_comes_back_byte_for_byte(fixture: &impl Fixture) {
    let every_byte: Bytes = (0..=255u8).collect();
    let header = |name: &'static str, value: &[u8]| (name.into(), Bytes::copy_from_slice(value));
    let records = vec![
        Record {
            key: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            headers: vec![header("b", b"2"), header("a", &every_byte), header("b", b"")].into(),
            value: every_byte.clone(),
        },
        Record { key: None, headers: Headers::new(), value: Bytes::from_static(b"no key") },
        Record { key: Some(Bytes::new()), headers: Headers::new(), value: Bytes::new() },
        Record { key: None, headers: [header("é", b"x")].into(), value: vec![7; 200_000].into() },
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

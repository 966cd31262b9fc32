//! What comes twice, and what does not come: repeats, restarts, and losses that the totals tell.

use super::*;
use crate::ledger::{Kept, Stamp};
use crate::log::{Assignment, Log, Placed, Record, StoredRecord};

#[tokio::test(start_paused = true)]
async fn what_was_delivered_beyond_the_commit_is_not_sent_again_by_the_next_reader() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["slow", "a", "b"].map(value));
    rig.until("the others are delivered", |rig| rig.taken() == ["a", "b"]).await;
    rig.until("they are committed", |rig| !rig.log.metadata(0).is_empty()).await;
    let (committed, metadata) = (rig.log.committed(0), rig.log.metadata(0));
    assert_eq!(committed, Some(0));

    let next = Rig::start(single());
    next.fake.is_slow.send_replace(false);
    let assignment = Assignment { partition: 0, committed, metadata, log_start: Some(0) };
    next.log.tell(Event::Assigned(vec![assignment]));
    next.log.tell_records(0, 0, ["slow", "a", "b", "c"].map(value));
    next.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
    assert_eq!(next.taken(), ["c", "slow"]);
    assert_eq!(next.metrics.suppressed_records.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_filters_batch_that_was_written_twice_is_delivered_once() {
    let rig = Rig::start(Settings::default());
    let records = [0, 1].map(|offset| read(offset, of_a_filter(7, "a")));
    rig.log.assign(0);
    rig.log.tell(Event::Records(records.into()));
    rig.until("both are committed", |rig| rig.log.committed(0) == Some(2)).await;
    assert_eq!(rig.taken(), ["a"]);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.suppressed_spans()), (1, 1));
}

/// A record of a filter's batch, with one span of this name.
fn of_a_filter(sequence: u64, name: &str) -> Record {
    let stamp = Stamp { source: b"vm".to_vec(), sequence, ..Stamp::default() };
    Record { headers: stamp.headers(), value: value(name), ..Record::default() }
}

fn read(offset: i64, record: Record) -> StoredRecord {
    StoredRecord { partition: 0, offset, timestamp_ms: 1, record }
}

/// A reader that is given a partition in which one before it has settled the first two records, with this string; then the
/// first comes again, and a new one.
async fn second_reader(metadata: String) -> Rig {
    let rig = Rig::start(Settings::default());
    let written = [of_a_filter(1, "1"), of_a_filter(2, "2")];
    let placed = written.map(|record| Placed { partition: 0, record });
    rig.log.append(placed.into()).unwrap().await.unwrap();
    let assignment = Assignment { committed: Some(2), metadata, ..Assignment::default() };
    rig.log.tell(Event::Assigned(vec![assignment]));
    rig.log.tell(Event::Records(vec![read(2, of_a_filter(1, "1")), read(3, of_a_filter(3, "3"))]));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
    rig
}

#[tokio::test(start_paused = true)]
async fn what_another_reader_delivered_is_not_delivered_again_when_it_is_written_again() {
    let rig = second_reader(Kept::default().encode(2)).await;
    assert_eq!(rig.taken(), ["3"]);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.suppressed_spans()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_passed_over_by_hand_is_delivered_when_it_is_written_again() {
    let rig = second_reader(String::new()).await;
    assert_eq!(rig.taken(), ["1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_looked_at_costs_no_record() {
    let rig = Rig::start(Settings::default());
    rig.log.set(Mood::Away);
    let (committed, metadata) = (Some(2), Kept::default().encode(2));
    let assignment = Assignment { committed, metadata, ..Assignment::default() };
    rig.log.tell(Event::Assigned(vec![assignment]));
    rig.log.tell(Event::Records(vec![read(2, of_a_filter(1, "1"))]));
    rig.until("it is committed", |rig| rig.log.committed(0) == Some(3)).await;
    assert_eq!(rig.taken(), ["1"]);
}

/// Records as one writer numbers them, one span each, in a partition of their own.
fn written(totals: impl IntoIterator<Item = u64>) -> Vec<StoredRecord> {
    let record = |total: u64| {
        let stamp = Stamp {
            writer: vec![7; 16],
            total_records: total,
            total_spans: total,
            spans: 1,
            ..Stamp::default()
        };
        let headers = stamp.headers();
        let record = Record { headers, value: value(&format!("{total}")), ..Record::default() };
        StoredRecord { partition: 0, offset: total as i64 - 1, timestamp_ms: 1, record }
    };
    totals.into_iter().map(record).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_from_the_log_is_a_loss_with_its_number() {
    let rig = Rig::start(Settings::default());
    let assignment = Assignment { log_start: Some(0), ..Assignment::default() };
    rig.log.tell(Event::Assigned(vec![assignment]));
    rig.log.tell(Event::Records(written([1, 2, 5, 6])));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(6)).await;
    assert_eq!((rig.metrics.lost_records.get(), rig.metrics.lost_spans.get()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_loss_between_two_readers_is_found_by_the_second() {
    let first = Rig::start(Settings::default());
    first
        .log
        .tell(Event::Assigned(vec![Assignment { log_start: Some(0), ..Assignment::default() }]));
    first.log.tell(Event::Records(written(1..=3)));
    first.until("all is committed", |rig| rig.log.committed(0) == Some(3)).await;
    let (committed, metadata) = (first.log.committed(0), first.log.metadata(0));

    let second = Rig::start(Settings::default());
    let assignment =
        Assignment { committed, metadata, log_start: Some(5), ..Assignment::default() };
    second.log.tell(Event::Assigned(vec![assignment]));
    second.log.tell(Event::Records(written(6..=8)));
    second.until("all is committed", |rig| rig.log.committed(0) == Some(8)).await;
    assert_eq!((second.metrics.lost_records.get(), second.metrics.lost_spans.get()), (2, 2));
    assert_eq!(second.metrics.overrun_records.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_again_after_a_restart_is_no_loss() {
    let first = Rig::start(single());
    first.fake.is_away.send_replace(true);
    first
        .log
        .tell(Event::Assigned(vec![Assignment { log_start: Some(0), ..Assignment::default() }]));
    first.log.tell(Event::Records(written(1..=3)));
    first.until("it was tried", |rig| *rig.fake.tries.borrow() > 0).await;
    let (log, _) = first.end().await;
    let (committed, metadata) = (log.committed(0), log.metadata(0));

    let second = Rig::start(single());
    let assignment =
        Assignment { committed, metadata, log_start: Some(0), ..Assignment::default() };
    second.log.tell(Event::Assigned(vec![assignment]));
    second.log.tell(Event::Records(written(1..=4)));
    second.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
    assert_eq!(second.metrics.lost_records.get(), 0);
}

//! Fresh records overtake a backlog: each is delivered once, whoever reads it first, and the account knows nothing of it.

use super::*;
use crate::ledger::{Fate, Kept, Stamp};
use crate::log::double::records;
use crate::log::{Assignment, Record, StoredRecord};

/// A partition whose first record is slow, so that a backlog waits, and whose reader has read so far.
async fn with_a_backlog(settings: Settings) -> Rig {
    let rig = Rig::start(settings);
    rig.log.tell(Event::Assigned(vec![Assignment { log_start: Some(0), ..Assignment::default() }]));
    rig.log.tell_records(0, 0, ["slow"].map(value));
    rig.until("fresh records are read", |rig| !rig.log.asked_since().is_empty()).await;
    rig
}

fn metadata(rig: &Rig) -> Kept {
    Kept::decode(rig.log.committed(0).unwrap_or_default(), &rig.log.metadata(0))
}

/// What the last commit knows beyond its offset: first offset, and one past the last.
fn ahead(rig: &Rig) -> Vec<(i64, i64)> {
    metadata(rig).ahead.runs.iter().map(|run| (run.start, run.end)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fresh_record_overtakes_and_is_not_sent_again_when_its_turn_comes() {
    let rig = with_a_backlog(single()).await;
    rig.log.tell_recent(records(0, 100, ["fresh"].map(value)));
    rig.until("it overtakes", |rig| rig.taken() == ["fresh"]).await;
    rig.until("the commit knows it", |rig| ahead(rig) == [(100, 101)]).await;
    assert_eq!(rig.log.committed(0), Some(0));

    rig.fake.is_slow.send_replace(false);
    rig.log.tell_records(0, 1, (1..100).map(|i| value(&format!("{i}"))));
    rig.log.tell_records(0, 100, ["fresh", "next"].map(value));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(102)).await;
    assert_eq!(rig.taken().len(), 102, "each once");
    assert_eq!(rig.metrics.fresh_settled_records.get(), 1);
    assert_eq!(rig.metrics.suppressed_records.get(), 0, "nobody repeated anything");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_record_in_flight_is_not_sent_by_the_reader_that_comes_to_it() {
    let rig = with_a_backlog(single()).await;
    rig.log.tell_recent(records(0, 2, ["slow"].map(value)));
    rig.until("both are tried", |rig| *rig.fake.tries.borrow() == 2).await;
    rig.log.tell_records(0, 1, ["a", "slow", "b"].map(value));
    rig.until("the others are delivered", |rig| rig.taken() == ["a", "b"]).await;
    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(4)).await;
    assert_eq!(rig.taken(), ["a", "b", "slow", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_record_that_the_reader_in_order_meets_overtakes_what_it_has_read() {
    let rig = with_a_backlog(Settings { requests_in_flight: 2, ..single() }).await;
    let fresh = |offset, name| StoredRecord {
        timestamp_ms: i64::MAX,
        ..records(0, offset, [value(name)]).remove(0)
    };
    rig.log.tell_records(0, 1, (1..100).map(|i| value(&format!("{i}"))));
    rig.log.tell(Event::Records(vec![fresh(100, "fresh")]));
    rig.log.tell_recent(vec![fresh(100, "fresh")]);
    rig.until("it overtakes", |rig| rig.taken() == ["fresh"]).await;
    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(101)).await;
    assert_eq!(rig.taken().len(), 101, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_record_overtakes_a_partition_of_which_nothing_was_read_yet() {
    let rig = with_a_backlog(single()).await;
    let assignment = Assignment { partition: 1, log_start: Some(40), ..Assignment::default() };
    rig.log.tell(Event::Assigned(vec![assignment]));
    rig.until("it is read too", |rig| rig.log.asked_since().len() == 2).await;
    rig.log.tell_recent(records(1, 100, ["fresh"].map(value)));
    rig.until("a commit knows it", |rig| rig.log.committed(1) == Some(40)).await;
    let kept = Kept::decode(40, &rig.log.metadata(1));
    assert_eq!((kept.ahead.runs.len(), kept.ahead.fate(100)), (1, Some(Fate::Delivered)));
}

#[tokio::test(start_paused = true)]
async fn what_overtook_is_known_to_the_next_reader() {
    let rig = with_a_backlog(single()).await;
    rig.log.tell_recent(records(0, 2, ["fresh", "poison"].map(value)));
    rig.until("the commit knows them", |rig| ahead(rig) == [(2, 4)]).await;
    let (committed, metadata) = (rig.log.committed(0), rig.log.metadata(0));
    assert_eq!(rig.letters.records().len(), 1);

    // It commits before it has read so far, and still knows.
    let next = Rig::start(single());
    let assignment = Assignment { partition: 0, committed, metadata, log_start: Some(0) };
    next.log.tell(Event::Assigned(vec![assignment]));
    next.log.tell_records(0, 0, ["slow", "a"].map(value));
    next.until("a commit", |rig| !rig.log.metadata(0).is_empty()).await;
    assert_eq!(ahead(&next), [(1, 4)]);
    next.fake.is_slow.send_replace(false);
    next.log.tell_records(0, 2, ["fresh", "poison", "b"].map(value));
    next.until("all is committed", |rig| rig.log.committed(0) == Some(5)).await;
    assert_eq!(next.taken(), ["a", "b", "slow"]);
    assert_eq!(next.letters.records().len(), 0);
    let totals = super::fresh::metadata(&next).account.totals;
    assert_eq!((totals.accepted, totals.delivered, totals.dead_lettered), (5, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn fresh_records_are_not_read_without_a_backlog_nor_when_they_have_no_share() {
    let rig = Rig::start(single());
    rig.log.assign(0);
    let now = |value| StoredRecord { timestamp_ms: i64::MAX, ..records(0, 0, [value]).remove(0) };
    rig.log.tell(Event::Records(vec![now(value("slow"))]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.log.asked_since().is_empty(), "it is not old");

    let rig = Rig::start(Settings { fresh_share: 0, ..single() });
    rig.log.assign(0);
    rig.log.tell_records(0, 0, ["slow"].map(value));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.log.asked_since().is_empty(), "they have no share");
}

#[tokio::test(start_paused = true)]
async fn fresh_records_above_their_share_are_left_to_their_turn_and_none_is_lost() {
    let rig = with_a_backlog(single()).await;
    rig.log.tell_recent(records(0, 1, (1..=40).map(|_| value("slow"))));
    rig.until("their share is in flight", |rig| *rig.fake.tries.borrow() == 8).await;
    // The reader in order comes to half of them.
    rig.log.tell_records(0, 1, (1..=20).map(|_| value("slow")));
    rig.until("they are let go", |rig| rig.metrics.fresh_let_go_records.get() == 20).await;
    assert_eq!(rig.log.asked_since().len(), 2, "and newer ones go on");
    assert_eq!(rig.metrics.fresh_held_bytes.get() as usize, 7 * held("slow"));
    rig.fake.is_slow.send_replace(false);
    rig.log.tell_records(0, 21, (21..=40).map(|_| value("slow")));
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(41)).await;
    assert_eq!(rig.taken().len(), 41, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_a_commit_has_no_room_for_does_not_overtake() {
    let rig = with_a_backlog(single()).await;
    for offset in (100..3_000).step_by(2) {
        rig.log.tell_recent(records(0, offset, ["fresh"].map(value)));
        tokio::time::sleep(Duration::from_millis(offset as u64 % 5)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let kept = metadata(&rig);
    assert!((100..1_450).contains(&rig.taken().len()), "{}", rig.taken().len());
    assert_eq!(kept.ahead.runs.len(), rig.taken().len(), "a commit knows each");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_written_twice_is_delivered_once_whichever_is_read_first() {
    let rig = with_a_backlog(single()).await;
    let stamp = Stamp { source: b"vm".to_vec(), sequence: 7, ..Stamp::default() };
    let headers = stamp.headers();
    let record = Record { headers, value: value("a"), ..Record::default() };
    let stored =
        |offset| StoredRecord { partition: 0, offset, timestamp_ms: 1, record: record.clone() };
    rig.log.tell_recent(vec![stored(3)]);
    rig.until("it overtakes", |rig| rig.taken() == ["a"]).await;
    rig.log.tell(Event::Records(vec![stored(1), stored(2), stored(3), stored(4)]));
    rig.fake.is_slow.send_replace(false);
    rig.until("all is committed", |rig| rig.log.committed(0) == Some(5)).await;
    assert_eq!(rig.taken(), ["a", "slow"]);
    assert_eq!((rig.metrics.sent_spans(), rig.metrics.suppressed_spans()), (2, 3));
}

/// The copy in flight is neither passed by a commit nor lost with the one that it stands for.
#[tokio::test(start_paused = true)]
async fn a_repeat_of_a_record_on_its_way_is_settled_with_it() {
    let stamp = Stamp { source: b"vm".to_vec(), sequence: 7, ..Stamp::default() };
    let headers = stamp.headers();
    let record = Record { headers, value: value("slow"), ..Record::default() };
    let stored =
        |offset| StoredRecord { partition: 0, offset, timestamp_ms: 1, record: record.clone() };
    let rig = with_a_backlog(single()).await;
    rig.log.tell_recent(vec![stored(9)]);
    rig.until("both are tried", |rig| *rig.fake.tries.borrow() == 2).await;
    rig.log.tell(Event::Records(vec![stored(1)]));
    rig.log.tell_records(0, 2, ["a"].map(value));
    rig.until("what is behind it is settled", |rig| ahead(rig) == [(2, 3)]).await;
    let (committed, metadata) = (rig.log.committed(0), rig.log.metadata(0));

    let next = Rig::start(single());
    next.fake.is_slow.send_replace(false);
    let assignment = Assignment { partition: 0, committed, metadata, log_start: Some(0) };
    next.log.tell(Event::Assigned(vec![assignment]));
    next.log.tell_records(0, 0, ["slow"].map(value));
    next.log.tell(Event::Records(vec![stored(1), stored(9)]));
    next.until("all is committed", |rig| rig.log.committed(0) == Some(10)).await;
    assert_eq!(next.taken(), ["slow", "slow"], "the first of all, and one of the copies");

    rig.fake.is_slow.send_replace(false);
    rig.until("both copies are settled", |rig| rig.log.committed(0) == Some(3)).await;
    assert_eq!(rig.taken(), ["a", "slow", "slow"]);
}

//! A bridge with a spool, over real sockets: what its senders see while the log is away.

use super::hasty;
use super::rig::{PROTOBUF, Rig, request};
use crate::bridge::Settings;
use crate::bridge::metrics::Because;
use crate::log::double::{Double, Mood};
use std::time::Duration;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);
const ROOM: u64 = 64 << 20;

async fn rig(settings: Settings, log: &std::sync::Arc<Double>, spool: &TempDir, bytes: u64) -> Rig {
    Rig::start_with_spool(settings, log.clone(), &spool.path().join("spool"), bytes).await
}

/// Waits until batches go to the log.
async fn direct(rig: &Rig) {
    let wait = async {
        while rig.metrics.spool.is_in_use.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the direct way");
}

fn refused(rig: &Rig, reason: &'static str) -> u64 {
    rig.metrics.refused_requests.get_or_create(&Because { reason }).get()
}

#[tokio::test]
async fn senders_are_answered_200_while_the_log_is_away_and_the_sum_holds() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    log.set(Mood::Away);
    let rig = rig(Settings::default(), &log, &spool, ROOM).await;
    for _ in 0..10 {
        assert_eq!(rig.post(&[PROTOBUF], request(&[1, 2])).await.status, 200);
    }
    let metrics = &rig.metrics;
    assert_eq!((metrics.accepted_spans(), metrics.written_spans.get()), (20, 0));
    assert_eq!(metrics.spool.waiting_spans.get(), 20);
    assert_eq!(metrics.bytes_in_flight.get(), 0, "a batch on the disk takes no room");
    log.set(Mood::Good);
    direct(&rig).await;
    assert_eq!((metrics.accepted_spans(), metrics.written_spans.get()), (20, 20));
    assert_eq!((metrics.sent_records.get(), log.records().len()), (20, 20));
}

#[tokio::test]
async fn a_full_spool_is_a_503_with_retry_after_and_a_reason() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    log.set(Mood::Away);
    let rig = rig(Settings::default(), &log, &spool, 1).await;
    let answer = rig.post(&[PROTOBUF], request(&[1])).await;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")));
    assert!(answer.message().contains("the spool is full"), "{}", answer.message());
    assert_eq!((refused(&rig, "spool_full"), rig.metrics.accepted_spans()), (1, 0));
}

#[tokio::test]
async fn a_batch_that_comes_again_out_of_a_full_spool_is_written_once() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    let rig = rig(hasty(), &log, &spool, 1).await;
    direct(&rig).await;
    log.set(Mood::Hanging);
    // The log has it, and the spool has no room for it: its sender is to come again.
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 503);
    log.set(Mood::Good);
    assert_eq!(rig.post(&[PROTOBUF], request(&[1])).await.status, 200);
    assert_eq!(log.records().len(), 1);
}

#[tokio::test]
async fn a_filters_batch_that_comes_again_is_known_in_the_spool_too() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    log.set(Mood::Away);
    let rig = rig(Settings::default(), &log, &spool, ROOM).await;
    let headers = [PROTOBUF, ("x-spanferry-source", "vm"), ("x-spanferry-sequence", "1")];
    for _ in 0..3 {
        assert_eq!(rig.post(&headers, request(&[1])).await.status, 200);
    }
    assert_eq!(rig.metrics.spool.waiting_records.get(), 1);
}

#[tokio::test]
async fn spans_without_a_trace_id_are_told_and_not_kept() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    log.set(Mood::Away);
    let rig = rig(Settings::default(), &log, &spool, ROOM).await;
    assert_eq!(rig.post(&[PROTOBUF], request(&[0])).await.status, 400);
    assert_eq!(rig.post(&[PROTOBUF], request(&[0, 1])).await.status, 200);
    assert_eq!(rig.metrics.spool.waiting_spans.get(), 1);
    log.set(Mood::Good);
    direct(&rig).await;
    assert_eq!((rig.metrics.written_spans.get(), rig.metrics.rejected_spans.get()), (1, 2));
}

#[tokio::test]
async fn an_end_with_the_log_away_is_a_good_end() {
    let (log, spool) = (Double::new("traces", 8), TempDir::new().unwrap());
    let first = rig(Settings::default(), &log, &spool, ROOM).await;
    direct(&first).await;
    log.set(Mood::Hanging);
    assert_eq!(first.post(&[PROTOBUF], request(&[1])).await.status, 200);
    first.shutdown.cancel();
    tokio::time::timeout(DEADLINE, first.task).await.unwrap().unwrap().unwrap();
    // Its batch is with the log as well, which is not there to say so.
    let second = rig(Settings::default(), &log, &spool, ROOM).await;
    assert_eq!(second.metrics.spool.waiting_spans.get(), 1);
}

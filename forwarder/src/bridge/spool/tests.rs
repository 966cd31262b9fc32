//! What the spool promises, with a log that does as it is told and a disk that fails on command.

mod damage;
mod model;
mod shared;
mod speed;
mod stage;

use super::switch::Way;
use crate::admin::Ready;
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Sender;
use crate::log::LogError;
use crate::log::double::{Double, Mood};
use crate::log::embedded::faults::Disk;
use stage::{Stage, Written, body, stamp};
use std::fs;
use std::time::Duration;

/// What a trace's spans carry, in the order given.
fn of_trace(written: &[Written], trace: u8) -> Vec<u64> {
    written.iter().filter(|span| span.trace == trace).map(|span| span.number).collect()
}

#[tokio::test]
async fn with_the_log_away_from_the_start_batches_are_safe_and_come_in_order_when_it_is_there() {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    for number in 0..50 {
        stage.running().send(number, &[1, number as u8 + 10]).await.unwrap();
    }
    assert!(stage.log.records().is_empty());
    assert_eq!(stage.running().waiting(), (50, 100));
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), (0..50).collect::<Vec<_>>());
    assert_eq!(stage.written().len(), 100);
    let metrics = &stage.running().metrics;
    assert_eq!((metrics.written_spans.get(), metrics.spool.drained_spans.get()), (100, 100));
    let stamps: Vec<_> = stage.log.records().iter().map(stamp).collect();
    assert!(stamps.iter().all(|stamp| stamp.received_unix_ms == 77 && stamp.parts == 2));
    assert!(stamps.iter().all(|stamp| stamp.writer == stamps[0].writer));
}

#[tokio::test]
async fn with_an_empty_spool_batches_go_to_the_log_and_the_disk_sees_none() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.running().send(1, &[1]).await.unwrap();
    assert_eq!((stage.written().len(), stage.running().metrics.spool.spooled_spans.get()), (1, 0));
}

#[tokio::test]
async fn a_log_that_hangs_costs_the_first_batch_a_moment_and_the_next_ones_none() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Hanging);
    for number in 0..10 {
        stage.running().send(number, &[1]).await.unwrap();
    }
    assert_eq!(stage.running().way(), Way::Spool);
    stage.log.set(Mood::Good);
    stage.drained().await;
    // The first one was with the log when the way changed, and is not written again.
    assert_eq!(of_trace(&stage.written(), 1), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn batches_that_a_failing_log_may_have_written_are_written_again_under_their_numbers() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Failing);
    for number in 0..5 {
        stage.running().send(number, &[1, 2]).await.unwrap();
    }
    stage.log.set(Mood::Good);
    stage.drained().await;
    let delivered = stage.delivered();
    assert!(stage.written().len() > delivered.len(), "some were written twice");
    assert_eq!(of_trace(&delivered, 1), (0..5).collect::<Vec<_>>());
    assert_eq!(of_trace(&delivered, 2), (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_log_is_one_that_is_away() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Full);
    stage.running().send(1, &[1]).await.unwrap();
    stage.running().send(2, &[1]).await.unwrap();
    assert_eq!(stage.running().waiting(), (2, 2));
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), [1, 2]);
}

#[tokio::test]
async fn a_filters_number_stays_and_others_have_one_of_the_bridge() {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    let filter = Sender { source: "vm-1".into(), sequence: 9, dropped: 4 };
    stage.running().send_as(filter, body(1, &[1], 0)).await.unwrap();
    stage.running().send(2, &[1]).await.unwrap();
    stage.log.set(Mood::Good);
    stage.drained().await;
    stage.running().send(3, &[1]).await.unwrap();
    let stamps: Vec<_> = stage.log.records().iter().map(stamp).collect();
    assert_eq!(
        (&stamps[0].source[..], stamps[0].sequence, stamps[0].dropped),
        (&b"vm-1"[..], 9, 4)
    );
    assert!(stamps[1].source.starts_with(b"bridge/"));
    assert_eq!((stamps[1].sequence, stamps[2].sequence), (1, 2));
    assert_eq!(stamps[1].source, stamps[2].source);
}

#[tokio::test]
async fn a_full_spool_refuses_and_loses_nothing_and_there_is_room_when_it_has_drained() {
    let mut stage = Stage::new();
    stage.settings.bytes = 1 << 20;
    stage.log.set(Mood::Away);
    stage.start().await;
    let mut accepted = Vec::new();
    let refusal = loop {
        let number = accepted.len() as u64;
        match stage.running().send_as(Sender::default(), body(number, &[1], 30_000)).await {
            Ok(()) => accepted.push(number),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, Refusal::SpoolFull(_)), "{refusal}");
    assert_eq!((refusal.status().as_u16(), refusal.is_retryable()), (503, true));
    let bytes = stage.running().metrics.spool.waiting_bytes.get();
    assert!(accepted.len() > 5 && (500_000..=1 << 20).contains(&bytes), "{bytes} bytes");
    let not_ready = stage.running().spool.ready().await.unwrap_err();
    assert!(not_ready.contains("takes no more") && not_ready.contains("full"), "{not_ready}");
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), accepted);
    stage.running().spool.ready().await.unwrap();
    stage.log.set(Mood::Full);
    stage.running().send(9, &[1]).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_the_log_has_is_answered_by_it_when_the_spool_is_full() {
    let mut stage = Stage::new();
    stage.settings.bytes = 1;
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Hanging);
    let sent = tokio::join!(stage.running().send(1, &[1]), async {
        tokio::time::sleep(stage.settings.after * 3).await;
        stage.log.set(Mood::Good);
    });
    sent.0.unwrap();
    assert_eq!(stage.written().len(), 1);
}

#[tokio::test]
async fn it_is_ready_while_it_takes_batches_and_says_what_waits() {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    stage.running().send(1, &[1, 2, 3]).await.unwrap();
    let spool = &stage.running().spool;
    spool.ready().await.unwrap();
    let note = spool.note().unwrap();
    assert!(note.contains("3 spans in 1 batches"), "{note}");
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(stage.running().spool.note(), None);
}

#[tokio::test]
async fn a_disk_that_fails_refuses_with_its_words_and_goes_on_when_it_works() {
    for (disk, words) in [
        (Disk::Full, "No space left"),
        (Disk::FailsToSync, "Input/output error"),
        (Disk::ReadOnly, "Read-only file system"),
    ] {
        let mut stage = Stage::new();
        stage.log.set(Mood::Away);
        stage.start().await;
        stage.running().send(1, &[1]).await.unwrap();
        stage.hands.disk(disk);
        let refusal = stage.running().send(2, &[1]).await.unwrap_err();
        assert!(
            matches!(&refusal, Refusal::SpoolFailed(said) if said.contains(words)),
            "{refusal}"
        );
        assert_eq!((refusal.status().as_u16(), refusal.is_retryable()), (503, true));
        assert_eq!(stage.running().waiting(), (1, 1));
        stage.hands.disk(Disk::Works);
        while stage.running().send(3, &[1]).await.is_err() {}
        stage.log.set(Mood::Good);
        stage.drained().await;
        assert_eq!(of_trace(&stage.written(), 1), [1, 3]);
    }
}

#[tokio::test]
async fn it_is_not_ready_while_its_disk_fails_and_sees_by_itself_that_the_disk_works() {
    for (disk, words) in [(Disk::Full, "No space left"), (Disk::FailsToSync, "Input/output error")]
    {
        let mut stage = Stage::new();
        stage.log.set(Mood::Away);
        stage.start().await;
        stage.hands.disk(disk);
        let spool = &stage.running().spool;
        spool.ready().await.expect("nothing was written yet");
        stage.running().send(1, &[1]).await.unwrap_err();
        for _ in 0..2 {
            let not_ready = spool.ready().await.unwrap_err();
            assert!(
                not_ready.contains("takes no more") && not_ready.contains(words),
                "{not_ready}"
            );
        }
        // Who is not ready is sent nothing: no batch may be needed.
        stage.hands.disk(Disk::Works);
        spool.ready().await.unwrap();
        while stage.running().send(2, &[1]).await.is_err() {}
        spool.ready().await.unwrap();
    }
}

#[tokio::test]
async fn a_way_that_changed_for_a_batch_that_no_place_took_changes_back() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.hands.disk(Disk::Full);
    stage.log.set(Mood::Failing);
    stage.running().send(1, &[1]).await.unwrap_err();
    assert_eq!(stage.running().way(), Way::Spool);
    stage.hands.disk(Disk::Works);
    stage.log.set(Mood::Good);
    stage.drained().await;
}

#[tokio::test]
async fn a_directory_has_one_owner_and_a_path_that_is_none_is_named() {
    let mut stage = Stage::new();
    stage.start().await;
    let error = stage.open().err().unwrap();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    let file = stage.settings.path.join("file");
    fs::write(&file, "").unwrap();
    stage.settings.path = file.join("spool");
    let error = stage.open().err().unwrap().to_string();
    assert!(error.contains("a log cannot be kept here"), "{error}");
}

#[tokio::test]
async fn what_waits_is_known_after_a_kill_and_nothing_of_it_is_lost() {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    for number in 0..20 {
        stage.running().send(number, &[1, 2]).await.unwrap();
    }
    stage.kill().await;
    assert_eq!(stage.running().waiting(), (20, 40));
    stage.running().send(20, &[1, 2]).await.unwrap();
    stage.log.set(Mood::Good);
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), (0..21).collect::<Vec<_>>());
    assert_eq!(stage.running().metrics.spool.lost_spans.get(), 0);
}

#[tokio::test]
async fn an_end_with_the_log_away_keeps_all_for_the_next_start() {
    let mut stage = Stage::new();
    stage.start().await;
    stage.drained().await;
    stage.log.set(Mood::Hanging);
    let (first, second) =
        tokio::join!(stage.running().send(1, &[1]), stage.running().send(2, &[1]));
    assert!(first.is_ok() && second.is_ok());
    stage.stop().await;
    stage.log.set(Mood::Good);
    stage.start().await;
    stage.drained().await;
    let mut delivered = of_trace(&stage.delivered(), 1);
    delivered.sort_unstable();
    assert_eq!(delivered, [1, 2]);
}

#[tokio::test]
async fn a_batch_that_can_never_be_written_is_kept_beside_and_the_rest_goes_on() {
    let mut stage = Stage::on(Double::with_limit("traces", 4, 4_000));
    stage.letters = Double::with_limit("traces.dlq", 1, 100_000);
    stage.log.set(Mood::Away);
    stage.start().await;
    let too_large = body(0, &[1], 100_000);
    let refusal = stage.running().send_as(Sender::default(), too_large.clone()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::SpanTooLarge(_)), "{refusal}");
    stage.running().send_as(Sender::default(), body(1, &[1], 50_000)).await.unwrap();
    stage.running().send(2, &[1]).await.unwrap();
    stage.stop().await;
    // Meanwhile the dead letters' topic takes less than it did.
    stage.letters = Double::with_limit("traces.dlq", 1, 10_000);
    stage.letters.refuse_above_the_limit();
    stage.log.set(Mood::Good);
    stage.start().await;
    stage.drained().await;
    assert_eq!(of_trace(&stage.written(), 1), [2]);
    let metrics = &stage.running().metrics.spool;
    assert_eq!((metrics.set_aside_records.get(), metrics.drained_records.get()), (1, 1));
    let kept = fs::read(stage.settings.path.join("set-aside/entry-0.otlp")).unwrap();
    assert_eq!(kept, body(1, &[1], 50_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_direct_way_opens_again_and_no_batch_overtakes_another() {
    let mut stage = Stage::new();
    stage.log.set(Mood::Away);
    stage.start().await;
    let send = async |trace: u8| {
        for number in 0.. {
            stage.running().send(number, &[trace]).await.unwrap();
            if stage.running().way() == Way::Direct {
                return number;
            }
        }
        0
    };
    let good = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stage.log.set(Mood::Good);
    };
    let (a, b, c, d, ()) = tokio::join!(send(1), send(2), send(3), send(4), good);
    stage.drained().await;
    for (trace, last) in [(1, a), (2, b), (3, c), (4, d)] {
        assert_eq!(of_trace(&stage.written(), trace), (0..=last).collect::<Vec<_>>());
    }
}

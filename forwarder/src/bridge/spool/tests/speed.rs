//! How fast the spool is here: `cargo test --release -p spanferry --lib spool::tests::speed -- --ignored --nocapture`.

use super::super::switch::Way;
use super::stage::{Stage, body};
use crate::bridge::repeats::Sender;
use crate::log::double::Mood;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SECONDS: u64 = 6;
/// A span as large as those of real services.
const PADDING: usize = 300;

/// Sends batches from so many senders, each after the answer to the one before, until told to stop.
async fn load(stage: &Stage, senders: u64, traces: &[u8], stop: &AtomicBool) -> (u64, Duration) {
    let slowest = AtomicU64::new(0);
    let send = async |sender: u64| {
        let (mut sent, body) = (0, body(sender, traces, PADDING));
        while !stop.load(Relaxed) {
            let begun = Instant::now();
            stage.running().send_as(Sender::default(), body.clone()).await.unwrap();
            slowest.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
            sent += traces.len() as u64;
        }
        sent
    };
    let sent = futures_util::future::join_all((0..senders).map(send)).await.into_iter().sum();
    (sent, Duration::from_micros(slowest.load(Relaxed)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn how_fast_it_is() {
    for (senders, spans) in [(1, 100), (16, 10), (64, 10), (16, 100), (64, 256)] {
        let traces: Vec<u8> = (0..spans).map(|i| (i / 5) as u8 + 1).collect();
        let mut stage = Stage::new();
        (stage.settings.bytes, stage.settings.max_bytes_in_flight) = (32 << 30, 64 << 20);
        stage.settings.after = Duration::from_secs(1);
        stage.log.set(Mood::Away);
        stage.start().await;
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let (sent, took) = {
            let timer = async {
                tokio::time::sleep(Duration::from_secs(SECONDS)).await;
                stop.store(true, Relaxed);
            };
            let ((sent, _), ()) = tokio::join!(load(&stage, senders, &traces, &stop), timer);
            (sent, begun.elapsed())
        };
        let rate = sent as f64 / took.as_secs_f64();
        eprintln!(
            "{senders} senders, batches of {spans} spans: {rate:.0} spans/s into the spool, {:.0} batches/s, {} MiB on disk",
            rate / spans as f64,
            stage.running().metrics.spool.waiting_bytes.get() >> 20
        );
        // Now the log is there, and the load goes on.
        stop.store(false, Relaxed);
        stage.log.set(Mood::Good);
        let begun = Instant::now();
        let drained = async {
            while stage.running().way() != Way::Direct && begun.elapsed() < Duration::from_secs(60)
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stop.store(true, Relaxed);
            begun.elapsed()
        };
        let ((more, slowest), took) = tokio::join!(load(&stage, senders, &traces, &stop), drained);
        eprintln!(
            "  {sent} spans drained under load in {took:.2?} ({:.0} spans/s out, {:.0} spans/s in), slowest answer {slowest:.2?}, way {:?}",
            (sent + more) as f64 / took.as_secs_f64(),
            more as f64 / took.as_secs_f64(),
            stage.running().way()
        );
    }
}

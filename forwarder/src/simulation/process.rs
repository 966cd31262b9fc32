//! A process: a runtime with a clock that stands still, run for a slice at a time, and gone when it is dropped.

use super::chance::Chance;
use super::cluster::Cluster;
use super::destination::Destination;
use super::link::{Link, Topic};
use super::spool::SpoolDisk;
use crate::bridge::{self, Intake, Spool, pump, router};
use crate::forward::{self, ForwardError};
use axum::Router;
use axum::body::Body;
use http::Request;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// What every process is made of.
pub struct Slices(Runtime);

impl Slices {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        Self(runtime.unwrap())
    }

    /// Runs for a while: to a random point among the tasks, or until some ms went by on its clock.
    pub fn run(&self, chance: &Chance) {
        let (turns, ms) = (chance.below(40), chance.below(60));
        if chance.one_in(2) {
            self.0.block_on(async {
                for _ in 0..turns {
                    yield_now().await;
                }
            });
        } else {
            self.pass(Duration::from_millis(ms));
        }
    }

    /// Runs until so much time went by.
    pub fn pass(&self, time: Duration) {
        self.0.block_on(async { tokio::time::sleep(time).await });
    }

    /// Its clock jumps, and it runs on.
    pub fn jump(&self, time: Duration) {
        self.0.block_on(async { tokio::time::advance(time).await });
    }
}

/// A bridge without sockets: everything behind them.
pub struct Bridge {
    pub slices: Slices,
    router: Router,
    spool: Option<Arc<Spool>>,
    metrics: Arc<bridge::Metrics>,
}

impl Bridge {
    pub fn start(cluster: &Arc<Cluster>, disk: Option<&SpoolDisk>, chance: &Chance) -> Self {
        let slices = Slices::new();
        let within = slices.0.enter();
        let log = Link::start(Topic::Traces, cluster, chance);
        let letters = Link::start(Topic::DeadLetters, cluster, chance);
        let metrics = Arc::new(bridge::Metrics::register(&mut Registry::default()));
        let spool = disk.map(|disk| disk.open(log.clone(), letters.clone(), metrics.clone()));
        if let Some(spool) = &spool {
            slices.0.spawn(pump(spool.clone(), CancellationToken::new()));
        }
        let settings = bridge::Settings::default();
        let intake = Intake::new(log, letters, settings, metrics.clone(), spool.clone());
        let router = router(Arc::new(intake));
        drop(within);
        Self { slices, router, spool, metrics }
    }

    /// Runs for a while. Its disk is a real thread's, so it is waited for: on the bridge's clock it takes no time.
    pub fn run(&self, chance: &Chance) {
        self.slices.run(chance);
        while self.spool.as_ref().is_some_and(|spool| spool.is_writing()) {
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// Batches that it took to its disk.
    pub fn spooled_records(&self) -> u64 {
        self.metrics.spool.spooled_records.get()
    }

    /// Whether nothing waits on its disk.
    pub fn is_drained(&self) -> bool {
        self.metrics.spool.waiting_records.get() == 0
    }

    /// Spans and bytes that its disk does not have any more.
    pub fn lost_on_disk(&self) -> u64 {
        let spool = &self.metrics.spool;
        spool.lost_spans.get() + spool.set_aside_spans.get() + spool.set_aside_bytes.get()
    }

    /// Hands a request in; the status comes when it is answered, and an error when the process is gone.
    pub fn post(&self, request: Request<Body>) -> oneshot::Receiver<u16> {
        let (done, answer) = oneshot::channel();
        let answering = self.router.clone().oneshot(request);
        self.slices.0.spawn(async move {
            let Ok(response) = answering.await;
            let _ = done.send(response.status().as_u16());
        });
        answer
    }
}

/// A whole forwarder.
pub struct Forwarder {
    pub slices: Slices,
    pub stop: CancellationToken,
    running: JoinHandle<Result<(), ForwardError>>,
    metrics: Arc<forward::Metrics>,
    member: Arc<AtomicU64>,
}

impl Forwarder {
    pub fn start(
        cluster: &Arc<Cluster>,
        to: &Arc<Destination>,
        backoff_max: Duration,
        chance: &Chance,
    ) -> Self {
        let slices = Slices::new();
        let within = slices.0.enter();
        let log = Link::start(Topic::Traces, cluster, chance);
        let letters = Link::start(Topic::DeadLetters, cluster, chance);
        let metrics = Arc::new(forward::Metrics::register(&mut Registry::default()));
        let (stop, member) = (CancellationToken::new(), log.member.clone());
        let settings = forward::Settings { backoff_max, ..settings(chance) };
        let forwarding =
            forward::run(log, letters, to.clone(), settings, metrics.clone(), stop.clone());
        let running = slices.0.spawn(forwarding);
        drop(within);
        Self { slices, stop, running, metrics, member }
    }

    /// Its place in the group, once it has one.
    pub fn member(&self) -> u64 {
        self.member.load(Relaxed)
    }

    /// Spans that it says are lost.
    pub fn lost_spans(&self) -> u64 {
        self.metrics.lost_spans.get()
    }

    /// Records that it did not deliver again.
    pub fn suppressed_records(&self) -> u64 {
        self.metrics.suppressed_records.get()
    }

    /// Records that overtook others, and such that were let go again.
    pub fn fresh_records(&self) -> (u64, u64) {
        (self.metrics.fresh_settled_records.get(), self.metrics.fresh_let_go_records.get())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        if !self.running.is_finished() {
            return None;
        }
        Some(format!("{:?}", self.slices.0.block_on(&mut self.running)))
    }
}

/// Small requests and short pauses: much to be caught in the middle of. So little is held that a backlog waits in the log,
/// which fresh records overtake.
fn settings(chance: &Chance) -> forward::Settings {
    forward::Settings {
        requests_in_flight: 4,
        max_request_spans: 12,
        max_held_bytes: 300 + chance.index(3_000),
        max_window_records: 1 + chance.index(100),
        max_fresh_bytes: 300 + chance.index(1_500),
        fresh_share: [10, 25, 90][chance.index(3)],
        backoff_min: Duration::from_millis(20),
        ..forward::Settings::default()
    }
}

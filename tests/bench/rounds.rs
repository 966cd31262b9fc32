//! The rounds: every case's Envoy runs from the beginning and is idle but in its turn; a round takes each case once. What a
//! case claims is checked as it runs: every request answered with 200, every span counted at the collector.

use crate::Arguments;
use crate::cases::{ALL, Case};
use crate::figures::{Measured, Slice};
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::{Behaviour, Origin, Sink};
use spanferry_tests::stack::envoy::Envoy;
use spanferry_tests::stack::load::{Load, Report, Until};
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{leash, usage};
use std::time::Duration;

/// For the last batches to arrive.
const ARRIVAL: Duration = Duration::from_secs(12);
/// What a worker of Envoy's own tracer holds until its flush every 5 s: it sends from five spans on.
const NATIVE_HELD: u64 = 4;
/// From the last answer to the reading of the CPU time: the filter's last batch leaves within its flush interval.
const SETTLE: Duration = Duration::from_millis(300);
/// Before the first round, to fill caches and let V8 optimise.
const WARM_UP: u64 = 2_000;

/// What a browser behind a gateway sends.
const HEADERS: [(&str, &str); 6] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=8f14e45fceea167a5a36dedd4bea2543"),
    ("x-tenant", "blue"),
];
const PATH: &str = "/orders/4711?page=2";

/// One case on stage, with a collector of its own.
struct Stage {
    case: Case,
    envoy: Envoy,
    collector: Sink,
    /// Requests sent through it so far.
    sent: u64,
}

/// Starts every case and measures it, round by round.
pub async fn measure(arguments: &Arguments) -> Result<Measured> {
    let directory = tempfile::Builder::new().prefix("spanferry-bench-").tempdir()?;
    leash::remove_at_end(directory.path())?;
    let origin = Origin::start()?;
    let mut stages = Vec::new();
    for case in ALL {
        let collector = Sink::start()?;
        collector.behave(Behaviour::Count);
        let (upstream, to) = (origin.address(), collector.address());
        let envoy = case.start(arguments, directory.path(), upstream, to).await?;
        let mut stage = Stage { case, envoy, collector, sent: 0 };
        let warm = WARM_UP.min(arguments.requests);
        stage.turn(arguments, warm, 1).await.with_context(|| case.name())?;
        stages.push(stage);
    }
    let mut measured = Measured::default();
    for round in 0..arguments.rounds as usize {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        let mut slices = vec![Slice::default(); ALL.len()];
        for place in 0..ALL.len() {
            let stage = &mut stages[(place + round) % ALL.len()];
            let (requests, paced) = (arguments.requests, arguments.paced_requests);
            let slice = stage.turn(arguments, requests, paced).await;
            slices[stage.case.index()] = slice.with_context(|| stage.case.name())?;
        }
        measured.rounds.push(slices);
    }
    for stage in &stages {
        measured.resident.push(usage::resident(stage.envoy.id())?);
    }
    Ok(measured)
}

impl Stage {
    /// Its turn in a round: as fast as it answers for CPU time, then at a fixed rate for latency.
    async fn turn(&mut self, arguments: &Arguments, requests: u64, paced: u64) -> Result<Slice> {
        let target = self.envoy.address();
        let headers = [&HEADERS, self.case.headers()].concat();
        let mut load = Load::new(target, Until::Requests(requests)).get(PATH, &headers);
        load.connections = arguments.connections;
        let before = usage::cpu(self.envoy.id())?;
        load.run().await?.all_ok()?;
        tokio::time::sleep(SETTLE).await;
        let cpu = usage::cpu(self.envoy.id())?.saturating_sub(before);

        (load.until, load.rate) = (Until::Requests(paced), Some(arguments.rate));
        let report = load.run().await?;
        report.all_ok()?;
        self.sent += requests + paced;
        self.every_span_arrived(arguments).await?;
        Ok(Slice { cpu_us: micros(cpu) / requests as f64, ..latency(&report) })
    }

    /// A case that should make spans made one of each request, and another none: else its figure would mean nothing.
    async fn every_span_arrived(&self, arguments: &Arguments) -> Result<()> {
        let held = match self.case {
            Case::NativeGrpc | Case::NativeHttp => NATIVE_HELD * u64::from(arguments.workers),
            _ => 0,
        };
        let most = if self.case.makes_spans() { self.sent } else { 0 };
        eventually("the spans of every request", ARRIVAL, async || {
            let arrived = self.collector.counted();
            ensure!((most.saturating_sub(held)..=most).contains(&arrived), "{arrived} of {most}");
            Ok(Some(()))
        })
        .await
    }
}

fn latency(report: &Report) -> Slice {
    let at = |share| micros(report.latency(share));
    Slice { cpu_us: 0.0, p50_us: at(0.50), p99_us: at(0.99) }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

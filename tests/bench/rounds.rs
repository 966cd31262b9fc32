//! The rounds: every case's Envoy runs from the beginning and is idle but in its turn; a round takes each case once. What a
//! case claims is checked as it runs: every request answered with 200, every span counted at the collector.

use crate::Arguments;
use crate::cases::{ALL, Case};
use crate::figures::{Measured, Slice};
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::{Behaviour, Origin, Sink};
use spanferry_tests::measure::request::{HEADERS, PATH};
use spanferry_tests::stack::envoy::Envoy;
use spanferry_tests::stack::load::{Load, Report, Until};
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{cores, leash, usage};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// For the last batches to arrive.
const ARRIVAL: Duration = Duration::from_secs(12);
/// What a worker of Envoy's own tracer holds until its flush every 5 s: it sends from five spans on.
const NATIVE_HELD: u64 = 4;
/// From the last answer to the reading of the CPU time: the filter's last batch leaves within its flush interval.
const SETTLE: Duration = Duration::from_millis(300);
/// Before the first round, to fill caches and let V8 optimise.
const WARM_UP: u64 = 2_000;

/// One case on stage, with a collector of its own.
struct Stage {
    case: Case,
    envoy: Envoy,
    collector: Sink,
    /// Requests sent through it so far.
    sent: u64,
}

/// Starts every case and measures it, round by round. Envoys have a core that nobody else uses, where there are two.
pub async fn measure(arguments: &Arguments) -> Result<Measured> {
    let directory = tempfile::Builder::new().prefix("spanferry-bench-").tempdir()?;
    leash::remove_at_end(directory.path())?;
    let origin = Origin::start()?;
    // Asked for before we leave one of them.
    let had_own_core = cores::suffice();
    let mut stages = start(arguments, directory.path(), origin.address()).await?;
    if had_own_core {
        stages.iter().try_for_each(|stage| cores::take_first(stage.envoy.id()))?;
        cores::leave_first(std::process::id())?;
    }
    warm_up(arguments, &mut stages).await?;
    let mut measured = Measured { had_own_core, ..Measured::default() };
    for round in 0..arguments.rounds as usize {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        measured.rounds.push(one_round(arguments, &mut stages, round).await?);
    }
    for stage in &stages {
        measured.resident.push(usage::resident(stage.envoy.id())?);
    }
    Ok(measured)
}

/// Every case, with an Envoy of its own.
async fn start(
    arguments: &Arguments,
    directory: &Path,
    upstream: SocketAddr,
) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for case in ALL {
        let collector = Sink::start()?;
        collector.behave(Behaviour::Count);
        let to = collector.address();
        let envoy = case.start(arguments, directory, upstream, to).await?;
        stages.push(Stage { case, envoy, collector, sent: 0 });
    }
    Ok(stages)
}

async fn warm_up(arguments: &Arguments, stages: &mut [Stage]) -> Result<()> {
    for stage in stages {
        let warm = WARM_UP.min(arguments.requests);
        stage.saturate(arguments, warm).await.with_context(|| stage.case.name())?;
    }
    Ok(())
}

/// One round: CPU time in laps, then latency, then whether every span came.
async fn one_round(
    arguments: &Arguments,
    stages: &mut [Stage],
    round: usize,
) -> Result<Vec<Slice>> {
    let mut slices = vec![Slice::default(); ALL.len()];
    let laps = arguments.laps as usize;
    for lap in 0..laps {
        for place in 0..ALL.len() {
            let stage = &mut stages[(place + round + lap) % ALL.len()];
            let cpu_us = stage.saturate(arguments, arguments.requests).await;
            slices[stage.case.index()].cpu_us +=
                cpu_us.with_context(|| stage.case.name())? / laps as f64;
        }
    }
    for place in 0..ALL.len() {
        let stage = &mut stages[(place + round) % ALL.len()];
        let report = stage.pace(arguments).await.with_context(|| stage.case.name())?;
        let slice = &mut slices[stage.case.index()];
        slice.p50_us = micros(report.latency(0.50));
        slice.p99_us = micros(report.latency(0.99));
    }
    Ok(slices)
}

impl Stage {
    /// Requests as fast as they are answered: CPU time of each, µs.
    async fn saturate(&mut self, arguments: &Arguments, requests: u64) -> Result<f64> {
        let before = usage::cpu(self.envoy.id())?;
        self.load(arguments, Until::Requests(requests)).run().await?.all_ok()?;
        tokio::time::sleep(SETTLE).await;
        let cpu = usage::cpu(self.envoy.id())?.saturating_sub(before);
        self.sent += requests;
        Ok(micros(cpu) / requests as f64)
    }

    /// Requests at a fixed rate, for latency; by then every span has arrived.
    async fn pace(&mut self, arguments: &Arguments) -> Result<Report> {
        let mut load = self.load(arguments, Until::Requests(arguments.paced_requests));
        load.rate = Some(arguments.rate);
        let report = load.run().await?;
        report.all_ok()?;
        self.sent += arguments.paced_requests;
        self.every_span_arrived(arguments).await?;
        Ok(report)
    }

    fn load(&self, arguments: &Arguments, until: Until) -> Load {
        let headers = [&HEADERS, self.case.headers()].concat();
        let mut load = Load::new(self.envoy.address(), until).get(PATH, &headers);
        load.connections = arguments.connections;
        load
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

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

//! The filter's configuration changes under load, by LDS: no request fails, no span is lost, by count in the
//! destination, and the memory of what was goes. `SPANFERRY_RELOADS` says how often (10).

use crate::harness::{Claim, Ground, Part};
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::{Behaviour, Origin, Sink};
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::listeners::Listeners;
use spanferry_tests::stack::load::{Load, Report, Until};
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{parts, usage};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NEEDS: &[Part] = &[parts::envoy, parts::filter];
const LIMIT: Duration = Duration::from_secs(60);
/// Memory is compared with what it was after this reload.
const SETTLED: u64 = 10;
const REQUESTS_A_SECOND: f64 = 500.0;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("a_new_configuration_costs_no_request_and_no_span", NEEDS, |ground| {
        Box::pin(a_new_configuration_costs_no_request_and_no_span(ground))
    })]
}

async fn a_new_configuration_costs_no_request_and_no_span(ground: &Ground) -> Result<()> {
    let directory = ground.directory("reload")?;
    let (origin, sink) = (Origin::start()?, Sink::start()?);
    sink.behave(Behaviour::Count);
    let setup = Setup::new(origin.address(), sink.address());
    let mut listeners = None;
    let envoy = Envoy::start_changed(&directory, &setup, |bootstrap| {
        listeners = Some(Listeners::split(bootstrap, &directory)?);
        Ok(())
    })
    .await?;
    let listeners = listeners.context("no listeners")?;
    let told = CancellationToken::new();
    let mut load = Load::new(envoy.address(), Until::Told(told.clone()));
    load.rate = Some(REQUESTS_A_SECOND);
    let running = tokio::spawn(async move { load.run().await });

    let reloads = std::env::var("SPANFERRY_RELOADS").ok().and_then(|text| text.parse().ok());
    let memory = reload(&envoy, listeners, reloads.unwrap_or(SETTLED)).await;
    told.cancel();
    let report = running.await??;
    let memory = memory?;

    report.all_ok()?;
    every_span_has_arrived(&envoy, &sink, &report).await?;
    let (settled, last) =
        (memory[memory.len().min(SETTLED as usize) - 1], memory[memory.len() - 1]);
    println!(
        "{} reloads, {} requests, {} spans; resident {} KiB after reload {SETTLED}, {} KiB after the last",
        memory.len(),
        report.requests(),
        sink.counted(),
        settled >> 10,
        last >> 10
    );
    ensure!(last <= settled + settled * 15 / 100, "{settled} bytes became {last}");
    Ok(())
}

/// Envoy's memory after each reload.
async fn reload(envoy: &Envoy, mut listeners: Listeners, times: u64) -> Result<Vec<u64>> {
    let mut memory = Vec::new();
    for n in 1..=times {
        let plugin = format!(r#"{{"cluster": "spanferry_bridge", "service_name": "gateway-{n}"}}"#);
        listeners.reconfigure(envoy, &plugin).await.with_context(|| format!("reload {n}"))?;
        memory.push(usage::resident(envoy.id())?);
    }
    Ok(memory)
}

/// Made, accepted, and counted by the destination: each as often as there were requests.
async fn every_span_has_arrived(envoy: &Envoy, sink: &Sink, report: &Report) -> Result<()> {
    let requests = report.requests();
    let waited = eventually("every span at the destination", LIMIT, async || {
        let accepted = envoy.filter_stat("spans_accepted").await?;
        ensure!(accepted >= requests, "{accepted} of {requests}");
        Ok(Some(()))
    });
    waited.await?;
    let (made, dropped) = (envoy.filter_stat("spans_made").await?, envoy.dropped_spans().await?);
    ensure!((made, dropped) == (requests, 0), "made {made} of {requests}, dropped {dropped}");
    ensure!(sink.counted() == requests, "{} arrived of {requests}", sink.counted());
    let held = envoy.filter_stat("buffered_spans").await?;
    ensure!(held == 0, "{held} spans are said to be held");
    Ok(())
}

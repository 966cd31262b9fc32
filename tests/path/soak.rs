//! Much traffic while the bridge comes and goes: every request is answered, every span is accounted for, and
//! memory stays. `SPANFERRY_SOAK` says how many requests (20,000); `make soak-filter` sends two million.

use crate::harness::{Claim, Ground, Part};
use anyhow::{Result, ensure};
use spanferry_tests::fakes::{Behaviour, Origin, Sink};
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::load::{Load, Report, Until};
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{parts, usage};
use std::time::Duration;

const NEEDS: &[Part] = &[parts::envoy, parts::filter];
const LIMIT: Duration = Duration::from_secs(120);
/// The bridge is there, away, and refusing for now, for so long each.
const TURN: Duration = Duration::from_secs(3);
/// Shorter runs say nothing about memory: buffers are still growing to their bounds.
const LONG: u64 = 500_000;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("much_traffic_and_a_bridge_that_comes_and_goes", NEEDS, |ground| {
        Box::pin(much_traffic_and_a_bridge_that_comes_and_goes(ground))
    })]
}

async fn much_traffic_and_a_bridge_that_comes_and_goes(ground: &Ground) -> Result<()> {
    let directory = ground.directory("soak")?;
    let (origin, mut sink) = (Origin::start()?, Sink::start()?);
    sink.behave(Behaviour::Count);
    let envoy = Envoy::start(&directory, &Setup::new(origin.address(), sink.address())).await?;
    let requests = std::env::var("SPANFERRY_SOAK").ok().and_then(|text| text.parse().ok());
    let requests: u64 = requests.unwrap_or(20_000);

    // A third of it first, so that all buffers have had their largest.
    let first = run(&envoy, &mut sink, requests / 3).await?;
    let settled = usage::resident(envoy.id())?;
    let rest = run(&envoy, &mut sink, requests - requests / 3).await?;
    let last = usage::resident(envoy.id())?;

    first.all_ok()?;
    rest.all_ok()?;
    account(&envoy, &sink, requests).await?;
    println!("resident {} KiB after a third, {} KiB at the end", settled >> 10, last >> 10);
    if requests >= LONG {
        ensure!(last <= settled + settled / 10, "{settled} bytes became {last}");
    }
    Ok(())
}

/// Sends the requests while the bridge changes its ways; it is there at the end.
async fn run(envoy: &Envoy, sink: &mut Sink, requests: u64) -> Result<Report> {
    let load = Load::new(envoy.address(), Until::Requests(requests));
    let running = tokio::spawn(async move { load.run().await });
    while !running.is_finished() {
        sink.stop();
        tokio::time::sleep(TURN).await;
        sink.restart()?;
        tokio::time::sleep(TURN).await;
        sink.behave(Behaviour::Refuse(503));
        tokio::time::sleep(TURN).await;
        sink.behave(Behaviour::Count);
        tokio::time::sleep(TURN).await;
    }
    running.await?
}

/// Made = accepted + dropped and counted, once nothing is held.
async fn account(envoy: &Envoy, sink: &Sink, requests: u64) -> Result<()> {
    eventually("the filter to hold no span", LIMIT, async || {
        let held = envoy.filter_stat("buffered_spans").await?;
        ensure!(held == 0, "{held} spans are held");
        Ok(Some(()))
    })
    .await?;
    let made = envoy.filter_stat("spans_made").await?;
    let accepted = envoy.filter_stat("spans_accepted").await?;
    let dropped = envoy.dropped_spans().await?;
    println!("{requests} requests: made {made} = accepted {accepted} + dropped {dropped}");
    ensure!(made == requests && made == accepted + dropped, "the sum does not hold");
    // What arrived and whose answer was cut off arrives again.
    ensure!(sink.counted() >= accepted, "{} arrived of {accepted} accepted", sink.counted());
    Ok(())
}

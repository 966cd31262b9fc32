//! All in one, without Kafka: what it answered 200 for is on disk, and survives kill -9.

use crate::harness::{Claim, Ground, PRODUCT};
use crate::rig::{LIMIT, all_as_wanted};
use anyhow::{Result, ensure};
use spanferry_tests::fakes::Sink;
use spanferry_tests::samples::driver::{Driver, Plan};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::envoy::{Envoy, Setup};
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::spanferry::Spanferry;

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![Claim::new("spans_on_disk_survive_a_kill", PRODUCT, |ground| {
        Box::pin(spans_on_disk_survive_a_kill(ground))
    })]
}

async fn spans_on_disk_survive_a_kill(ground: &Ground) -> Result<()> {
    let directory = ground.directory("all-in-one")?;
    let mut destination = Destination::Sink(Sink::start()?);
    let short = ["--backoff-max", "1s"];
    let mut all = Spanferry::all_in_one(&directory, &destination.url(), &short).await?;
    all.ready().await?;
    let sample = Sample::start(&directory, all.http()?).await?;
    let envoy = Envoy::start(&directory, &Setup::new(sample.address(), all.http()?)).await?;
    destination.stop().await?;

    let answers = Driver::new(envoy.address()).send_all(Plan::of(100)).await;
    all_as_wanted(&answers)?;
    let metrics = all
        .metrics_until("500 spans waiting", LIMIT, |now| {
            now.count("spanferry_waiting_spans") == 500
        })
        .await?;
    ensure!(metrics.count("spanferry_accepted_spans_total") == 500, "{metrics:?}");
    all.kill();
    all.restart().await?;
    destination.restart().await?;

    destination.holdings(&answers, LIMIT).await?.whole()?;
    let drained = |now: &spanferry_tests::stack::metrics::Metrics| {
        now.count("spanferry_waiting_spans") == 0 && now.count("spanferry_group_lag_records") == 0
    };
    all.metrics_until("nothing waiting", LIMIT, drained).await?;
    destination.holdings(&answers, LIMIT).await?.whole()?;
    Ok(())
}

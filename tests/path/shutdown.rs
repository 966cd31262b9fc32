//! SIGTERM under load: exit 0 in bounded time and nothing lost; a second signal exits at once.

use crate::harness::{Claim, Ground, PRODUCT, WHOLE_PATH};
use crate::rig::{LIMIT, Rig, all_as_wanted};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use spanferry_tests::fakes::{Behaviour, Sink};
use spanferry_tests::samples::driver::{Driver, Plan};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::sample::Sample;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::time::Duration;

/// Longer than the default drain time of 10 s, with room for a slow machine.
const BOUND: Duration = Duration::from_secs(30);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("a_bridge_told_to_end_loses_nothing", WHOLE_PATH, |ground| {
            Box::pin(a_bridge_told_to_end_loses_nothing(ground))
        }),
        Claim::new(
            "a_forwarder_told_to_end_loses_nothing_and_repeats_nothing",
            WHOLE_PATH,
            |ground| Box::pin(a_forwarder_told_to_end_loses_nothing_and_repeats_nothing(ground)),
        ),
        Claim::new("a_second_signal_ends_at_once", PRODUCT, |ground| {
            Box::pin(a_second_signal_ends_at_once(ground))
        }),
    ]
}

async fn a_bridge_told_to_end_loses_nothing(ground: &Ground) -> Result<()> {
    let destination = Destination::Sink(Sink::start()?);
    let mut rig = Rig::start(ground, "shutdown-bridge", destination).await?;
    let load = load(&rig);
    some_arrived(&rig).await?;

    let status = rig.bridge.terminate(BOUND).await?;
    ensure!(status.success(), "{status}: {}", rig.bridge.output());
    rig.bridge.restart().await?;
    rig.answers = load.await?;

    all_as_wanted(&rig.answers)?;
    rig.held().await?;
    rig.delivered().await?;
    rig.held().await?;
    Ok(())
}

async fn a_forwarder_told_to_end_loses_nothing_and_repeats_nothing(ground: &Ground) -> Result<()> {
    let sink = Sink::start()?;
    sink.behave(Behaviour::Delay(Duration::from_millis(50)));
    let mut rig = Rig::start(ground, "shutdown-forward", Destination::Sink(sink)).await?;
    let load = load(&rig);
    some_arrived(&rig).await?;

    let status = rig.forward.terminate(BOUND).await?;
    ensure!(status.success(), "{status}: {}", rig.forward.output());
    rig.forward.restart().await?;
    rig.answers = load.await?;

    all_as_wanted(&rig.answers)?;
    rig.accepted().await?;
    rig.held().await?;
    let lag = |now: &_| no_lag(now);
    rig.forward.metrics_until("no lag", LIMIT, lag).await?;
    rig.held().await?;
    Ok(())
}

async fn a_second_signal_ends_at_once(ground: &Ground) -> Result<()> {
    let directory = ground.directory("second-signal")?;
    let sink = Sink::start()?;
    sink.behave(Behaviour::Hang);
    let patient = ["--drain-timeout", "10m", "--request-timeout", "10m"];
    let mut all = Spanferry::all_in_one(&directory, &sink.grpc_url(), &patient).await?;
    all.ready().await?;
    let sample = Sample::start(&directory, all.http()?).await?;
    Driver::new(sample.address()).send_all(Plan::of(20)).await;
    sample.flushed(LIMIT).await?;
    eventually("a request at the sink", LIMIT, async || Ok((sink.requests() > 0).then_some(())))
        .await?;

    all.signal(Signal::TERM)?;
    let patient = all.ended(Duration::from_secs(2)).await;
    ensure!(patient.is_err(), "it did not wait for the request at hand");
    all.signal(Signal::TERM)?;
    all.ended(BOUND).await.context("after the second signal")?;

    // Ended in the middle of a delivery, it has the spans on disk.
    sink.behave(Behaviour::Accept);
    all.restart().await?;
    eventually("80 spans", LIMIT, async || Ok((sink.counts().len() == 80).then_some(()))).await
}

/// 400 requests over some seconds, on a task of their own.
fn load(
    rig: &Rig,
) -> impl Future<Output = Result<Vec<spanferry_tests::samples::driver::Answer>>> + use<> {
    let driver = Driver::new(rig.envoy.address());
    let plan = Plan { pace: Duration::from_millis(10), ..Plan::of(400) };
    let sending = tokio::spawn(async move { driver.send_all(plan).await });
    async { Ok(sending.await?) }
}

async fn some_arrived(rig: &Rig) -> Result<()> {
    let Destination::Sink(sink) = &rig.destination else { anyhow::bail!("a sink was asked for") };
    eventually("spans at the sink", LIMIT, async || Ok((sink.span_count() > 100).then_some(())))
        .await
}

fn no_lag(now: &spanferry_tests::stack::metrics::Metrics) -> bool {
    now.count("spanferry_group_lag_records") == 0
}

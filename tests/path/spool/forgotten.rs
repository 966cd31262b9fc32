//! Batches that come again after both who knew them are gone: the bridge by a kill, and the forwarder since Kafka was away for
//! longer than the group waits for it, or by a kill too. What is committed is looked at again, and they are delivered once.

use super::scene::{Scene, TRACES};
use crate::harness::Ground;
use crate::ledger::{ledger, number};
use crate::rig::{FORWARD, LIMIT};
use anyhow::{Context, Result, ensure};
use http::StatusCode;
use spanferry_tests::stack::metrics::Metrics;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;

const BATCHES: u64 = 50;
const SPANS: u64 = BATCHES * TRACES;

pub async fn a_batch_that_comes_again_is_known_when_bridge_and_forwarder_forgot_it(
    ground: &Ground,
) -> Result<()> {
    let mut scene = Scene::start(ground, "spool-forgotten", &[]).await?;
    scene.kafka.restart().await?;
    scene.start_forwarder_with(&FORWARD).await?;
    send_all(&mut scene).await?;
    all_is_committed(&scene, ground, 0).await?;

    scene.kafka.kill();
    let lost = forward(&mut scene)?;
    let is_lost = async || Ok(lost.output().contains("partitions lost").then_some(()));
    eventually("the partitions are lost", LIMIT, is_lost).await?;
    scene.kafka.restart().await?;
    all_is_known_again(&mut scene).await.context("after the outage")?;

    // What was not committed would be counted by the other one, too.
    all_is_committed(&scene, ground, SPANS).await?;
    forward(&mut scene)?.kill();
    forward(&mut scene)?.restart().await?;
    all_is_known_again(&mut scene).await.context("to another forwarder")
}

/// All spans, and so many that came again.
async fn all_is_committed(scene: &Scene, ground: &Ground, again: u64) -> Result<()> {
    let (log, group) = scene.log_and_group();
    let directory = ground.directory("spool-forgotten")?;
    let committed = async || {
        let (_, report) = ledger(&directory, &["--log", &log, "--group", &group]).await?;
        let settled = ["delivered", "suppressed"].map(|fate| number(&report, fate));
        Ok((settled == [SPANS, again]).then_some(()))
    };
    eventually("all is delivered and committed", LIMIT, committed).await
}

fn forward(scene: &mut Scene) -> Result<&mut Spanferry> {
    scene.forward.as_mut().context("no forwarder")
}

/// A bridge that remembers nothing writes all of it again, and the forwarder suppresses so many spans.
async fn all_is_known_again(scene: &mut Scene) -> Result<()> {
    scene.bridge.kill();
    scene.bridge.restart().await?;
    send_all(scene).await?;
    let is_met = |metrics: &Metrics| metrics.count("spanferry_suppressed_spans_total") == SPANS;
    forward(scene)?.metrics_until("each is known", LIMIT, is_met).await?;
    let stored = scene.sink.span_count() as u64;
    ensure!(stored == SPANS, "{stored} spans stored of {SPANS}");
    Ok(())
}

async fn send_all(scene: &mut Scene) -> Result<()> {
    for batch in 0..BATCHES {
        let status = scene.send_numbered(batch).await?.status();
        ensure!(status == StatusCode::OK, "batch {batch}: {status}");
    }
    Ok(())
}

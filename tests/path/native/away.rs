//! envoy#24672: no retry in Envoy's own tracer, so a collector that was away, or that took a batch and never answered,
//! lacks spans for good. The filter keeps a batch until it is answered; its collector has every span, none twice.

use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::Behaviour;
use spanferry_tests::stack::wait::eventually;

/// Requests during the outage, and after it.
const DURING: u64 = 300;
const AFTER: u64 = 100;
/// Envoy's own tracer sends as soon as a worker has so many spans.
const NATIVE_BATCH: u64 = 5;
/// What its workers hold until they have a batch, or 5 s have passed.
const NATIVE_HELD: u64 = (NATIVE_BATCH - 1) * 2;

pub async fn a_collector_that_was_away_lacks_spans_of_envoys_tracer_only(
    ground: &Ground,
) -> Result<()> {
    for tracer in Tracer::ALL {
        let mut scene = Scene::start(ground, "away", tracer).await?;
        scene.collector.stop();
        scene.send(DURING).await?;
        scene.collector.restart()?;
        scene.send(AFTER).await?;
        judge(&scene).await.with_context(|| format!("{tracer:?}"))?;
    }
    Ok(())
}

pub async fn a_collector_that_hung_lacks_spans_of_envoys_tracer_only(
    ground: &Ground,
) -> Result<()> {
    for tracer in Tracer::ALL {
        let scene = Scene::start(ground, "hung", tracer).await?;
        scene.collector.behave(Behaviour::Hang);
        scene.send(DURING).await?;
        let batches = batches_of_the_outage(tracer);
        eventually("the batches in the collector's hands", LIMIT, async || {
            Ok((scene.collector.requests() >= batches).then_some(()))
        })
        .await?;
        scene.collector.behave(Behaviour::Accept);
        scene.send(AFTER).await?;
        judge(&scene).await.with_context(|| format!("{tracer:?}"))?;
    }
    Ok(())
}

/// How many the collector has at least once it has all that is sent while it hangs: one that is read only afterwards would
/// be taken. The filter waits for its answers, so that it sends the first alone.
fn batches_of_the_outage(tracer: Tracer) -> u64 {
    match tracer {
        Tracer::Native(_) => (DURING - NATIVE_HELD) / NATIVE_BATCH,
        Tracer::Ours => 1,
    }
}

async fn judge(scene: &Scene) -> Result<()> {
    match scene.tracer {
        Tracer::Native(_) => most_of_the_outage_is_gone(scene).await,
        Tracer::Ours => every_span_arrived_once(scene).await,
    }
}

/// Its counter says that all were sent.
async fn most_of_the_outage_is_gone(scene: &Scene) -> Result<()> {
    eventually("every span counted as sent", LIMIT, async || {
        Ok((scene.native_stat("spans_sent").await? == DURING + AFTER).then_some(()))
    })
    .await?;
    eventually("the spans after the outage", LIMIT, async || {
        Ok((scene.collector.span_count() as u64 + NATIVE_HELD >= AFTER).then_some(()))
    })
    .await?;
    let arrived = scene.collector.span_count() as u64;
    ensure!(arrived < AFTER + DURING / 2, "{arrived} spans of {} arrived", DURING + AFTER);
    Ok(())
}

async fn every_span_arrived_once(scene: &Scene) -> Result<()> {
    eventually("every span", LIMIT, async || {
        let arrived = scene.collector.span_count() as u64;
        ensure!(arrived >= DURING + AFTER, "{arrived} arrived");
        Ok(Some(()))
    })
    .await?;
    let counts = scene.collector.counts();
    ensure!(counts.len() as u64 == DURING + AFTER, "{} different spans", counts.len());
    ensure!(counts.values().all(|times| *times == 1), "a span arrived twice");
    eventually("every span counted as accepted", LIMIT, async || {
        Ok((scene.envoy.filter_stat("spans_accepted").await? == DURING + AFTER).then_some(()))
    })
    .await
}

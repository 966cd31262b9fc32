//! envoy#47489: a collector that refuses every batch. Envoy's own tracer counts what it is about to send as sent, and
//! counts no failure; the filter counts what was accepted, what waits, and what was dropped and why.

use super::{LIMIT, Scene, Tracer};
use crate::harness::Ground;
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::Behaviour;
use spanferry_tests::stack::wait::eventually;

const REQUESTS: u64 = 100;

pub async fn a_collector_that_refuses_is_seen_in_our_counters_only(ground: &Ground) -> Result<()> {
    for tracer in Tracer::ALL {
        for status in [503, 400] {
            let name = format!("refused-{status}");
            let scene = Scene::start(ground, &name, tracer).await?;
            scene.collector.behave(Behaviour::Refuse(status));
            scene.send(REQUESTS).await?;
            let told = match (tracer, status) {
                (Tracer::Native(_), _) => all_is_sent_and_nothing_dropped(&scene).await,
                (Tracer::Ours, 400) => all_is_dropped_as_refused(&scene).await,
                (Tracer::Ours, _) => all_is_held_and_retried(&scene).await,
            };
            told.with_context(|| format!("{tracer:?}, {status}"))?;
            ensure!(scene.collector.span_count() == 0, "the collector took spans");
        }
    }
    Ok(())
}

/// What a healthy collector would have made the counters say, too.
async fn all_is_sent_and_nothing_dropped(scene: &Scene) -> Result<()> {
    eventually("100 spans counted as sent", LIMIT, async || {
        Ok((scene.native_stat("spans_sent").await? == REQUESTS).then_some(()))
    })
    .await?;
    // It counts before it sends, so the batches come after.
    eventually("ten batches that were tried", LIMIT, async || {
        let tried = scene.collector.requests();
        ensure!(tried >= 10, "{tried} so far");
        Ok(Some(()))
    })
    .await?;
    let dropped = scene.native_stat("spans_dropped").await?;
    ensure!(
        dropped == 0,
        "Envoy's own tracer counts {dropped} spans as dropped by now: say so in docs/filter.md"
    );
    Ok(())
}

async fn all_is_dropped_as_refused(scene: &Scene) -> Result<()> {
    let stat = async |name| scene.envoy.filter_stat(name).await;
    eventually("100 spans counted as refused", LIMIT, async || {
        Ok((stat("spans_dropped_refused").await? == REQUESTS).then_some(()))
    })
    .await?;
    let (made, accepted) = (stat("spans_made").await?, stat("spans_accepted").await?);
    ensure!((made, accepted) == (REQUESTS, 0), "made {made}, accepted {accepted}");
    Ok(())
}

async fn all_is_held_and_retried(scene: &Scene) -> Result<()> {
    let stat = async |name| scene.envoy.filter_stat(name).await;
    eventually("a retried batch", LIMIT, async || {
        Ok((stat("batches_retried").await? > 0 && stat("calls_failed").await? > 1).then_some(()))
    })
    .await?;
    let (accepted, held) = (stat("spans_accepted").await?, stat("buffered_spans").await?);
    ensure!((accepted, held) == (0, REQUESTS), "accepted {accepted}, held {held}");
    ensure!(scene.envoy.dropped_spans().await? == 0, "the filter dropped spans");
    Ok(())
}

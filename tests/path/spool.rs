//! Kafka is away: from the first second, in the middle, or again and again. The bridge answers 200 out of its spool, and
//! every span that it answered for arrives once, the spans of a trace in their order.

mod forgotten;
mod full_disk;
mod scene;
mod taken;

use crate::harness::{Claim, Ground, Part};
use crate::kills::{self, variable};
use crate::rig::LIMIT;
use anyhow::{Context, Result, ensure};
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use scene::{Scene, TRACES};
use spanferry_tests::stack::http as client;
use spanferry_tests::stack::parts;
use spanferry_tests::stack::tmpfs::Tmpfs;
use std::time::Duration;

const NEEDS: &[Part] = &[parts::spanferry, parts::kafka_libs];

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("kafka_away_from_the_first_second_costs_no_span", NEEDS, |ground| {
            Box::pin(kafka_away_from_the_first_second_costs_no_span(ground))
        }),
        Claim::new("a_full_spool_says_so_and_a_kill_loses_none_of_it", NEEDS, |ground| {
            Box::pin(a_full_spool_says_so_and_a_kill_loses_none_of_it(ground))
        }),
        Claim::new("a_kafka_that_hangs_costs_no_span_and_no_order", NEEDS, |ground| {
            Box::pin(a_kafka_that_hangs_costs_no_span_and_no_order(ground))
        }),
        Claim::new("a_disk_that_is_really_full_costs_no_span", NEEDS, |ground| {
            Box::pin(full_disk::a_disk_that_is_really_full_costs_no_span(ground))
        })
        .where_permitted(Tmpfs::may_be_mounted),
        Claim::new("the_ledger_says_how_many_spans_left_the_spool", NEEDS, |ground| {
            Box::pin(taken::the_ledger_says_how_many_spans_left_the_spool(ground))
        }),
        Claim::new(
            "a_batch_that_comes_again_is_known_when_bridge_and_forwarder_forgot_it",
            NEEDS,
            |ground| {
                Box::pin(
                    forgotten::a_batch_that_comes_again_is_known_when_bridge_and_forwarder_forgot_it(
                        ground,
                    ),
                )
            },
        ),
        Claim::new(
            "kills_of_kafka_and_the_bridge_lose_nothing_that_was_accepted",
            NEEDS,
            |ground| Box::pin(kills_of_kafka_and_the_bridge_lose_nothing_that_was_accepted(ground)),
        ),
    ]
}

async fn kafka_away_from_the_first_second_costs_no_span(ground: &Ground) -> Result<()> {
    let mut scene = Scene::start(ground, "spool-first", &[]).await?;
    let url = format!("http://{}/readyz", scene.bridge.admin()?);
    scene.bridge.ready().await.context("ready without Kafka")?;
    for number in 0..200 {
        let status = scene.send(number).await?.status();
        ensure!(status == StatusCode::OK, "batch {number}: {status}");
    }
    ensure!(scene.waiting_spans().await? == 200 * TRACES, "all wait in the spool");
    let (status, note) = client::get(&url).await?;
    let note = String::from_utf8_lossy(&note).into_owned();
    ensure!(status == StatusCode::OK && note.contains("in the spool: 800 spans"), "{note}");

    scene.kafka.restart().await?;
    scene.everything_arrives().await?;
    let metrics = scene.bridge.metrics().await?;
    ensure!(metrics.count("spanferry_written_spans_total") == 800, "written once: {metrics:?}");
    let status = scene.send(200).await?.status();
    ensure!(status == StatusCode::OK, "{status}");
    scene.everything_arrives().await?;
    let spooled = scene.bridge.metrics().await?.count("spanferry_spool_spooled_spans_total");
    ensure!(spooled == 800, "{spooled} spans through the spool: the last batch needs it no more");
    scene.the_topic_has_each_trace_in_order().await
}

async fn a_full_spool_says_so_and_a_kill_loses_none_of_it(ground: &Ground) -> Result<()> {
    let mut scene = Scene::start(ground, "spool-full", &["--spool-bytes", "256KiB"]).await?;
    let (number, refused) = scene.fill(20_000).await?;
    ensure!(String::from_utf8_lossy(refused.body()).contains("the spool is full"), "{refused:?}");
    let metrics = scene.bridge.metrics().await?;
    ensure!(metrics.count("spanferry_refused_requests_total") > 0, "{metrics:?}");
    ensure!(metrics.count("spanferry_spool_queue_size_bytes") <= 256 << 10, "{metrics:?}");

    scene.bridge.kill();
    scene.bridge.restart().await?;
    let waiting = scene.waiting_spans().await?;
    ensure!(waiting == number * TRACES, "{waiting} spans wait after the kill, of {number} batches");
    scene.kafka.restart().await?;
    scene.everything_arrives().await?;
    scene.the_topic_has_each_trace_in_order().await
}

async fn a_kafka_that_hangs_costs_no_span_and_no_order(ground: &Ground) -> Result<()> {
    let mut scene = Scene::start(ground, "spool-hang", &[]).await?;
    scene.kafka.restart().await?;
    for number in 0..600 {
        match number {
            100 => scene.kafka.signal(Signal::STOP)?,
            400 => scene.kafka.signal(Signal::CONT)?,
            _ => {}
        }
        let status = scene.send(number).await?.status();
        ensure!(status == StatusCode::OK, "batch {number}: {status}");
    }
    let spooled = scene.bridge.metrics().await?.count("spanferry_spool_spooled_spans_total");
    ensure!(spooled >= 300 * TRACES, "{spooled} spans through the spool");
    scene.everything_arrives().await?;
    scene.the_topic_has_each_trace_in_order().await
}

async fn kills_of_kafka_and_the_bridge_lose_nothing_that_was_accepted(
    ground: &Ground,
) -> Result<()> {
    let (kills, seed) =
        (variable("SPANFERRY_KILLS", 9)?, variable("SPANFERRY_SEED", rand::random())?);
    let mut moments = StdRng::seed_from_u64(seed);
    let mut scene = Scene::start(ground, "spool-kills", &[]).await?;
    scene.kafka.restart().await?;
    scene.start_forwarder().await?;
    let senders = kills::filters(8, scene.bridge.http()?);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(moments.random_range(50..900))).await;
        if kill % 3 == 1 {
            scene.kafka.kill();
            tokio::time::sleep(Duration::from_millis(moments.random_range(0..1_500))).await;
            scene.bridge.kill();
            scene.bridge.restart().await.with_context(|| format!("seed {seed}"))?;
            tokio::time::sleep(Duration::from_millis(moments.random_range(0..1_500))).await;
            scene.kafka.restart().await.with_context(|| format!("seed {seed}"))?;
        } else {
            scene.bridge.kill();
            scene.bridge.restart().await.with_context(|| format!("seed {seed}"))?;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let accepted = kills::all_arrive(senders, &scene.sink, LIMIT * 2)
        .await
        .with_context(|| format!("seed {seed}"))?;
    let repeats = scene.sink.span_count() - accepted;
    println!("seed {seed}: {kills} kills, {accepted} spans accepted, 0 missing, {repeats} repeats");
    ensure!(repeats == 0, "seed {seed}: {repeats} of {accepted} came twice");
    Ok(())
}

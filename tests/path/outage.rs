//! Jaeger goes away and comes back: requests do not notice, Kafka holds the records, and all of them arrive.

use crate::harness::{Claim, Ground, WHOLE_PATH};
use crate::rig::Rig;
use anyhow::{Context, Result, ensure};
use spanferry_tests::fakes::wire::spans_of;
use spanferry_tests::samples::driver::{Plan, median};
use spanferry_tests::stack::destination::Destination;
use spanferry_tests::stack::jaeger::{Jaeger, Storage};
use std::collections::HashSet;
use std::time::Duration;

/// How much slower the median may be while Jaeger is away: noise of a shared machine, not an effect.
const TIMES_SLOWER: f64 = 2.0;
const NOISE: Duration = Duration::from_millis(5);

/// The claims of this file.
pub fn tests() -> Vec<Claim> {
    vec![
        Claim::new("jaeger_may_go_away_and_come_back", WHOLE_PATH, |ground| {
            Box::pin(jaeger_may_go_away_and_come_back(ground))
        }),
        Claim::new("a_collector_reads_the_topic_too", WHOLE_PATH, |ground| {
            Box::pin(a_collector_reads_the_topic_too(ground))
        }),
    ]
}

async fn jaeger_may_go_away_and_come_back(ground: &Ground) -> Result<()> {
    let directory = ground.directory("outage")?;
    let jaeger = Jaeger::start(&directory, Storage::Disk).await?;
    let mut rig = Rig::start(ground, "outage", Destination::Jaeger(jaeger)).await?;
    rig.send(Plan::of(50)).await?; // warm
    let before = rig.send(Plan::of(100)).await?;
    rig.accepted().await?;
    rig.delivered().await?;

    rig.destination.stop().await?;
    let during = rig.send(Plan::of(100)).await?;
    let (before, during) = (median(&before), median(&during));
    ensure!(during < before.mul_f64(TIMES_SLOWER) + NOISE, "{before:?} before, {during:?} during");
    rig.accepted().await?;
    rig.forward.ready().await.context("a forwarder stays ready while its destination is away")?;
    kafka_shows_every_trace(ground, &rig).await?;
    let lag = rig.forward.metrics().await?.count("spanferry_group_lag_records");
    ensure!(lag >= 100, "100 traces wait in Kafka, lag {lag}");

    rig.destination.restart().await?;
    rig.send(Plan::of(100)).await?;
    rig.accepted().await?;
    rig.delivered().await?;
    let holdings = rig.held().await?;
    ensure!(holdings.traces == 350, "{holdings:?}");
    Ok(())
}

/// Kafka's own console consumer sees each record under its trace id, with OTLP protobuf of that trace as value.
async fn kafka_shows_every_trace(ground: &Ground, rig: &Rig) -> Result<()> {
    let records = rig.bridge.metrics().await?.count("traces_sent_total");
    let shown = ground.kafka().await?.consume(&rig.topic, records).await?;
    ensure!(shown.len() as u64 == records, "{} records of {records}", shown.len());
    let mut keys = HashSet::new();
    let mut spans = 0;
    for (key, value) in shown {
        for span in spans_of(value.into())? {
            ensure!(span.trace_id == key, "a span of {} under the key {key}", span.trace_id);
            spans += 1;
        }
        keys.insert(key);
    }
    let wanted: HashSet<String> = rig.answers.iter().map(|one| one.trace_id.clone()).collect();
    ensure!(keys == wanted, "{} keys for {} traces", keys.len(), wanted.len());
    ensure!(spans == rig.expected(), "{spans} spans of {}", rig.expected());
    Ok(())
}

/// Jaeger's ingester is the collector's Kafka receiver with encoding `otlp_proto`: code that we did not write.
async fn a_collector_reads_the_topic_too(ground: &Ground) -> Result<()> {
    let directory = ground.directory("collector")?;
    let jaeger = Jaeger::start(&directory, Storage::Memory).await?;
    let mut rig = Rig::start(ground, "collector", Destination::Jaeger(jaeger)).await?;
    rig.send(Plan::of(20)).await?;
    rig.accepted().await?;
    rig.delivered().await?;

    let brokers = ground.kafka().await?.address();
    let directory = ground.directory("ingester")?;
    let ingester = Jaeger::ingester(&directory, &brokers, &rig.topic).await?;
    let ingester = Destination::Jaeger(ingester);
    let holdings = ingester.holdings(&rig.answers, crate::rig::LIMIT).await?.whole()?;
    ensure!(holdings.traces == 20, "{holdings:?}");
    Ok(())
}

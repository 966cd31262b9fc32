//! OTLP in, Kafka out: Spanferry's bridge and the Collector in turn, with the same requests and the same promise.

use crate::corpus::{Corpus, Recipe};
use crate::figures::{Comparison, SIDES, Side, Slice};
use crate::ground::Ground;
use crate::load::Protocol;
use crate::meter::Meter;
use crate::sides::Bridge;
use crate::topic::Topic;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;

/// A bridge with its topic and what is sent to it.
pub struct Stage {
    bridge: Bridge,
    topic: Topic,
    corpus: Arc<Corpus>,
    protocol: Protocol,
}

/// Measures both over all rounds.
pub async fn compare(
    ground: &Ground,
    recipe: Recipe,
    protocol: Protocol,
    spans: u64,
) -> Result<Comparison> {
    let name = format!("{}, {}", recipe.name, protocol.name());
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let mut stages = Vec::new();
    for side in SIDES {
        let stage = Stage::start(ground, side, corpus.clone(), protocol).await;
        stages.push(stage.with_context(|| side.name())?);
    }
    let mut slowest = f64::INFINITY;
    for stage in &stages {
        slowest = slowest.min(stage.saturate(ground, spans).await?.requests_a_second);
    }
    let rate = slowest / 2.0;
    let rounds = ground
        .rounds(&format!("bridge, {name}"), async |side: Side| {
            let stage = &stages[side as usize];
            let mut slice = stage.saturate(ground, spans).await?;
            stage.pace(ground, rate, &mut slice).await?;
            Ok(slice)
        })
        .await?;
    let note = format!("{} bytes a span in, latency at {rate:.0} requests/s", corpus.span_bytes());
    Ok(Comparison { name, note, rounds })
}

impl Stage {
    /// A bridge with a new topic.
    pub async fn start(
        ground: &Ground,
        side: Side,
        corpus: Arc<Corpus>,
        protocol: Protocol,
    ) -> Result<Stage> {
        let topic = ground.topic(ground.arguments.partitions).await?;
        let bridge = Bridge::start(ground, side, &topic).await?;
        Ok(Stage { bridge, topic, corpus, protocol })
    }

    /// As fast as it answers: everything but latency. Every span that was acknowledged must be in the topic.
    async fn saturate(&self, ground: &Ground, spans: u64) -> Result<Slice> {
        let extent = self.corpus.of_spans(spans);
        let target = self.bridge.address(self.protocol)?;
        let load = ground.load(target, self.protocol, &self.corpus, extent);
        let (mark, bytes) = (self.topic.mark().await?, self.topic.bytes(&ground.kafka)?);
        let meter = Meter::start(&[self.bridge.id()])?;
        let report = load.run().await?;
        let used = meter.read()?;
        let bytes = self.topic.bytes(&ground.kafka)? - bytes;
        let written = self.topic.since(&mark).await?;
        ensure!(written.spans == extent.spans, "{written:?} of {extent:?} acknowledged");
        let (spans, seconds) = (extent.spans as f64, report.elapsed.as_secs_f64());
        Ok(Slice {
            cpu_us: used.cpu_us(extent.spans),
            spans_a_second: spans / seconds,
            requests_a_second: extent.requests as f64 / seconds,
            peak_mb: used.peak_mb,
            kafka_bytes: bytes as f64 / spans,
            records: written.records as f64 / spans,
            ..Slice::default()
        })
    }

    /// At a rate that is the same for both: latency from request to acknowledgement.
    async fn pace(&self, ground: &Ground, rate: f64, slice: &mut Slice) -> Result<()> {
        let requests = (rate * ground.arguments.paced_seconds).ceil() as u64;
        let extent = self.corpus.of_requests(requests);
        let target = self.bridge.address(self.protocol)?;
        let mut load = ground.load(target, self.protocol, &self.corpus, extent);
        load.rate = Some(rate);
        let report = load.run().await?;
        slice.latencies(report.answered.iter().map(|one| one.latency));
        Ok(())
    }
}

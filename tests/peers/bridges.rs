//! OTLP in, Kafka out: Spanferry's bridge and the Collector in turn, with the same requests and the same promise.

use crate::corpus::Corpus;
use crate::figures::{Comparison, Side, Slice};
use crate::ground::Ground;
use crate::load::Protocol;
use crate::meter::Meter;
use crate::records::Records;
use crate::sides::Bridge;
use crate::topic::Topic;
use crate::turns::{Way, both, paced_rounds};
use anyhow::{Result, ensure};
use std::sync::Arc;

/// A bridge with its topic and what is sent to it.
pub struct Stage {
    /// The bridge.
    pub bridge: Bridge,
    /// Where it writes to.
    pub topic: Topic,
    /// What it gets.
    pub corpus: Arc<Corpus>,
    /// By which protocol.
    pub protocol: Protocol,
}

/// Measures both over all rounds.
pub async fn compare(
    ground: &Ground,
    records: Records,
    protocol: Protocol,
    spans: u64,
) -> Result<Comparison> {
    let name = records.name_over(protocol);
    let corpus = Arc::new(Corpus::make(records.recipe, ground.arguments.seed)?);
    let start = async |side| Stage::start(ground, side, records, corpus.clone(), protocol).await;
    let stages = both(start).await?;
    let (rate, rounds) = paced_rounds(ground, &format!("bridge, {name}"), &stages, spans).await?;
    let note = format!("{} bytes a span in, latency at {rate:.0} requests/s", corpus.span_bytes());
    Ok(Comparison { name, note, rounds })
}

impl Stage {
    /// A bridge with a new topic.
    pub async fn start(
        ground: &Ground,
        side: Side,
        records: Records,
        corpus: Arc<Corpus>,
        protocol: Protocol,
    ) -> Result<Stage> {
        let topic = ground.topic(ground.arguments.partitions).await?;
        let bridge = Bridge::start(ground, side, &topic, records).await?;
        Ok(Stage { bridge, topic, corpus, protocol })
    }
}

impl Way for Stage {
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
            kafka_bytes: bytes as f64 / spans,
            records: written.records as f64 / spans,
            ..Slice::saturated(&used, &extent, seconds)
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

//! OTLP in, Kafka out: Spanferry's bridge and the Collector in turn, with the same requests and the same promise.

use crate::collector::{Collector, TO_KAFKA};
use crate::corpus::{Corpus, Recipe};
use crate::figures::{Comparison, SIDES, Side, Slice};
use crate::ground::Ground;
use crate::load::{Load, Protocol};
use crate::topic::Topic;
use anyhow::{Context, Result, ensure};
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::usage;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Below this rate in requests a second a share of a busy machine is measured, and no latency.
const SLOWEST: f64 = 5.0;

/// Who stands between the load and Kafka.
pub enum Bridge {
    /// Ours.
    Spanferry(Spanferry),
    /// The peer.
    Collector(Collector),
}

struct Stage {
    bridge: Bridge,
    topic: Topic,
}

/// Measures both over all rounds.
pub async fn compare(ground: &Ground, recipe: Recipe, protocol: Protocol) -> Result<Comparison> {
    let name = format!("{}, {}", recipe.name, protocol.name());
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let mut stages = Vec::new();
    for side in SIDES {
        stages.push(Stage::start(ground, side).await.with_context(|| side.name())?);
    }
    let mut slowest = f64::INFINITY;
    for stage in &stages {
        let (_, requests_a_second) = stage.saturate(ground, &corpus, protocol).await?;
        slowest = slowest.min(requests_a_second);
    }
    let rate = (slowest / 2.0).max(SLOWEST);
    let mut rounds = Vec::new();
    for round in 0..ground.arguments.rounds as usize {
        eprintln!("bridge, {name}: round {} of {}", round + 1, ground.arguments.rounds);
        let mut slices = [Slice::default(); 2];
        for place in 0..SIDES.len() {
            let side = (place + round) % SIDES.len();
            let (mut slice, _) = stages[side].saturate(ground, &corpus, protocol).await?;
            stages[side].pace(ground, &corpus, protocol, rate, &mut slice).await?;
            slices[side] = slice;
        }
        rounds.push(slices);
    }
    let whole = corpus.whole();
    let note = format!(
        "latency at {rate:.0} requests a second; {} bytes a span in",
        whole.bytes / whole.spans
    );
    Ok(Comparison { name, note, rounds })
}

impl Stage {
    async fn start(ground: &Ground, side: Side) -> Result<Stage> {
        let (_, name) = ground.place("topic")?;
        let topic = Topic::make(&ground.kafka, &name, ground.arguments.partitions).await?;
        Ok(Stage { bridge: Bridge::start(ground, side, &topic).await?, topic })
    }

    /// As fast as it answers: everything but latency, and the requests a second.
    async fn saturate(
        &self,
        ground: &Ground,
        corpus: &Arc<Corpus>,
        protocol: Protocol,
    ) -> Result<(Slice, f64)> {
        let extent = corpus.of_spans(ground.arguments.spans);
        let load = Load {
            target: self.bridge.address(protocol)?,
            protocol,
            connections: ground.arguments.connections,
            corpus: corpus.clone(),
            extent,
            first: ground.number(),
            rate: None,
        };
        let (id, mark, bytes) =
            (self.bridge.id(), self.topic.mark().await?, self.topic.bytes(&ground.kafka)?);
        usage::forget_peak(id)?;
        let cpu = usage::cpu(id)?;
        let report = load.run().await?;
        let cpu = usage::cpu(id)?.saturating_sub(cpu);
        let bytes = self.topic.bytes(&ground.kafka)? - bytes;
        let written = self.topic.since(&mark).await?;
        ensure!(written.spans == extent.spans, "{written:?} of {extent:?} acknowledged");
        let (spans, seconds) = (extent.spans as f64, report.elapsed.as_secs_f64());
        let slice = Slice {
            cpu_us: micros(cpu) / spans,
            spans_a_second: spans / seconds,
            peak_mib: mebibytes(usage::peak(id)?),
            kafka_bytes: bytes as f64 / spans,
            records: written.records as f64 / spans,
            ..Slice::default()
        };
        Ok((slice, extent.requests as f64 / seconds))
    }

    /// At a rate that is the same for both: latency.
    async fn pace(
        &self,
        ground: &Ground,
        corpus: &Arc<Corpus>,
        protocol: Protocol,
        rate: f64,
        slice: &mut Slice,
    ) -> Result<()> {
        let seconds = ground.arguments.paced_seconds;
        let load = Load {
            target: self.bridge.address(protocol)?,
            protocol,
            connections: ground.arguments.connections,
            corpus: corpus.clone(),
            extent: corpus.of_requests((rate * seconds).ceil() as u64),
            first: ground.number(),
            rate: Some(rate),
        };
        let report = load.run().await?;
        slice.p50_ms = report.latency_ms(0.5);
        slice.p99_ms = report.latency_ms(0.99);
        slice.p999_ms = report.latency_ms(0.999);
        Ok(())
    }
}

impl Bridge {
    /// Starts one that writes to `topic`.
    pub async fn start(ground: &Ground, side: Side, topic: &Topic) -> Result<Bridge> {
        let (directory, _) = ground.place("bridge")?;
        Ok(match side {
            Side::Spanferry => {
                let log = topic.location(&ground.kafka);
                let bridge = Spanferry::bridge(&directory, &log, &[]).await?;
                bridge.ready().await?;
                Bridge::Spanferry(bridge)
            }
            Side::Collector => {
                let variables = [
                    ("KAFKA_BROKERS", ground.kafka.address()),
                    ("KAFKA_TOPIC", topic.name.clone()),
                ];
                Bridge::Collector(Collector::start(&directory, TO_KAFKA, &variables).await?)
            }
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Bridge::Spanferry(bridge) => bridge.id(),
            Bridge::Collector(collector) => collector.id(),
        }
    }

    /// Where it takes OTLP.
    pub fn address(&self, protocol: Protocol) -> Result<SocketAddr> {
        match (self, protocol) {
            (Bridge::Spanferry(bridge), Protocol::Http) => bridge.http(),
            (Bridge::Spanferry(bridge), Protocol::Grpc) => bridge.grpc(),
            (Bridge::Collector(collector), Protocol::Http) => Ok(collector.http()),
            (Bridge::Collector(collector), Protocol::Grpc) => Ok(collector.grpc()),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

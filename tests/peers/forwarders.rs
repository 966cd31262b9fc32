//! Kafka in, OTLP out: Spanferry's forwarder and the Collector each drain the same backlog, as a group of its own, into the same
//! sink.

use crate::bridges::Bridge;
use crate::collector::{Collector, FROM_KAFKA};
use crate::corpus::{Corpus, Extent, Recipe};
use crate::figures::{Comparison, SIDES, Side, Slice};
use crate::ground::Ground;
use crate::load::{Load, Protocol};
use crate::sink::{Seen, Sink};
use crate::topic::Topic;
use anyhow::{Context, Result, ensure};
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::usage;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a process to join its group, and for a backlog to be drained.
const LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(2);

/// Who stands between Kafka and the sink.
pub enum Forwarder {
    /// Ours.
    Spanferry(Spanferry),
    /// The peer.
    Collector(Collector),
}

/// A topic that holds a load.
struct Backlog {
    topic: Topic,
    corpus: Arc<Corpus>,
    extent: Extent,
    first: u64,
}

/// Measures both over all rounds, with a backlog of so many spans.
pub async fn compare(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Comparison> {
    let backlog = Backlog::fill(ground, recipe, spans).await.context("the backlog")?;
    let sink = Sink::start()?;
    let mut rounds = Vec::new();
    for round in 0..ground.arguments.rounds as usize {
        eprintln!("forwarder, {}: round {} of {}", recipe.name, round + 1, ground.arguments.rounds);
        let mut slices = [Slice::default(); 2];
        for place in 0..SIDES.len() {
            let side = SIDES[(place + round) % SIDES.len()];
            let drained = backlog.drain(ground, side, &sink).await;
            slices[side as usize] = drained.with_context(|| side.name())?;
        }
        rounds.push(slices);
    }
    let note =
        format!("a backlog of {} spans in {} records", backlog.extent.spans, backlog.extent.traces);
    Ok(Comparison { name: recipe.name.into(), note, rounds })
}

impl Forwarder {
    /// Starts one that reads `topic` as `group`.
    pub async fn start(
        ground: &Ground,
        side: Side,
        topic: &Topic,
        group: &str,
        sink: &Sink,
    ) -> Result<Forwarder> {
        let (directory, _) = ground.place("forwarder")?;
        Ok(match side {
            Side::Spanferry => {
                let (log, to) =
                    (topic.location(&ground.kafka), format!("http://{}", sink.address()));
                let more = ["--group", group, "--protocol", "grpc"];
                let started = Spanferry::forward("forward", &directory, &log, &to, &more);
                Forwarder::Spanferry(started.await?)
            }
            Side::Collector => {
                let variables = [
                    ("KAFKA_BROKERS", ground.kafka.address()),
                    ("KAFKA_TOPIC", topic.name.clone()),
                    ("KAFKA_GROUP", group.to_owned()),
                    ("DESTINATION", sink.address().to_string()),
                ];
                Forwarder::Collector(Collector::start(&directory, FROM_KAFKA, &variables).await?)
            }
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Forwarder::Spanferry(forwarder) => forwarder.id(),
            Forwarder::Collector(collector) => collector.id(),
        }
    }
}

impl Backlog {
    async fn fill(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Backlog> {
        let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
        let extent = corpus.of_spans(spans);
        let (_, name) = ground.place("backlog")?;
        let topic = Topic::make(&ground.kafka, &name, ground.arguments.partitions).await?;
        let bridge = Bridge::start(ground, Side::Spanferry, &topic).await?;
        let first = ground.number();
        let load = Load {
            target: bridge.address(Protocol::Http)?,
            protocol: Protocol::Http,
            connections: ground.arguments.connections,
            corpus: corpus.clone(),
            extent,
            first,
            rate: None,
        };
        load.run().await?;
        Ok(Backlog { topic, corpus, extent, first })
    }

    /// One side drains it from its beginning. Counted from the first request at the sink, so that no start-up is in it.
    async fn drain(&self, ground: &Ground, side: Side, sink: &Sink) -> Result<Slice> {
        sink.await_load(self.first, &self.corpus, &self.extent);
        let (_, group) = ground.place("group")?;
        let forwarder = Forwarder::start(ground, side, &self.topic, &group, sink).await?;
        let id = forwarder.id();
        until(sink, |seen| seen.first.is_some()).await.context("the first span")?;
        let (cpu, begin) = (usage::cpu(id)?, sink.seen());
        let seen = until(sink, |seen| seen.whole == self.extent.requests).await?;
        let cpu = usage::cpu(id)?.saturating_sub(cpu);
        ensure!(seen.extra == 0 && seen.broken == 0, "{seen:?}");
        ensure!(seen.spans == self.extent.spans, "{seen:?} of {:?}", self.extent);
        let (Some((first, with_it)), Some(last)) = (seen.first, seen.last) else {
            anyhow::bail!("nothing came");
        };
        let elapsed = last.saturating_duration_since(first).as_secs_f64();
        Ok(Slice {
            cpu_us: cpu.as_secs_f64() * 1e6 / (seen.spans - begin.spans) as f64,
            spans_a_second: (seen.spans - with_it) as f64 / elapsed,
            peak_mib: usage::peak(id)? as f64 / f64::from(1 << 20),
            ..Slice::default()
        })
    }
}

/// Waits until what the sink has seen is so.
async fn until(sink: &Sink, holds: impl Fn(&Seen) -> bool) -> Result<Seen> {
    let begin = Instant::now();
    loop {
        let seen = sink.seen();
        if holds(&seen) {
            return Ok(seen);
        }
        ensure!(begin.elapsed() < LIMIT, "after {LIMIT:?}: {seen:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

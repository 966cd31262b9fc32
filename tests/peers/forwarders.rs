//! Kafka in, OTLP out: Spanferry's forwarder and the Collector each drain the same backlog, as a group of its own, into the same
//! sink.

use crate::corpus::{Corpus, Extent};
use crate::figures::{Comparison, Side, Slice};
use crate::ground::Ground;
use crate::load::Protocol;
use crate::meter::Meter;
use crate::records::Records;
use crate::sides::{Bridge, Forwarder};
use crate::sink::Sink;
use crate::topic::Topic;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::time::Instant;

/// A topic that holds a load.
pub struct Backlog {
    /// The topic.
    pub topic: Topic,
    /// What its records are.
    pub records: Records,
    /// What was sent.
    pub corpus: Arc<Corpus>,
    /// How much of it.
    pub extent: Extent,
    /// The number of its first request.
    pub first: u64,
}

/// Measures both over all rounds, with a backlog of so many spans.
pub async fn compare(
    ground: &Ground,
    records: Records,
    protocol: Protocol,
    spans: u64,
) -> Result<Comparison> {
    let name = records.name_over(protocol);
    let (backlog, count) = Backlog::fill(ground, records, spans).await.context("the backlog")?;
    let sink = Sink::start()?;
    let drain = async |side: Side| backlog.drain(ground, side, protocol, &sink).await;
    let rounds = ground.rounds(&format!("forwarder, {name}"), drain).await?;
    let note = format!("{} spans in {count} records", backlog.extent.spans);
    Ok(Comparison { name, note, rounds })
}

impl Backlog {
    /// Fills a new topic by our bridge, and counts its records.
    pub async fn fill(ground: &Ground, records: Records, spans: u64) -> Result<(Backlog, u64)> {
        let corpus = Arc::new(Corpus::make(records.recipe, ground.arguments.seed)?);
        let extent = corpus.of_spans(spans);
        let topic = ground.topic(ground.arguments.partitions).await?;
        let empty = topic.mark().await?;
        let bridge = Bridge::start(ground, Side::Spanferry, &topic, records).await?;
        let target = bridge.address(Protocol::Http)?;
        let load = ground.load(target, Protocol::Http, &corpus, extent);
        let first = load.first;
        load.run().await?;
        let written = topic.since(&empty).await?;
        ensure!(written.spans == extent.spans, "{written:?} of {extent:?} acknowledged");
        Ok((Backlog { topic, records, corpus, extent, first }, written.records))
    }

    /// One side drains it from its beginning. Counted from the first request at the sink, so that no start-up is in it; where all
    /// came with that one, from the start.
    pub async fn drain(
        &self,
        ground: &Ground,
        side: Side,
        protocol: Protocol,
        sink: &Sink,
    ) -> Result<Slice> {
        sink.await_load(self.first, &self.corpus, &self.extent);
        let (_, group) = ground.place("group")?;
        let (start, to) = (Instant::now(), (protocol, sink.address()));
        let forwarder = Forwarder::start(ground, side, (&self.topic, self.records), &group, to);
        let forwarder = forwarder.await?;
        let birth = Meter::from_birth(&[forwarder.id()]);
        sink.until("the first span", |seen| seen.first.is_some()).await?;
        let (meter, before) = (Meter::start(&[forwarder.id()])?, sink.seen().spans);
        let all = self.extent.requests;
        let seen = sink.until("the last span", |seen| seen.whole == all).await?;
        let (used, used_in_all) = (meter.read()?, birth.read()?);
        seen.exactly(&self.extent)?;
        let (first, with_it) = seen.first.context("nothing came")?;
        let last = seen.last.context("nothing came")?;
        let (used, spans) = match seen.spans - before {
            0 => (used_in_all, seen.spans),
            rest => (used, rest),
        };
        let (since, came) = match seen.spans - with_it {
            0 => (start, seen.spans),
            rest => (first, rest),
        };
        let elapsed = last.saturating_duration_since(since).as_secs_f64();
        Ok(Slice {
            cpu_us: used.cpu_us(spans),
            spans_a_second: came as f64 / elapsed,
            peak_mb: used.peak_mb,
            ..Slice::default()
        })
    }
}

//! The whole way, from OTLP to OTLP: bridge, Kafka and forwarder into the sink; on the other side two Collectors.

use crate::corpus::{Corpus, Extent, Recipe};
use crate::figures::{Comparison, Side, Slice};
use crate::ground::Ground;
use crate::load::{Load, Protocol};
use crate::meter::Meter;
use crate::records::Records;
use crate::sides::{Bridge, Forwarder};
use crate::sink::Sink;
use crate::turns::{Way, both, paced_rounds};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;

struct Chain {
    bridge: Bridge,
    forwarder: Forwarder,
    sink: Sink,
    corpus: Arc<Corpus>,
}

/// Measures both over all rounds.
pub async fn compare(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Comparison> {
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let records = Records::of_traces(recipe);
    let start = async |side| Chain::start(ground, side, records, corpus.clone()).await;
    let chains = both(start).await?;
    let (rate, rounds) =
        paced_rounds(ground, &format!("end to end, {}", recipe.name), &chains, spans).await?;
    let note = format!("visible at {rate:.0} requests/s");
    Ok(Comparison { name: recipe.name.into(), note, rounds })
}

impl Chain {
    async fn start(
        ground: &Ground,
        side: Side,
        records: Records,
        corpus: Arc<Corpus>,
    ) -> Result<Chain> {
        let topic = ground.topic(ground.arguments.partitions).await?;
        let sink = Sink::start()?;
        let bridge = Bridge::start(ground, side, &topic, records).await?;
        let to = (Protocol::Grpc, sink.address());
        let from = (&topic, records);
        let forwarder = Forwarder::start(ground, side, from, &topic.name, to).await?;
        Ok(Chain { bridge, forwarder, sink, corpus })
    }

    fn load(&self, ground: &Ground, extent: Extent) -> Result<Load> {
        let target = self.bridge.address(Protocol::Http)?;
        let load = ground.load(target, Protocol::Http, &self.corpus, extent);
        self.sink.await_load(load.first, &self.corpus, &extent);
        Ok(load)
    }
}

impl Way for Chain {
    /// As fast as it is taken, until all of it has come out.
    async fn saturate(&self, ground: &Ground, spans: u64) -> Result<Slice> {
        let extent = self.corpus.of_spans(spans);
        let load = self.load(ground, extent)?;
        let meter = Meter::start(&[self.bridge.id(), self.forwarder.id()])?;
        let begin = std::time::Instant::now();
        load.run().await?;
        let all = extent.requests;
        let seen = self.sink.until("the last span", |seen| seen.whole == all).await?;
        let used = meter.read()?;
        seen.exactly(&extent)?;
        let last = seen.last.context("nothing came")?;
        let seconds = last.saturating_duration_since(begin).as_secs_f64();
        Ok(Slice::saturated(&used, &extent, seconds))
    }

    /// At a rate that is the same for both: from when a request should have left until its last span is at the destination.
    async fn pace(&self, ground: &Ground, rate: f64, slice: &mut Slice) -> Result<()> {
        let extent = self.corpus.of_requests((rate * ground.arguments.paced_seconds).ceil() as u64);
        let mut load = self.load(ground, extent)?;
        load.rate = Some(rate);
        let report = load.run().await?;
        let all = extent.requests;
        self.sink.until("the last span", |seen| seen.whole == all).await?;
        let mut visible: Vec<Duration> = Vec::with_capacity(report.answered.len());
        for one in &report.answered {
            let at = self.sink.whole_at(one.place).context("a request that is not whole")?;
            visible.push(at.saturating_duration_since(one.due));
        }
        slice.latencies(visible);
        Ok(())
    }
}

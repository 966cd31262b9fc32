//! The whole way into real Jaeger: bridge, Kafka, forwarder and Jaeger on our side, the Collector, Kafka and Jaeger's ingester on
//! the other. Visible is what Jaeger's query API shows.

use crate::collector::{Collector, INGESTER, JAEGER};
use crate::corpus::{Corpus, ONE, Recipe};
use crate::figures::{Comparison, Side, Slice};
use crate::ground::Ground;
use crate::load::{Protocol, Sender};
use crate::meter::Meter;
use crate::records::Records;
use crate::sides::{Bridge, Forwarder};
use crate::topic::Topic;
use crate::turns::{Way, both, paced_rounds};
use anyhow::{Result, ensure};
use http::StatusCode;
use spanferry_tests::stack::http::get;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For a load to be stored, and for a probe to be seen.
const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at a group's lag.
const LOOK: Duration = Duration::from_millis(50);
/// Between two questions for one trace.
const ASK: Duration = Duration::from_millis(2);
/// Between two probes.
const PROBE: Duration = Duration::from_millis(40);

struct End {
    bridge: Bridge,
    /// On our side only.
    forwarder: Option<Forwarder>,
    jaeger: Collector,
    topic: Topic,
    corpus: Arc<Corpus>,
    probes: Arc<Corpus>,
}

/// Measures both over all rounds.
pub async fn compare(ground: &Ground, recipe: Recipe, spans: u64) -> Result<Comparison> {
    let corpus = Arc::new(Corpus::make(recipe, ground.arguments.seed)?);
    let records = Records::of_traces(recipe);
    let start = async |side| End::start(ground, side, records, corpus.clone()).await;
    let ends = both(start).await?;
    let (rate, rounds) =
        paced_rounds(ground, &format!("into Jaeger, {}", recipe.name), &ends, spans).await?;
    let note = format!("visible at {rate:.0} requests/s");
    Ok(Comparison { name: recipe.name.into(), note, rounds })
}

impl End {
    async fn start(
        ground: &Ground,
        side: Side,
        records: Records,
        corpus: Arc<Corpus>,
    ) -> Result<End> {
        let topic = ground.topic(ground.arguments.partitions).await?;
        let bridge = Bridge::start(ground, side, &topic, records).await?;
        let (directory, _) = ground.place("jaeger")?;
        let (jaeger, forwarder) = match side {
            Side::Spanferry => {
                let jaeger = Collector::start(&directory, JAEGER, &[]).await?;
                let to = (Protocol::Grpc, jaeger.grpc());
                let from = (&topic, records);
                let forwarder = Forwarder::start(ground, side, from, &topic.name, to).await?;
                (jaeger, Some(forwarder))
            }
            Side::Collector => {
                let variables = [
                    ("KAFKA_BROKERS", ground.kafka.address()),
                    ("KAFKA_TOPIC", topic.name.clone()),
                    ("KAFKA_GROUP", topic.name.clone()),
                ];
                (Collector::start(&directory, INGESTER, &variables).await?, None)
            }
        };
        let probes = Arc::new(Corpus::make(ONE, ground.arguments.seed)?);
        Ok(End { bridge, forwarder, jaeger, topic, corpus, probes })
    }

    fn processes(&self) -> Vec<u32> {
        let forwarder = self.forwarder.iter().map(Forwarder::id);
        [self.bridge.id(), self.jaeger.id()].into_iter().chain(forwarder).collect()
    }

    async fn probe(&self, sender: &mut Sender, number: u64) -> Result<Duration> {
        let body = self.probes.body(number);
        let trace_id = hex::encode(body.trace_id(number));
        let url = format!("http://{}/api/v3/traces/{trace_id}", self.jaeger.query());
        let sent = Instant::now();
        sender.send(body, number).await?;
        while get(&url).await?.0 != StatusCode::OK {
            ensure!(sent.elapsed() < LIMIT, "Jaeger does not show {trace_id}");
            tokio::time::sleep(ASK).await;
        }
        Ok(sent.elapsed())
    }
}

impl Way for End {
    /// As fast as it is taken, until every record is committed: stored by Jaeger, and up to the next commit.
    async fn saturate(&self, ground: &Ground, spans: u64) -> Result<Slice> {
        let extent = self.corpus.of_spans(spans);
        let target = self.bridge.address(Protocol::Http)?;
        let meter = Meter::start(&self.processes())?;
        let begin = Instant::now();
        ground.load(target, Protocol::Http, &self.corpus, extent).run().await?;
        while self.topic.lag(&self.topic.name).await? > 0 {
            ensure!(begin.elapsed() < LIMIT, "records wait after {LIMIT:?}");
            tokio::time::sleep(LOOK).await;
        }
        let (used, seconds) = (meter.read()?, begin.elapsed().as_secs_f64());
        Ok(Slice::saturated(&used, &extent, seconds))
    }

    /// At a rate that is the same for both, with probes between: from when one leaves until Jaeger shows it.
    async fn pace(&self, ground: &Ground, rate: f64, slice: &mut Slice) -> Result<()> {
        let seconds = ground.arguments.paced_seconds;
        let extent = self.corpus.of_requests((rate * seconds).ceil() as u64);
        let target = self.bridge.address(Protocol::Http)?;
        let mut load = ground.load(target, Protocol::Http, &self.corpus, extent);
        load.rate = Some(rate);
        let probes = ground.load(target, Protocol::Http, &self.probes, extent).first;
        let load = tokio::spawn(load.run());
        let mut sender = Sender::new(Protocol::Http, target)?;
        let mut visible = Vec::new();
        while !load.is_finished() {
            visible.push(self.probe(&mut sender, probes + visible.len() as u64).await?);
            tokio::time::sleep(PROBE).await;
        }
        load.await??;
        slice.latencies(visible);
        Ok(())
    }
}

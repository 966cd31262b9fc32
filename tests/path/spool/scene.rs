//! A bridge with a spool, a Kafka of its own that does not run yet, and later a forwarder and the sink.

use crate::harness::Ground;
use crate::rig::LIMIT;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::request::Builder;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use opentelemetry_proto::tonic::trace::v1::Span;
use spanferry_tests::fakes::Sink;
use spanferry_tests::fakes::wire::{request_of, spans_of};
use spanferry_tests::stack::http as client;
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::spanferry::Spanferry;
use spanferry_tests::stack::wait::eventually;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Each batch has a span of each of so many traces.
pub const TRACES: u64 = 4;

/// As on any machine it keeps its partitions while Kafka is away for some seconds: it is never killed here.
const FORWARD: [&str; 2] = ["--backoff-max", "1s"];

/// Dropped top down: who sends goes before who receives.
pub struct Scene {
    pub bridge: Spanferry,
    pub forward: Option<Spanferry>,
    pub sink: Sink,
    pub kafka: Kafka,
    accepted: BTreeSet<u64>,
    topic: String,
    directory: PathBuf,
}

impl Scene {
    /// With the bridge and without Kafka.
    pub async fn start(ground: &Ground, name: &str, more: &[&str]) -> Result<Scene> {
        let directory = ground.directory(name)?;
        let kafka = Kafka::prepare(&directory)?;
        let log = format!("kafka://{}/{name}", kafka.address());
        let spool = directory.join("spool").display().to_string();
        let more = [&["--spool", &spool], more].concat();
        let bridge = Spanferry::bridge(&directory, &log, &more).await?;
        let (sink, topic, accepted) = (Sink::start()?, name.to_owned(), BTreeSet::new());
        Ok(Scene { bridge, forward: None, sink, kafka, accepted, topic, directory })
    }

    /// Where batches go.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}/v1/traces", self.bridge.http()?))
    }

    /// The spool's directory.
    pub fn spool(&self) -> PathBuf {
        self.directory.join("spool")
    }

    /// The log as a URL, and the forwarder's group.
    pub fn log_and_group(&self) -> (String, String) {
        (format!("kafka://{}/{}", self.kafka.address(), self.topic), self.topic.clone())
    }

    /// Sends a batch without a filter's number, once.
    pub async fn send(&mut self, number: u64) -> Result<Response<Bytes>> {
        self.post(number, Request::post(self.url()?)).await
    }

    /// Sends a batch as a filter does, so that it is known when it comes again.
    pub async fn send_numbered(&mut self, number: u64) -> Result<Response<Bytes>> {
        let request = Request::post(self.url()?)
            .header("x-spanferry-source", "a filter")
            .header("x-spanferry-sequence", number + 1);
        self.post(number, request).await
    }

    async fn post(&mut self, number: u64, request: Builder) -> Result<Response<Bytes>> {
        let request = request.header("content-type", "application/x-protobuf");
        let answer = client::answer(request.body(Full::new(batch(number)))?).await?;
        if answer.status().is_success() {
            self.accepted.insert(number);
        }
        Ok(answer)
    }

    /// Sends batches from 0 on until one is refused, as one that is to come again: how many were taken, and the refusal.
    pub async fn fill(&mut self, most: u64) -> Result<(u64, Response<Bytes>)> {
        for number in 0..most {
            let answer = self.send(number).await?;
            if answer.status() != StatusCode::OK {
                ensure!(answer.status() == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
                ensure!(answer.headers().get("retry-after").is_some(), "{answer:?}");
                return Ok((number, answer));
            }
        }
        anyhow::bail!("{most} batches, and it is never full")
    }

    /// Spans in the spool, as the bridge says.
    pub async fn waiting_spans(&self) -> Result<u64> {
        Ok(self.bridge.metrics().await?.count("spanferry_spool_queue_size_spans"))
    }

    /// Starts the forwarder, if it does not run.
    pub async fn start_forwarder(&mut self) -> Result<()> {
        if self.forward.is_none() {
            self.start_forwarder_with(&FORWARD).await?;
        }
        Ok(())
    }

    /// Starts the forwarder with these flags.
    pub async fn start_forwarder_with(&mut self, flags: &[&str]) -> Result<()> {
        let (log, group) = self.log_and_group();
        let more = [&["--group", &group], flags].concat();
        let to = self.sink.grpc_url();
        self.forward =
            Some(Spanferry::forward("forward", &self.directory, &log, &to, &more).await?);
        Ok(())
    }

    /// Waits until the sink holds what was accepted, once, and nothing waits in the spool.
    pub async fn everything_arrives(&mut self) -> Result<()> {
        self.start_forwarder().await?;
        let holds = |metrics: &spanferry_tests::stack::metrics::Metrics| {
            metrics.count("spanferry_spool_queue_size_spans") == 0
                && metrics.count("spanferry_spool_in_use") == 0
        };
        self.bridge.metrics_until("an empty spool", LIMIT, holds).await?;
        let wanted = self.accepted.len() as u64 * TRACES;
        let (sink, forward) = (&self.sink, self.forward.as_ref());
        let all = async || Ok((sink.counts().len() as u64 == wanted).then_some(()));
        let arrived = eventually("every accepted span at the sink", LIMIT, all).await;
        let tail = || forward.map(Spanferry::output).unwrap_or_default();
        arrived
            .with_context(|| format!("{} of {wanted} spans\n{}", sink.counts().len(), tail()))?;
        let stored = sink.span_count() as u64;
        ensure!(stored == wanted, "{stored} spans stored, and {wanted} were accepted");
        Ok(())
    }

    /// Kafka's own consumer sees each trace's spans in the order in which they were accepted.
    pub async fn the_topic_has_each_trace_in_order(&self) -> Result<()> {
        let records = self.accepted.len() as u64 * TRACES;
        let mut traces: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in self.kafka.consume(&self.topic, records).await? {
            for span in spans_of(value.into())? {
                traces.entry(key.clone()).or_default().push(span.span_id);
            }
        }
        let wanted: Vec<_> = self.accepted.iter().map(|number| hex::encode(id(*number))).collect();
        ensure!(traces.len() as u64 == TRACES, "{} traces", traces.len());
        for (trace, spans) in traces {
            let first = spans.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            ensure!(spans == wanted, "trace {trace}: {} spans, wrong from {first:?}", spans.len());
        }
        Ok(())
    }
}

fn id(number: u64) -> [u8; 8] {
    (number + 1).to_be_bytes()
}

fn batch(number: u64) -> Bytes {
    let span = |trace: u64| Span {
        trace_id: vec![trace as u8 + 1; 16],
        span_id: id(number).to_vec(),
        name: "in order".into(),
        ..Span::default()
    };
    request_of((0..TRACES).map(span).collect())
}

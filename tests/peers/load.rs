//! The load: a corpus' requests over many connections, by OTLP/HTTP or OTLP/gRPC, as fast as they are answered or at a rate.
//! Cheap beside what it measures: bodies are ready, a request costs a copy and its numbers.

mod sender;

use crate::corpus::{Corpus, Extent};
use anyhow::{Context, Result};
use sender::Sender;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with protobuf bodies.
    Http,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// Its name for a reader.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http => "OTLP/HTTP",
            Protocol::Grpc => "OTLP/gRPC",
        }
    }
}

/// What is sent, where to, and how fast.
#[derive(Clone)]
pub struct Load {
    /// Where the requests go.
    pub target: SocketAddr,
    /// How they are sent.
    pub protocol: Protocol,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// What is in them.
    pub corpus: Arc<Corpus>,
    /// How much of it.
    pub extent: Extent,
    /// The number of the first request: no two loads of a run share one.
    pub first: u64,
    /// Requests a second over all connections; `None` sends the next as soon as the last is answered. With a rate,
    /// latency counts from the time at which a request should have left.
    pub rate: Option<f64>,
}

/// What came of a load, of which every request was answered with 200.
pub struct Report {
    /// Of each request, from when it should have left to its answer.
    pub latencies: Vec<Duration>,
    /// From the first send to the last answer.
    pub elapsed: Duration,
}

struct Schedule {
    load: Load,
    begin: Instant,
    taken: AtomicU64,
}

impl Load {
    /// Runs it to its end. An error if one request was not answered with 200: its figure would mean nothing.
    pub async fn run(self) -> Result<Report> {
        let connections = self.connections;
        let begin = Instant::now();
        let schedule = Arc::new(Schedule { load: self, begin, taken: AtomicU64::new(0) });
        let tasks: Vec<_> =
            (0..connections).map(|_| tokio::spawn(drive(schedule.clone()))).collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.context("a connection's task")??);
        }
        Ok(Report { latencies, elapsed: begin.elapsed() })
    }
}

impl Schedule {
    /// The next request's place, and when it should leave; `None` when the load is over.
    async fn next(&self) -> Option<(u64, Instant)> {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        if place >= self.load.extent.requests {
            return None;
        }
        let Some(rate) = self.load.rate else { return Some((place, Instant::now())) };
        let due = self.begin + Duration::from_secs_f64(place as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        Some((place, due))
    }
}

async fn drive(schedule: Arc<Schedule>) -> Result<Vec<Duration>> {
    let load = &schedule.load;
    let mut sender = Sender::new(load.protocol, load.target)?;
    let mut latencies = Vec::new();
    while let Some((place, due)) = schedule.next().await {
        sender.send(load.corpus.body(place), load.first + place).await?;
        latencies.push(due.elapsed());
    }
    Ok(latencies)
}

impl Report {
    /// The latency that this share of the requests (0.0 to 1.0) did not exceed, ms.
    pub fn latency_ms(&self, share: f64) -> f64 {
        percentile(self.latencies.iter().map(|one| one.as_secs_f64() * 1e3), share)
    }
}

/// The figure that this share of the figures (0.0 to 1.0) did not exceed; 0 for none.
pub fn percentile(figures: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::GATEWAY;
    use crate::sink::Sink;

    async fn every_span_arrives(protocol: Protocol) {
        let corpus = Arc::new(Corpus::make(GATEWAY, 7).unwrap());
        let extent = corpus.of_spans(5_000);
        let sink = Sink::start().unwrap();
        sink.await_load(1 << 32, &corpus, &extent);
        let (target, connections) = (sink.address(), 4);
        let load =
            Load { target, protocol, connections, corpus, extent, first: 1 << 32, rate: None };
        let report = load.run().await.unwrap();
        assert_eq!(report.latencies.len() as u64, extent.requests);
        let seen = sink.seen();
        assert_eq!((seen.spans, seen.whole), (extent.spans, extent.requests));
    }

    #[tokio::test]
    async fn every_span_arrives_by_http() {
        every_span_arrives(Protocol::Http).await;
    }

    #[tokio::test]
    async fn every_span_arrives_by_grpc() {
        every_span_arrives(Protocol::Grpc).await;
    }

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let figures = || (1..=100).map(f64::from);
        assert_eq!((percentile(figures(), 0.0), percentile(figures(), 1.0)), (1.0, 100.0));
        assert_eq!(percentile([3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(percentile([], 0.5), 0.0);
    }
}

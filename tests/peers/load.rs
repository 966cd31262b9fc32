//! The load: a corpus' requests over many connections, by OTLP/HTTP or OTLP/gRPC, as fast as they are answered or at a rate.
//! Cheap beside what it measures: bodies are ready, a request costs a copy and its numbers.

mod sender;

use crate::corpus::{Corpus, Extent};
use anyhow::{Context, Result};
pub use sender::Sender;
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

/// One request that was answered with 200.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Its place in the load, from 0.
    pub place: u64,
    /// When it should have left.
    pub due: Instant,
    /// From then to its answer.
    pub latency: Duration,
}

/// What came of a load, of which every request was answered with 200.
pub struct Report {
    /// Every request, in no order.
    pub answered: Vec<Answered>,
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
        let mut answered = Vec::new();
        for task in tasks {
            answered.extend(task.await.context("a connection's task")??);
        }
        Ok(Report { answered, elapsed: begin.elapsed() })
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

async fn drive(schedule: Arc<Schedule>) -> Result<Vec<Answered>> {
    let load = &schedule.load;
    let mut sender = Sender::new(load.protocol, load.target)?;
    let mut answered = Vec::new();
    while let Some((place, due)) = schedule.next().await {
        sender.send(load.corpus.body(place), load.first + place).await?;
        answered.push(Answered { place, due, latency: due.elapsed() });
    }
    Ok(answered)
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
        assert_eq!(report.answered.len() as u64, extent.requests);
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
}

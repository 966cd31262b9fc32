//! Who sends: filters, which number their batches, and SDKs, which do not. Each batch is sent until its 200.

use super::numbered::{Numbered, SPANS_A_BATCH, first};
use crate::stack::http as client;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_millis(50);

/// One who sends.
#[derive(Clone)]
pub struct Sender {
    /// Its number.
    pub id: u64,
    /// Whether it numbers its batches, as a filter does.
    pub is_filter: bool,
    /// The bridges that it goes to in turn.
    pub bridges: Vec<SocketAddr>,
    /// How its spans are numbered.
    pub numbered: Numbered,
    /// Its pause between two batches.
    pub pause: Duration,
}

/// Tries that were not answered with 200.
#[derive(Debug, Default)]
struct Tries {
    /// Told to come again.
    refused: AtomicU64,
    /// Cut off, or without an answer: accepted or not, nobody knows.
    unclear: AtomicU64,
}

/// Several who send, until they are told to stop.
pub struct Senders {
    is_over: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    tries: Arc<Tries>,
    running: JoinSet<Vec<u64>>,
}

impl Senders {
    /// Has them all send.
    pub fn start(senders: impl IntoIterator<Item = Sender>) -> Senders {
        let mut all = Senders {
            is_over: Arc::default(),
            accepted: Arc::default(),
            tries: Arc::default(),
            running: JoinSet::new(),
        };
        for sender in senders {
            let shared = (all.is_over.clone(), all.accepted.clone(), all.tries.clone());
            all.running.spawn(send(sender, shared));
        }
        all
    }

    /// Spans accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Tries that were refused, and those without a clear answer, so far.
    pub fn tries(&self) -> (u64, u64) {
        (self.tries.refused.load(Ordering::Relaxed), self.tries.unclear.load(Ordering::Relaxed))
    }

    /// They begin no more batches, and send what they have until it is accepted. Gives the numbers of all accepted spans:
    /// one that is not among them was sent by nobody.
    pub async fn finish(mut self) -> Vec<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut accepted = Vec::new();
        while let Some(Ok(numbers)) = self.running.join_next().await {
            accepted.extend(numbers);
        }
        accepted
    }
}

type Shared = (Arc<AtomicBool>, Arc<AtomicU64>, Arc<Tries>);

async fn send(sender: Sender, (is_over, count, tries): Shared) -> Vec<u64> {
    let (mut accepted, mut sequence, mut turn) = (Vec::new(), 0, sender.id as usize);
    while !is_over.load(Ordering::Relaxed) {
        sequence += 1;
        let first = first(sender.id, sequence);
        let numbers = first..first + SPANS_A_BATCH;
        let body = Bytes::from(sender.numbered.batch(numbers.clone()));
        while !sender.is_accepted(turn, sequence, body.clone(), &tries).await {
            turn += 1;
            tokio::time::sleep(AGAIN).await;
        }
        count.fetch_add(SPANS_A_BATCH, Ordering::Relaxed);
        accepted.extend(numbers);
        tokio::time::sleep(sender.pause).await;
    }
    accepted
}

impl Sender {
    async fn is_accepted(&self, turn: usize, sequence: u64, body: Bytes, tries: &Tries) -> bool {
        let bridge = self.bridges[turn % self.bridges.len()];
        let mut request = Request::post(format!("http://{bridge}/v1/traces"))
            .header("content-type", "application/x-protobuf");
        if self.is_filter {
            request = request
                .header("x-spanferry-source", format!("sender-{}", self.id))
                .header("x-spanferry-sequence", sequence);
        }
        let Ok(request) = request.body(Full::new(body)) else { return false };
        let answer = tokio::time::timeout(PATIENCE, client::exchange(request)).await;
        let counter = match answer {
            Ok(Ok((status, _))) if status.is_success() => return true,
            Ok(Ok(_)) => &tries.refused,
            Ok(Err(_)) | Err(_) => &tries.unclear,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        false
    }
}

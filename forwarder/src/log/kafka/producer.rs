//! Appends: checked, bounded, handed to one writer in order, all or none.
//!
//! A writer that failed is replaced. The append that finds it so is refused once with `AppendError::Failed`, so that a
//! caller who numbers its records learns of the break in the order of its own calls, and starts a new numbering.

use super::acknowledge::{Slot, pending};
use super::cluster::{Cluster, FRAMED_HEADERS, HEADER_BYTES};
use super::queue::Queue;
use super::reach::Reach;
use super::topic::Topic;
use super::writer::Writer;
use crate::log::{Acknowledgement, AppendError, Placed, QueueSize};
use futures_util::FutureExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

static REPLACED: AtomicU64 = AtomicU64::new(0);

/// Producers of this process that failed and were replaced: each failed the appends that were waiting in it.
pub fn producers_replaced() -> u64 {
    REPLACED.load(Ordering::Relaxed)
}

/// The appending side of a topic.
pub(super) struct Producer {
    cluster: Arc<Cluster>,
    topic: Arc<Topic>,
    queue: Arc<Queue>,
    /// Made by the first append. Its lock keeps the order of appends.
    writer: Mutex<Option<Writer>>,
}

impl Producer {
    pub(super) fn new(cluster: Arc<Cluster>, topic: Arc<Topic>, queue_bytes: usize) -> Self {
        let queue = Arc::new(Queue::new(queue_bytes));
        Self { cluster, topic, queue, writer: Mutex::new(None) }
    }

    pub(super) fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError> {
        if records.is_empty() {
            return Ok(std::future::ready(Ok(Vec::new())).boxed());
        }
        let bytes = self.check(&records)?;
        let mut current = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = self.ready(&mut current)?;
        self.queue.enter(records.len(), bytes).map_err(|bytes| AppendError::Full {
            topic: self.topic.name().into(),
            bytes,
            limit: self.queue.limit(),
        })?;
        match self.hand_over(writer, &records) {
            Ok(acknowledgement) => Ok(acknowledgement),
            Err(detail) => {
                // Nothing may follow a hole: what librdkafka took of it goes down with this writer.
                self.replace(&mut current, &detail);
                Err(self.failed(detail))
            }
        }
    }

    pub(super) fn queue(&self) -> QueueSize {
        self.queue.size()
    }

    pub(super) async fn flush(&self) {
        self.queue.empty().await;
    }

    /// The records' bytes, if each of them may be sent.
    fn check(&self, records: &[Placed]) -> Result<usize, AppendError> {
        let Some(partitions) = self.topic.known_partitions() else {
            return Err(self.failed("its partitions are not known yet; ask for them first".into()));
        };
        let limit = self.topic.record_bytes();
        let mut bytes = 0;
        for Placed { partition, record } in records {
            let unframed = record.headers.len().saturating_sub(FRAMED_HEADERS) * HEADER_BYTES;
            let size = record.size() + unframed;
            if size > limit {
                return Err(AppendError::TooLarge { topic: self.topic.name().into(), size, limit });
            }
            if *partition >= partitions {
                return Err(self.failed(format!("no partition {partition} among {partitions}")));
            }
            bytes += record.size();
        }
        Ok(bytes)
    }

    /// The writer, made when there is none. A broken one is dropped, and this append is refused.
    fn ready<'a>(&self, current: &'a mut Option<Writer>) -> Result<&'a Writer, AppendError> {
        if let Some(reason) = current.as_ref().and_then(Writer::broken) {
            let reason = reason.to_string();
            self.replace(current, &reason);
            return Err(self.failed(reason));
        }
        match current {
            Some(writer) => Ok(writer),
            None => Ok(current.insert(self.start().map_err(|detail| self.failed(detail))?)),
        }
    }

    fn start(&self) -> Result<Writer, String> {
        let config = self.cluster.producer(self.topic.record_bytes(), self.queue.limit());
        let name = self.topic.name();
        let reach = Reach::new(format!("producer of topic {name}"), self.cluster.brokers());
        Writer::start(&config, name, self.queue.clone(), reach)
    }

    fn replace(&self, current: &mut Option<Writer>, reason: &str) {
        *current = None;
        REPLACED.fetch_add(1, Ordering::Relaxed);
        warn!(
            topic = self.topic.name(),
            reason, "the producer failed; the next append has a new one"
        );
    }

    /// An error leaves records in the queue that were handed over: their delivery reports let them out.
    fn hand_over(&self, writer: &Writer, records: &[Placed]) -> Result<Acknowledgement, String> {
        let topic = self.topic.name();
        let (pending, acknowledgement) = pending(topic, records.len());
        for (index, Placed { partition, record }) in records.iter().enumerate() {
            let value = record.value.clone();
            let slot = Slot { pending: pending.clone(), index, value, bytes: record.size() };
            if let Err(detail) = writer.send(*partition, record, slot) {
                let rest = &records[index..];
                let bytes = rest.iter().map(|placed| placed.record.size()).sum();
                self.queue.leave(rest.len(), bytes);
                return Err(detail);
            }
        }
        Ok(acknowledgement)
    }

    fn failed(&self, detail: String) -> AppendError {
        AppendError::Failed { topic: self.topic.name().into(), detail }
    }
}

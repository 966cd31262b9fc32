//! Appends: checked, bounded, handed to one writer in order, all or none.
//!
//! A writer that failed is replaced. The append that finds it so is refused once with `AppendError::Failed`, so that a
//! caller who numbers its records learns of the break in the order of its own calls, and starts a new numbering.

use super::acknowledge::pending;
use super::cluster::{Cluster, FRAMED_HEADERS, HEADER_BYTES};
use super::native::carried::carry;
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
        match self.hand_over(writer, records, bytes) {
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
        Writer::start(&config, name, reach)
    }

    fn replace(&self, current: &mut Option<Writer>, reason: &str) {
        *current = None;
        REPLACED.fetch_add(1, Ordering::Relaxed);
        warn!(
            topic = self.topic.name(),
            reason, "the producer failed; the next append has a new one"
        );
    }

    /// An error leaves the append in the queue until what was handed over of it has its delivery reports.
    fn hand_over(
        &self,
        writer: &Writer,
        mut records: Vec<Placed>,
        bytes: usize,
    ) -> Result<Acknowledgement, String> {
        let (topic, count) = (self.topic.name(), records.len());
        let (pending, acknowledgement) = pending(topic, self.queue.clone(), count, bytes);
        let values = records.iter_mut().map(|placed| std::mem::take(&mut placed.record.value));
        let carried = carry(values.collect(), &pending);
        for (sent, (Placed { partition, record }, value)) in records.iter().zip(carried).enumerate()
        {
            if let Err(detail) = writer.send(*partition, record, value) {
                pending.failed(count - sent, self.failed(detail.clone()));
                return Err(detail);
            }
        }
        Ok(acknowledgement)
    }

    fn failed(&self, detail: String) -> AppendError {
        AppendError::Failed { topic: self.topic.name().into(), detail }
    }
}

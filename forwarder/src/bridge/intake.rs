//! The way of a batch from its bytes to its answer: repeats, split, append, and the wait for the acknowledgement.

use super::metrics::{Because, Metrics};
use super::produce::Writer;
use super::refusal::Refusal;
use super::repeats::{Accepted, Identity, Pending, Repeats, Sender};
use super::room::{Room, Taken};
use super::settings::Settings;
use super::spool::{Batch, Spool};
use crate::log::{Log, LogError};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What all connections share.
pub struct Intake {
    log: Arc<dyn Log>,
    writer: Arc<Writer>,
    /// Takes what the log does not take now.
    spool: Option<Arc<Spool>>,
    repeats: Repeats,
    /// Batches whose senders were told to come again and which the log still holds: while there is one, the log is away.
    overdue: Arc<AtomicUsize>,
    /// What the log said when it was asked last for its partitions; `None` when it answered.
    away: Arc<Mutex<Option<LogError>>>,
    is_asking: Arc<AtomicBool>,
    /// The log's partitions as it said last; 0 before.
    partitions: AtomicU32,
    /// Room for bytes in flight.
    pub room: Room,
    /// The bridge's bounds.
    pub settings: Settings,
    /// The bridge's numbers.
    pub metrics: Arc<Metrics>,
}

impl Intake {
    /// An intake for `log`, and for a spool before it.
    pub fn new(
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        settings: Settings,
        metrics: Arc<Metrics>,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        let record = settings.record;
        let new = || Arc::new(Writer::new(log.clone(), dead_letters, metrics.clone(), record));
        let writer = spool.as_ref().map_or_else(new, |spool| spool.writer().clone());
        let room = Room::new(settings.max_bytes_in_flight, metrics.bytes_in_flight.clone());
        Self {
            log,
            writer,
            spool,
            repeats: Repeats::default(),
            overdue: Arc::default(),
            away: Arc::default(),
            is_asking: Arc::default(),
            partitions: AtomicU32::new(0),
            room,
            settings,
            metrics,
        }
    }

    /// Answers for a batch of OTLP protobuf: `Ok` means that its spans are safe. `taken` is given back when the
    /// batch is settled, however early its sender was answered.
    pub async fn accept(
        &self,
        body: Bytes,
        sender: Sender,
        taken: Taken,
    ) -> Result<Accepted, Refusal> {
        let result = self.settle(body, sender, taken).await;
        match &result {
            Ok(_) => {
                self.metrics.accepted_requests.inc();
            }
            Err(refusal) => self.refused(refusal),
        }
        result
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: &Refusal) {
        self.metrics.refused_requests.get_or_create(&Because { reason: refusal.word() }).inc();
    }

    async fn settle(&self, body: Bytes, sender: Sender, taken: Taken) -> Result<Accepted, Refusal> {
        self.metrics.filter_dropped_spans.inc_by(self.repeats.newly_dropped(&sender));
        let identity = Identity::of(&sender, &body);
        let pending = match self.repeats.find(&identity) {
            Some(pending) => {
                self.metrics.repeated_requests.inc();
                pending
            }
            None => {
                let pending = self.append(&body, &sender, taken).await?;
                self.repeats.appended(&identity, &pending);
                pending
            }
        };
        // The records have what they need of it, and the wait may be long.
        drop(body);
        self.show();
        match tokio::time::timeout(self.settings.ack_timeout, pending.clone()).await {
            Ok(result) => result,
            Err(_) => Err(self.overdue(&identity, pending)),
        }
    }

    /// Splits the batch and hands it over. What it gives back goes on by itself when nobody waits for it.
    async fn append(
        &self,
        body: &Bytes,
        sender: &Sender,
        taken: Taken,
    ) -> Result<Pending, Refusal> {
        let (limit, received_ms) = (self.writer.max_value_bytes(), now_ms());
        let known = || self.partitions.load(Ordering::Relaxed);
        let partitions = self.spool.as_ref().map_or_else(known, |spool| spool.partitions());
        let split = self.writer.divide(body, limit, partitions)?;
        let spans = split.traces.iter().map(|part| u64::from(part.spans)).sum();
        let accepted = Accepted { spans, rejected_spans: split.rejected_spans };
        self.metrics.rejected_spans.inc_by(accepted.rejected_spans);
        if spans == 0 {
            return match accepted.rejected_spans {
                0 => Ok(async move { Ok(accepted) }.boxed().shared()),
                rejected => Err(Refusal::NoTraceId(rejected)),
            };
        }
        let (body, sender, parts) = (body.clone(), sender.clone(), split.traces);
        let batch = Batch { body, sender, parts, limit, spans, received_ms };
        let start = Instant::now();
        let safe = match &self.spool {
            Some(spool) => spool.take(batch).await?,
            None => self.write(batch).await?,
        };
        let metrics = self.metrics.clone();
        let pending = async move {
            safe.await?;
            drop(taken);
            metrics.accepted_spans.inc_by(accepted.spans);
            metrics.acknowledge_seconds.observe(start.elapsed().as_secs_f64());
            Ok(accepted)
        };
        let pending = pending.boxed().shared();
        tokio::spawn(pending.clone());
        Ok(pending)
    }

    /// Hands a batch to the log. Resolves when it is acknowledged.
    async fn write(
        &self,
        mut batch: Batch,
    ) -> Result<BoxFuture<'static, Result<(), Refusal>>, Refusal> {
        if self.overdue.load(Ordering::Relaxed) > 0 {
            return Err(Refusal::LogAway("earlier batches wait for their acknowledgement".into()));
        }
        let partitions = self.partitions().await?;
        let limit = self.writer.max_value_bytes();
        self.partitions.store(partitions, Ordering::Relaxed);
        if limit < batch.limit || !self.writer.is_for(&batch.parts, partitions) {
            // With its first answer the log has said that it takes less than was configured, or how many partitions
            // there are.
            batch.parts = self.writer.divide(&batch.body, limit, partitions)?.traces;
        }
        let limit = limit.min(batch.limit);
        self.writer.prepare(&batch.parts, limit).await?;
        let Batch { parts, sender, received_ms, .. } = batch;
        let appended = self.writer.append(parts, limit, &sender, partitions, received_ms)?;
        let writer = self.writer.clone();
        Ok(async move { Ok(appended.settled(&writer).await?) }.boxed())
    }

    /// The number of partitions. While the log is away, one request asks and all others are refused at once.
    async fn partitions(&self) -> Result<u32, Refusal> {
        let known = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(error) = known
            && self.is_asking.swap(true, Ordering::AcqRel)
        {
            return Err(error.into());
        }
        let (log, away, is_asking) = (self.log.clone(), self.away.clone(), self.is_asking.clone());
        // A task of its own: the asking must end even if this sender goes away.
        let asking = tokio::spawn(async move {
            let answer = log.partitions().await;
            *away.lock().unwrap_or_else(PoisonError::into_inner) = answer.as_ref().err().cloned();
            is_asking.store(false, Ordering::Release);
            answer
        });
        match tokio::time::timeout(self.settings.ack_timeout, asking).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(Refusal::LogAway(error.to_string())),
            Err(_) => Err(Refusal::NotAcknowledged(self.settings.ack_timeout.as_millis())),
        }
    }

    /// The sender is told to come again; its batch stays with the log, and the next try will join it.
    fn overdue(&self, identity: &Identity, pending: Pending) -> Refusal {
        self.repeats.told_to_come_again(identity, &pending);
        let overdue = self.overdue.clone();
        if overdue.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                topic = self.log.topic(),
                "the log does not acknowledge: senders are told to retry"
            );
        }
        tokio::spawn(async move {
            let _ = pending.await;
            if overdue.fetch_sub(1, Ordering::Relaxed) == 1 {
                tracing::info!("the log acknowledges again");
            }
        });
        Refusal::NotAcknowledged(self.settings.ack_timeout.as_millis())
    }

    /// Waits until the log has settled what it was given.
    pub async fn flush(&self) -> Result<(), LogError> {
        self.log.flush().await
    }

    fn show(&self) {
        let queue = self.log.queue();
        self.metrics.queue_records.set(queue.records as i64);
        self.metrics.queue_bytes.set(queue.bytes as i64);
    }
}

/// ms since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

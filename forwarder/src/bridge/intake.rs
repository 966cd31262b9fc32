//! The way of a batch from its bytes to its answer: repeats, split, append, and the wait for the acknowledgement.

use super::metrics::{Because, Metrics};
use super::produce::Writer;
use super::refusal::Refusal;
use super::repeats::{Accepted, Identity, Pending, Repeats, Sender};
use super::room::{Room, Taken};
use super::settings::Settings;
use crate::log::{Log, LogError};
use crate::otlp::split::split as divide;
use bytes::Bytes;
use futures_util::FutureExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What all connections share.
pub struct Intake {
    log: Arc<dyn Log>,
    writer: Arc<Writer>,
    repeats: Repeats,
    /// Batches whose senders were told to come again and which the log still holds: while there is one, the log is away.
    overdue: Arc<AtomicUsize>,
    /// What the log said when it was asked last for its partitions; `None` when it answered.
    away: Arc<Mutex<Option<LogError>>>,
    is_asking: Arc<AtomicBool>,
    /// Room for bytes in flight.
    pub room: Room,
    /// The bridge's bounds.
    pub settings: Settings,
    /// The bridge's numbers.
    pub metrics: Arc<Metrics>,
}

impl Intake {
    /// An intake for `log`.
    pub fn new(
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let writer = Writer::new(log.clone(), dead_letters, metrics.clone());
        let room = Room::new(settings.max_bytes_in_flight, metrics.bytes_in_flight.clone());
        Self {
            log,
            writer: Arc::new(writer),
            repeats: Repeats::default(),
            overdue: Arc::default(),
            away: Arc::default(),
            is_asking: Arc::default(),
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
        self.show();
        match tokio::time::timeout(self.settings.ack_timeout, pending.clone()).await {
            Ok(result) => result,
            Err(_) => Err(self.overdue(&identity, pending)),
        }
    }

    /// Splits the batch and hands it to the log. What it gives back goes on by itself when nobody waits for it.
    async fn append(
        &self,
        body: &Bytes,
        sender: &Sender,
        taken: Taken,
    ) -> Result<Pending, Refusal> {
        let mut limit = self.writer.max_value_bytes();
        let mut split = divide(body, limit)?;
        let spans = split.traces.iter().map(|part| u64::from(part.spans)).sum();
        let accepted = Accepted { spans, rejected_spans: split.rejected_spans };
        self.metrics.rejected_spans.inc_by(accepted.rejected_spans);
        if spans == 0 {
            return match accepted.rejected_spans {
                0 => Ok(async move { Ok(accepted) }.boxed().shared()),
                rejected => Err(Refusal::NoTraceId(rejected)),
            };
        }
        if self.overdue.load(Ordering::Relaxed) > 0 {
            return Err(Refusal::LogAway("earlier batches wait for their acknowledgement".into()));
        }
        let partitions = self.partitions().await?;
        if self.writer.max_value_bytes() < limit {
            // With its first answer the log has said that it takes less than was configured.
            limit = self.writer.max_value_bytes();
            split = divide(body, limit)?;
        }
        self.writer.prepare(&split.traces, limit).await?;
        let appended = self.writer.append(split.traces, limit, sender, partitions, now_ms())?;
        let (writer, metrics, start) = (self.writer.clone(), self.metrics.clone(), Instant::now());
        let pending = async move {
            let records = appended.records;
            appended.settled(&writer).await?;
            drop(taken);
            metrics.sent_records.inc_by(records);
            metrics.accepted_spans.inc_by(accepted.spans);
            metrics.acknowledge_seconds.observe(start.elapsed().as_secs_f64());
            Ok(accepted)
        };
        let pending = pending.boxed().shared();
        tokio::spawn(pending.clone());
        Ok(pending)
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

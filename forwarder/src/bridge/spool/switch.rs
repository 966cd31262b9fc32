//! The way of each batch: to the log, or to the disk. One lock orders both, so the order of the batches is one.

use super::disk::Disk;
use super::entry::{Entry, Number};
use super::flight::{Direct, Flight, land};
use super::metrics::SpoolMetrics;
use super::numbers::Numbers;
use super::pace::Pace;
use super::settings::SpoolSettings;
use crate::admin::Ready;
use crate::bridge::metrics::Metrics;
use crate::bridge::produce::{Appended, Writer};
use crate::bridge::refusal::Refusal;
use crate::bridge::repeats::Sender;
use crate::log::{AppendError, Log, LogError};
use crate::otlp::split::TracePart;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Where batches go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the log.
    Direct,
    /// To the disk.
    Spool,
    /// Nowhere for a moment: the last entries are on their way to the log.
    Closing,
}

/// A batch, divided.
#[derive(Debug, Clone)]
pub struct Batch {
    /// As it came.
    pub body: Bytes,
    /// Whose it is.
    pub sender: Sender,
    /// A part for each record.
    pub parts: Vec<TracePart>,
    /// What a record's value may hold, as it was known when it was divided.
    pub limit: usize,
    /// Spans in its parts.
    pub spans: u64,
    /// When it came, ms since 1970.
    pub received_ms: u64,
}

/// Resolves when the batch is safe, in the log or on the disk.
pub type Safe = BoxFuture<'static, Result<(), Refusal>>;

/// The spool of a bridge.
pub struct Spool {
    pub(super) log: Arc<dyn Log>,
    pub(super) writer: Arc<Writer>,
    pub(super) disk: Disk,
    pub(super) metrics: Arc<Metrics>,
    pub(super) after: Duration,
    limit_bytes: u64,
    numbers: Numbers,
    pub(super) pace: Pace,
    switch: Mutex<Switch>,
    pub(super) ways: watch::Sender<Way>,
    /// Why there was no room for a batch, until there is for one.
    full: Mutex<Option<String>>,
}

pub(super) struct Switch {
    way: Way,
    /// Partitions of the log; the pump asks for them before it opens the direct way.
    pub partitions: u32,
    tickets: u64,
    /// Batches that the log has and has not acknowledged, in their order.
    pub(super) flights: BTreeMap<u64, Flight>,
    /// Of entries that are with the log as well: what becomes of them there.
    pub open: HashMap<Number, Direct>,
}

impl Spool {
    /// Opens the directory. Nothing is written to `log` before `run`.
    pub fn open(
        settings: &SpoolSettings,
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, LogError> {
        let disk = Disk::open(settings, metrics.spool.clone())?;
        Ok(Self::with(disk, settings, log, dead_letters, metrics))
    }

    /// As `open`, with time and disk in the hands of a test.
    #[cfg(test)]
    pub(crate) fn open_in_hands(
        settings: &SpoolSettings,
        hands: &crate::log::embedded::faults::Hands,
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, LogError> {
        let disk = Disk::open_in_hands(settings, metrics.spool.clone(), hands)?;
        Ok(Self::with(disk, settings, log, dead_letters, metrics))
    }

    /// Whether entries were taken that are not fsynced yet.
    #[cfg(test)]
    pub fn is_writing(&self) -> bool {
        self.disk.is_writing()
    }

    pub(super) fn with(
        disk: Disk,
        settings: &SpoolSettings,
        log: Arc<dyn Log>,
        dead_letters: Arc<dyn Log>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.spool.limit_bytes.set(i64::try_from(settings.bytes).unwrap_or(i64::MAX));
        metrics.spool.is_in_use.set(1);
        let switch = Switch {
            // Until the pump has found the log and nothing is left of an earlier time.
            way: Way::Spool,
            partitions: 0,
            tickets: 0,
            flights: BTreeMap::new(),
            open: HashMap::new(),
        };
        Arc::new(Self {
            writer: Arc::new(Writer::new(
                log.clone(),
                dead_letters,
                metrics.clone(),
                settings.record,
            )),
            log,
            disk,
            metrics,
            after: settings.after,
            limit_bytes: settings.bytes,
            numbers: Numbers::new(),
            pace: Pace::new(),
            switch: Mutex::new(switch),
            ways: watch::Sender::new(Way::Spool),
            full: Mutex::default(),
        })
    }

    /// Writes to the log what comes directly and what is pumped.
    pub fn writer(&self) -> &Arc<Writer> {
        &self.writer
    }

    /// Takes a batch in, behind all that came before it.
    pub async fn take(self: &Arc<Self>, mut batch: Batch) -> Result<Safe, Refusal> {
        self.numbers.give(&mut batch.sender, &batch.body);
        let (spool, sender, body) = (self.clone(), batch.sender.clone(), batch.body.clone());
        let refused = move |_: &Refusal| spool.numbers.refused(&sender, &body);
        match self.place(batch).await {
            Ok(safe) => Ok(async move { safe.await.inspect_err(refused) }.boxed()),
            Err(refusal) => Err(refusal).inspect_err(refused),
        }
    }

    async fn place(self: &Arc<Self>, mut batch: Batch) -> Result<Safe, Refusal> {
        self.writer.check_size(&batch.parts, batch.limit)?;
        self.pace.wait(batch.body.len()).await;
        loop {
            let mut ways = self.ways.subscribe();
            // The sender stands in this spool.
            let _ = ways.wait_for(|way| *way != Way::Closing).await;
            self.fit(&mut batch)?;
            if *ways.borrow() == Way::Direct
                && let Err(error) = self.writer.prepare(&batch.parts, batch.limit).await
            {
                self.divert(&error);
            }
            let mut switch = self.lock();
            if switch.way == Way::Closing {
                continue;
            }
            if switch.way == Way::Direct {
                match self.append(&batch, switch.partitions) {
                    Ok(appended) => return Ok(switch.fly(self, &batch, appended)),
                    Err(error @ AppendError::TooLarge { .. }) => return Err(error.into()),
                    Err(error) => switch.divert(self, &error),
                }
            }
            return self.store(&batch);
        }
    }

    /// The log's partitions; 0 before the pump has found it.
    pub fn partitions(&self) -> u32 {
        self.lock().partitions
    }

    /// Divides a batch anew when the log has said that it takes less than was known, or has other partitions.
    fn fit(&self, batch: &mut Batch) -> Result<(), Refusal> {
        let limit = self.writer.max_value_bytes();
        let partitions = self.partitions();
        if limit < batch.limit || !self.writer.is_for(&batch.parts, partitions) {
            batch.parts = self.writer.divide(&batch.body, limit, partitions)?.traces;
            batch.limit = limit.min(batch.limit);
        }
        Ok(())
    }

    fn append(&self, batch: &Batch, partitions: u32) -> Result<Appended, AppendError> {
        let Batch { parts, limit, sender, received_ms, .. } = batch;
        self.writer.append(parts.clone(), *limit, sender, partitions, *received_ms)
    }

    fn store(&self, batch: &Batch) -> Result<Safe, Refusal> {
        let stored = self.disk.append(&Entry::of(batch));
        let full = stored.as_ref().err().filter(|error| matches!(error, AppendError::Full { .. }));
        *self.full() = full.map(ToString::to_string);
        let stored = stored.map_err(Refusal::of_the_spool)?;
        Ok(async move { stored.await.map(|_| ()).map_err(Refusal::of_the_spool) }.boxed())
    }

    /// Has everything go to the disk from now on, because of `cause`.
    pub(super) fn divert(&self, cause: &dyn std::fmt::Display) {
        self.lock().divert(self, cause);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> MutexGuard<'_, Option<String>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every batch that was taken is safe in one of the two places, or is refused.
    pub async fn landed(&self) {
        while !self.lock().flights.is_empty() || self.disk.is_writing() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What waits, for a line of the log.
    pub fn waiting(&self) -> String {
        let SpoolMetrics { waiting_records, waiting_spans, .. } = &self.metrics.spool;
        let (records, spans) = (waiting_records.get(), waiting_spans.get());
        let (bytes, limit) = (self.disk.bytes(), self.limit_bytes);
        format!("{spans} spans in {records} batches, {bytes} of {limit} bytes")
    }
}

impl Switch {
    pub fn way(&self) -> Way {
        self.way
    }

    /// Changes the way; whoever waits for one hears of it.
    pub fn set(&mut self, spool: &Spool, way: Way) {
        self.way = way;
        spool.metrics.spool.is_in_use.set(i64::from(way != Way::Direct));
        spool.ways.send_replace(way);
    }

    /// Everything that is not acknowledged goes to the disk too, in its order, and before anything that comes later.
    fn divert(&mut self, spool: &Spool, cause: &dyn std::fmt::Display) {
        if self.way == Way::Direct {
            tracing::warn!(
                topic = spool.log.topic(), %cause,
                "the log does not take batches now: they go to the spool until it does"
            );
            self.set(spool, Way::Spool);
        }
        for (_, flight) in std::mem::take(&mut self.flights) {
            let stored = spool.disk.append(&flight.entry);
            if stored.is_ok() {
                self.open.insert(flight.entry.number(), flight.direct);
            }
            // A batch that has landed since then wants no answer; the pump will see that it is written.
            let _ = flight.stored.send(stored);
        }
    }

    fn fly(&mut self, spool: &Arc<Spool>, batch: &Batch, appended: Appended) -> Safe {
        let writer = spool.writer.clone();
        let settled = async move { appended.settled(&writer).await.map_err(Refusal::from) };
        let direct: Direct = settled.boxed().shared();
        let (stored, diverted) = oneshot::channel();
        let flight = Flight { entry: Entry::of(batch), direct: direct.clone(), stored };
        self.tickets += 1;
        self.flights.insert(self.tickets, flight);
        land(spool.clone(), self.tickets, direct, diverted).boxed()
    }
}

impl Entry {
    fn of(batch: &Batch) -> Self {
        Self {
            body: batch.body.clone(),
            sender: batch.sender.clone(),
            spans: batch.spans,
            received_ms: batch.received_ms,
        }
    }
}

/// Ready while it takes batches, whether or not the log can be reached.
#[async_trait]
impl Ready for Spool {
    async fn ready(&self) -> Result<(), String> {
        if self.lock().way == Way::Direct {
            return Ok(());
        }
        let full = self.full().clone();
        let why = match full {
            Some(full) => Some(full),
            None => self.disk.writable().await.err().map(|error| error.to_string()),
        };
        why.map_or(Ok(()), |why| {
            Err(format!("the log is away, and the spool takes no more: {why}"))
        })
    }

    fn note(&self) -> Option<String> {
        let is_direct = self.lock().way == Way::Direct;
        (!is_direct).then(|| format!("the log is away or behind; in the spool: {}", self.waiting()))
    }
}

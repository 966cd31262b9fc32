//! Brings the spool's entries to the log, in order, through the bridge's one writer; commits what the log has; and opens
//! the direct way when nothing is left.
//!
//! Entries are handed over while earlier ones are on their way. When one fails, the log's writer has failed, and with it
//! all that was behind: the pump waits for what is still open and begins again behind the last one that got through.

mod closing;
mod damage;
mod hand;
mod settle;

use super::entry::Entry;
use super::switch::{Spool, Way};
use crate::bridge::refusal::Refusal;
use crate::ledger::View;
use crate::log::{Event, LogError, Reader, StoredRecord};
use closing::Closing;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use hand::Hand;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bytes of entries handed to the log and not acknowledged, at most: what a kill may have written twice.
const IN_FLIGHT_BYTES: usize = 8 << 20;
/// How often the pump looks up from its work.
const TICK: Duration = Duration::from_millis(20);
/// Before the log is asked again for what it did not tell.
const PATIENCE: Duration = Duration::from_millis(500);
/// At the end, what is on its way may still be acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What became of an entry.
struct Outcome {
    record: StoredRecord,
    spans: u64,
    handed: Instant,
    result: Result<(), Refusal>,
    /// Whether the log has it; otherwise it was set aside, and is counted there.
    is_written: bool,
}

struct Pump {
    spool: Arc<Spool>,
    reader: Box<dyn Reader>,
    /// Read and not handed over.
    queue: VecDeque<StoredRecord>,
    handed: FuturesOrdered<BoxFuture<'static, Outcome>>,
    handed_bytes: usize,
    /// One past the last entry that was handed over, of the unbroken prefix that is done, and of what is committed.
    next: i64,
    done: i64,
    committed: i64,
    uncommitted_bytes: usize,
    /// Entries done and not committed, and their spans.
    uncommitted: (u64, u64),
    /// Entries that were done when one before them failed, and whether the log has them.
    done_beyond: BTreeMap<i64, bool>,
    view: View,
    /// What of the damage on disk is counted, and spans of it that the view has not missed yet.
    damaged: (u64, u64, u64),
    explained: (u64, u64),
    closing: Closing,
}

/// Runs until `stop`, or until the spool cannot be read any more.
pub async fn run(spool: Arc<Spool>, stop: CancellationToken) -> Result<(), LogError> {
    let started = tokio::select! {
        pump = Pump::start_in_time(&spool) => Some(pump?),
        () = stop.cancelled() => None,
    };
    let Some(mut pump) = started else { return Ok(()) };
    let found = tokio::select! {
        () = find(&spool) => true,
        () = stop.cancelled() => false,
    };
    if found {
        pump.work(&stop).await.inspect_err(|error| {
            if let LogError::Damaged { detail, .. } = error {
                spool.disk.mark_damaged(detail);
            }
        })?;
    }
    pump.close().await
}

/// Waits until the log has told its partitions.
async fn find(spool: &Spool) {
    let mut told = None;
    loop {
        match spool.log.partitions().await {
            Ok(partitions) => {
                spool.lock().partitions = partitions;
                return;
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the log is not found: batches go to the spool");
                }
                told = Some(error);
            }
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

impl Pump {
    /// Waits out a disk that fails.
    async fn start_in_time(spool: &Arc<Spool>) -> Result<Self, LogError> {
        loop {
            match Self::start(spool.clone()).await {
                Err(error @ LogError::Unavailable { .. }) => {
                    tracing::warn!(%error, "the spool cannot be read now; trying on");
                    tokio::time::sleep(PATIENCE).await;
                }
                started => return started,
            }
        }
    }

    async fn start(spool: Arc<Spool>) -> Result<Self, LogError> {
        let reader = spool.disk.reader().await?;
        let mut pump = Self {
            spool,
            reader,
            queue: VecDeque::new(),
            handed: FuturesOrdered::new(),
            handed_bytes: 0,
            next: 0,
            done: 0,
            committed: 0,
            uncommitted_bytes: 0,
            uncommitted: (0, 0),
            done_beyond: BTreeMap::new(),
            view: View::from_the_start(),
            damaged: (0, 0, 0),
            explained: (0, 0),
            closing: Closing::default(),
        };
        if let Event::Assigned(assigned) = pump.reader.next().await?
            && let Some(place) = assigned.first()
            && let Some(committed) = place.committed
        {
            (pump.next, pump.done, pump.committed) = (committed, committed, committed);
            pump.view = View::decode(&place.metadata);
        }
        Ok(pump)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), LogError> {
        // Behind a way that changes there may be no entry that would wake the reader: the disk may have refused it.
        let mut ways = self.spool.ways.subscribe();
        loop {
            // Before anything behind the damage is looked at.
            self.count_damage();
            let has_failed = tokio::select! {
                is_whole = self.hand_over() => !is_whole,
                () = stop.cancelled() => return Ok(()),
            };
            if has_failed && !self.until(stop, None).await {
                return Ok(());
            }
            self.pass_over_damage()?;
            self.commit_when_due().await;
            if let Err(error) = self.spool.disk.count_again(self.uncommitted) {
                tracing::debug!(%error, "what waits in the spool is not known now");
            }
            self.spool.metrics.spool.waiting_bytes.set(self.spool.disk.bytes() as i64);
            self.choose_way();
            let wants_more = self.queue.is_empty() && self.handed_bytes < IN_FLIGHT_BYTES;
            let is_idle = self.handed.is_empty() && self.spool.lock().way() == Way::Direct;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(outcome) = self.handed.next(), if !self.handed.is_empty() => {
                    self.handed_bytes -= outcome.record.record.size();
                    if outcome.result.is_ok() {
                        self.settle(&outcome);
                    } else if !self.until(stop, Some(outcome)).await {
                        return Ok(());
                    }
                }
                event = self.reader.next(), if wants_more => self.read(event?),
                Ok(()) = ways.changed(), if is_idle => {}
                () = tokio::time::sleep(TICK), if !is_idle => {}
            }
        }
    }

    /// Begins again; `false` when it was told to stop meanwhile.
    async fn until(&mut self, stop: &CancellationToken, failed: Option<Outcome>) -> bool {
        tokio::select! {
            () = self.begin_again(failed) => true,
            () = stop.cancelled() => false,
        }
    }

    fn read(&mut self, event: Event) {
        if let Event::Records(records) = event {
            self.queue.extend(records);
        }
    }

    /// Hands over what was read, as far as there is room. `false` when the log's writer has failed.
    async fn hand_over(&mut self) -> bool {
        while self.handed_bytes < IN_FLIGHT_BYTES
            && let Some(record) = self.queue.pop_front()
        {
            let entry = Entry::read(&record.record);
            let hand = match self.done_beyond.remove(&record.offset) {
                Some(is_written) => Hand::Done { is_written },
                None => self.spool.hand(&record, entry.as_ref().map(|(entry, _)| entry)).await,
            };
            let (way, is_written) = match hand {
                Hand::Done { is_written } => (std::future::ready(Ok(())).boxed(), is_written),
                Hand::On(way) => (way, true),
                Hand::Full | Hand::Broken => {
                    let is_full = matches!(hand, Hand::Full);
                    self.queue.push_front(record);
                    return is_full;
                }
            };
            if let Some((_, stamp)) = &entry {
                self.look(stamp, record.offset);
            }
            self.next = record.offset + 1;
            self.handed_bytes += record.record.size();
            let (spans, handed) = (entry.map_or(0, |(entry, _)| entry.spans), Instant::now());
            let outcome =
                async move { Outcome { record, spans, handed, result: way.await, is_written } };
            self.handed.push_back(outcome.boxed());
        }
        true
    }

    /// What is on its way has a moment more, so that it is not written again after the start.
    async fn close(mut self) -> Result<(), LogError> {
        let open = async {
            while let Some(outcome) = self.handed.next().await {
                if outcome.result.is_err() {
                    return;
                }
                self.settle(&outcome);
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, open).await;
        self.commit().await;
        self.reader.close().await
    }
}

//! The loop: read, hand out batches, mark what is settled, commit the unbroken prefix. Commit is the last step.

use super::dead_letter::DeadLetters;
use super::deliver::{Deliverer, Item, Origin};
use super::export::Export;
use super::format;
use super::gate::Gate;
use super::headroom::Headroom;
use super::metrics::{As, Metrics, now_ms};
use super::pace::Pace;
use super::partition::{Arrival, Fresh, Partition};
use super::settings::Settings;
use super::window::Window;
use crate::ledger::Fate;
use crate::log::{Assignment, Commit, Event, Log, LogError, Reader, Revocation, StoredRecord};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

/// Why the forwarder ended.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// The log failed for good.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A fault of ours. Its records are not committed, so the next start delivers them.
    #[error("a delivery ended before its time ({0}); start again: nothing of it is committed")]
    Delivery(#[from] tokio::task::JoinError),
}

/// Forwards until `shutdown`: then finishes what is in flight (not what waits for a destination that is away), commits
/// and leaves the group.
pub async fn run(
    log: Arc<dyn Log>,
    dead_letters: Arc<dyn Log>,
    destination: Arc<dyn Export>,
    settings: Settings,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), ForwardError> {
    let reader = tokio::select! {
        reader = log.reader(&settings.group) => reader?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let deliverer = Arc::new(Deliverer {
        destination,
        gate: Gate::new(settings.backoff_min, settings.backoff_max),
        pace: Pace::new(settings.slow_answer, metrics.send_rate_limit.clone()),
        dead_letters: DeadLetters::new(dead_letters, log.topic(), metrics.clone()),
        metrics: metrics.clone(),
    });
    let consumer = Consumer {
        headroom: Headroom::new(settings.headroom_warning),
        log,
        reader,
        deliverer,
        settings,
        metrics,
        partitions: HashMap::new(),
        epoch: 0,
        queue: VecDeque::new(),
        in_flight: JoinSet::new(),
        held_bytes: 0,
    };
    consumer.run(shutdown).await
}

/// The next event; without room for records, the next that is none: a revocation must be answered all the same.
async fn next(reader: &mut dyn Reader, has_room: bool) -> Result<Event, LogError> {
    if has_room { reader.next().await } else { reader.next_change().await }
}

/// Records of one request, settled.
struct Done {
    settled: Vec<(Origin, Fate)>,
    bytes: usize,
}

struct Consumer {
    log: Arc<dyn Log>,
    headroom: Headroom,
    reader: Box<dyn Reader>,
    deliverer: Arc<Deliverer>,
    settings: Settings,
    metrics: Arc<Metrics>,
    partitions: HashMap<u32, Partition>,
    epoch: u64,
    queue: VecDeque<Item>,
    in_flight: JoinSet<Done>,
    held_bytes: usize,
}

impl Consumer {
    async fn run(mut self, shutdown: CancellationToken) -> Result<(), ForwardError> {
        let mut tick = interval(self.settings.commit_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_room = self.held_bytes < self.settings.max_held_bytes;
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = self.in_flight.join_next() => self.done(done?),
                _ = tick.tick() => self.commit().await,
                event = next(&mut *self.reader, has_room) => self.event(event?).await,
            }
            self.hand_out();
        }
        self.end().await
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Assigned(assignments) => assignments.iter().for_each(|a| self.assigned(a)),
            Event::Records(records) => records.into_iter().for_each(|record| self.read(record)),
            Event::Revoked(revocation) => self.revoked(revocation).await,
            Event::Lost(partitions) => self.forget(&partitions),
        }
    }

    fn assigned(&mut self, assignment: &Assignment) {
        self.epoch += 1;
        self.metrics.rebalances.inc();
        let Assignment { partition, committed, log_start, .. } = *assignment;
        tracing::info!(partition, ?committed, "assigned");
        let state = Partition::new(self.epoch, assignment);
        self.partitions.insert(partition, state);
        if let (Some(committed), Some(start)) = (committed, log_start)
            && start > committed
        {
            self.overrun(partition, start, start.abs_diff(committed));
        }
    }

    fn read(&mut self, stored: StoredRecord) {
        let Some(partition) = self.partitions.get_mut(&stored.partition) else { return };
        let payload = format::read(&stored.record).map_err(|error| error.to_string());
        let spans = payload.as_ref().ok().map(|payload| payload.spans);
        let Arrival { fresh, lost, overrun } = partition.read(&stored, spans);
        let origin = partition.origin(&stored);
        if overrun > 0 {
            self.overrun(stored.partition, stored.offset, overrun);
        }
        if let Some((records, spans)) = lost {
            self.missing(&stored, records, spans);
        }
        if fresh != Fresh::New {
            return self.suppress(fresh, spans.unwrap_or(0));
        }
        if let Ok(payload) = &payload {
            self.metrics.read_records.get_or_create(&As { format: payload.format }).inc();
        }
        self.held_bytes += stored.record.size();
        self.queue.push_back(Item { origin, stored, payload });
    }

    /// A record that is settled already.
    fn suppress(&self, fresh: Fresh, spans: u64) {
        self.metrics.suppressed_records.inc();
        if fresh == Fresh::Repeat {
            // Accepted twice, so it must be taken out of the sum once.
            self.metrics.suppressed_spans.inc_by(spans);
        }
    }

    fn overrun(&self, partition: u32, start: i64, records: u64) {
        let estimate = |state: &Partition| state.estimate(records);
        let spans = self.partitions.get(&partition).map_or(records, estimate);
        self.metrics.overrun_records.inc_by(records);
        self.metrics.trouble.overrun(partition, records, spans);
        tracing::error!(
            partition,
            first = start - records as i64,
            start,
            records,
            estimated_spans = spans,
            "retention overrun: the log dropped what was not forwarded"
        );
    }

    fn missing(&self, stored: &StoredRecord, records: u64, spans: u64) {
        let StoredRecord { partition, offset, .. } = *stored;
        tracing::error!(
            partition,
            offset,
            records,
            spans,
            "lost: a writer's totals and what is here do not agree"
        );
        self.metrics.lost_records.inc_by(records);
        self.metrics.lost_spans.inc_by(spans);
        self.metrics.trouble.lost(spans);
    }

    /// Gives batches to the requests that are free.
    fn hand_out(&mut self) {
        while self.in_flight.len() < self.settings.requests_in_flight && !self.queue.is_empty() {
            let batch = self.next_batch();
            let deliverer = self.deliverer.clone();
            self.in_flight.spawn(async move {
                let bytes = batch.iter().map(|item| item.stored.record.size()).sum();
                Done { settled: deliverer.deliver(&batch).await, bytes }
            });
        }
        self.metrics.held_bytes.set(self.held_bytes as i64);
    }

    /// As many records from the front as fit into one request; at least one.
    fn next_batch(&mut self) -> Vec<Item> {
        let (mut batch, mut bytes, mut spans) = (Vec::new(), 0, 0);
        while let Some(item) = self.queue.front() {
            bytes += item.bytes();
            spans += item.spans();
            let is_full =
                bytes > self.settings.max_request_bytes || spans > self.settings.max_request_spans;
            if is_full && !batch.is_empty() {
                break;
            }
            batch.extend(self.queue.pop_front());
        }
        batch
    }

    fn done(&mut self, done: Done) {
        self.held_bytes = self.held_bytes.saturating_sub(done.bytes);
        for (origin, fate) in done.settled {
            if let Some(partition) = self.partitions.get_mut(&origin.partition)
                && partition.epoch == origin.epoch
            {
                partition.settled(origin.offset, fate);
            }
        }
    }

    async fn commit(&mut self) {
        let commits = self.commits_of(|_| true);
        if !commits.is_empty() {
            match self.reader.commit(commits.clone()).await {
                Ok(()) => {
                    self.metrics.commits.inc();
                }
                Err(error) => {
                    self.metrics.commit_failed.inc();
                    tracing::warn!(%error, "offsets are not committed; tried again");
                    self.put_back(&commits);
                }
            }
        }
        self.show();
    }

    fn commits_of(&mut self, wanted: impl Fn(u32) -> bool) -> Vec<Commit> {
        let ours = self.partitions.iter_mut().filter(|(partition, _)| wanted(**partition));
        let commit = |(partition, state): (&u32, &mut Partition)| state.commit(*partition);
        ours.filter_map(commit).collect()
    }

    /// What was not committed is committed with the next tick, as it is then.
    fn put_back(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(partition) = self.partitions.get_mut(&commit.partition) {
                partition.commit_again();
            }
        }
    }

    /// Finishes what is in flight of these partitions, within bounds, and answers with the last commits.
    async fn revoked(&mut self, revocation: Revocation) {
        let Revocation { partitions, done } = revocation;
        tracing::info!(?partitions, "revoked");
        self.metrics.rebalances.inc();
        self.drop_queued(&partitions);
        let deadline = Instant::now() + self.settings.revoke_timeout;
        self.finish(deadline, |origin| partitions.contains(&origin)).await;
        let commits = self.commits_of(|partition| partitions.contains(&partition));
        // A reader that waits no longer has given the partitions away; its next one repeats what was not committed.
        let _ = done.send(commits);
        self.forget(&partitions);
    }

    /// Waits for requests in flight while one of the wanted partitions has some and the destination answers.
    async fn finish(&mut self, deadline: Instant, wanted: impl Fn(u32) -> bool) {
        while self
            .partitions
            .iter()
            .any(|(partition, state)| wanted(*partition) && !state.window.is_empty())
        {
            if !self.deliverer.gate.is_open() {
                return;
            }
            match timeout_at(deadline, self.in_flight.join_next()).await {
                Ok(Some(Ok(done))) => self.done(done),
                Ok(Some(Err(_)) | None) | Err(_) => return,
            }
        }
    }

    fn drop_queued(&mut self, partitions: &[u32]) {
        let dropped = |item: &Item| partitions.contains(&item.origin.partition);
        let bytes: usize = self
            .queue
            .iter()
            .filter(|item| dropped(item))
            .map(|item| item.stored.record.size())
            .sum();
        self.queue.retain(|item| !dropped(item));
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    fn forget(&mut self, partitions: &[u32]) {
        self.drop_queued(partitions);
        for partition in partitions {
            self.partitions.remove(partition);
            self.metrics.forget_lag(*partition);
            self.metrics.ledger.forget(*partition);
        }
    }

    /// Brings the gauges up to date.
    fn show(&mut self) {
        for lag in self.reader.lag() {
            let behind = (lag.end - lag.committed).max(0);
            self.metrics.set_lag(lag.partition, behind);
            if let Some(partition) = self.partitions.get_mut(&lag.partition) {
                partition.log_starts_at(lag.start);
                self.metrics.ledger.show(lag.partition, partition.totals());
            }
        }
        let windows = self.partitions.values().map(|state| &state.window);
        let oldest = windows.clone().filter_map(Window::oldest_ms).min();
        if let Some(retention) = self.log.retention() {
            let room = self.headroom.look(retention, oldest, now_ms());
            self.metrics.set_headroom(self.log.topic(), room.seconds);
            self.metrics.trouble.low(room.low);
        }
        self.metrics.oldest_ms.store(oldest.unwrap_or(0), Ordering::Relaxed);
        self.metrics.window_records.set(windows.map(Window::len).sum::<usize>() as i64);
    }

    async fn end(mut self) -> Result<(), ForwardError> {
        let ours: Vec<u32> = self.partitions.keys().copied().collect();
        self.drop_queued(&ours);
        let deadline = Instant::now() + self.settings.drain_timeout;
        self.finish(deadline, |_| true).await;
        self.in_flight.abort_all();
        self.commit().await;
        self.reader.close().await?;
        Ok(())
    }
}

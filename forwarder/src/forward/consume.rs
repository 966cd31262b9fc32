//! The loop: read, hand out batches, mark what is settled, commit the unbroken prefix. Commit is the last step.

use super::before::Before;
use super::dead_letter::DeadLetters;
use super::deliver::{Deliverer, Item};
use super::export::Export;
use super::format;
use super::fresh::FreshReader;
use super::gate::Gate;
use super::headroom::Headroom;
use super::lanes::{Batch, Lane, Lanes};
use super::metrics::{Metrics, now_ms};
use super::pace::Pace;
use super::partition::{Arrival, Due, Partition};
use super::progress::{Done, Progress};
use super::settings::Settings;
use crate::log::{
    Assignment, Commit, Event, Log, LogError, Reader, Revocation, StoredRecord, Stretch,
};
use std::collections::BTreeMap;
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
        pace: Pace::new(
            settings.requests_in_flight,
            settings.slow_answer,
            metrics.send_rate_limit.clone(),
        ),
        dead_letters: DeadLetters::new(dead_letters, log.topic(), metrics.clone()),
        metrics: metrics.clone(),
    });
    let consumer = Consumer {
        headroom: Headroom::new(settings.headroom_warning),
        fresh: FreshReader::new(log.clone(), settings.fresh_share > 0),
        before: Before::new(log.clone()),
        lanes: Lanes::new(&settings),
        log,
        reader,
        deliverer,
        settings,
        metrics,
        partitions: BTreeMap::new(),
        progress: Progress::default(),
        epoch: 0,
        in_flight: JoinSet::new(),
    };
    consumer.run(shutdown).await
}

/// The next event; without room for records, the next that is none: a revocation must be answered all the same.
async fn next(reader: &mut dyn Reader, has_room: bool) -> Result<Event, LogError> {
    if has_room { reader.next().await } else { reader.next_change().await }
}

pub(super) struct Consumer {
    log: Arc<dyn Log>,
    headroom: Headroom,
    reader: Box<dyn Reader>,
    pub(super) fresh: FreshReader,
    pub(super) before: Before,
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) partitions: BTreeMap<u32, Partition>,
    pub(super) progress: Progress,
    epoch: u64,
    pub(super) lanes: Lanes,
    in_flight: JoinSet<Done>,
}

impl Consumer {
    async fn run(mut self, shutdown: CancellationToken) -> Result<(), ForwardError> {
        let mut tick = interval(self.settings.commit_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (has_room, has_fresh_room) = (self.has_room(), self.has_fresh_room());
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = self.in_flight.join_next() => self.done(done?),
                _ = tick.tick() => self.tick().await,
                event = next(&mut *self.reader, has_room) => self.event(event?).await,
                records = self.fresh.next(), if has_fresh_room => self.overtake(records),
                records = self.before.next() => self.remember(&records),
            }
            self.hand_out();
        }
        self.end().await
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Assigned(assignments) => {
                assignments.iter().for_each(|assignment| self.assigned(assignment));
                self.look_before(&assignments);
            }
            Event::Records(records) => self.read(records),
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

    /// Has the last of what a forwarder said to be settled be looked at, so that it is known when it is written again.
    fn look_before(&mut self, assignments: &[Assignment]) {
        let stretch = |assignment: &Assignment| {
            let end = assignment.committed.filter(|_| !assignment.metadata.is_empty())?;
            let spans_of_one = self.partitions.get(&assignment.partition)?.estimate(1);
            let records = Before::records(assignments.len(), spans_of_one);
            let start = (end - records).max(assignment.log_start.unwrap_or(0));
            Some(Stretch { partition: assignment.partition, offsets: start..end })
        };
        self.before.look(assignments.iter().filter_map(stretch));
    }

    fn remember(&mut self, settled: &[StoredRecord]) {
        for stored in settled {
            if let Some(partition) = self.partitions.get_mut(&stored.partition) {
                partition.remember(stored);
            }
        }
    }

    /// Records in order; the clock is asked once for all.
    fn read(&mut self, records: Vec<StoredRecord>) {
        let (since, now_ms) = (Instant::now(), now_ms());
        for stored in records {
            let Some(partition) = self.partitions.get_mut(&stored.partition) else { continue };
            let payload = format::read(&stored.record).map_err(|error| error.to_string());
            let spans = payload.as_ref().ok().map(|payload| payload.spans);
            let Arrival { due, lost, overrun } = partition.read(&stored, spans);
            let origin = partition.origin(&stored);
            if overrun > 0 {
                self.overrun(stored.partition, stored.offset, overrun);
            }
            if let Some((records, spans)) = lost {
                self.missing(&stored, records, spans);
            }
            let lane = self.lane_of(&stored, now_ms);
            self.take(due, Item { origin, stored, payload, lane, since });
        }
    }

    /// Puts a record that is to be delivered into its lane.
    pub(super) fn take(&mut self, due: Due, item: Item) {
        let payload = item.payload.as_ref().ok();
        if due != Due::New {
            return self.suppress(due, payload.map_or(0, |payload| payload.spans));
        }
        if let Some(payload) = payload {
            self.metrics.read_records.count(payload.format);
        }
        self.lanes.push(item);
    }

    /// A record that is not to be delivered, or not now.
    fn suppress(&self, due: Due, spans: u64) {
        match due {
            Due::New | Due::Overtook => {}
            Due::Later => {
                self.metrics.fresh_let_go_records.inc();
            }
            Due::Settled => {
                self.metrics.suppressed_records.inc();
            }
            Due::Repeat => {
                self.metrics.suppressed_records.inc();
                // Accepted twice, so it must be taken out of the sum once.
                self.metrics.suppressed_spans.inc_by(spans);
            }
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
        let most_spans = self.deliverer.pace.request_spans(self.settings.max_request_spans);
        while let Some(Batch { lane, items, bytes }) = self.lanes.next_batch(most_spans) {
            let (deliverer, teller) = (self.deliverer.clone(), self.progress.teller(lane));
            self.in_flight.spawn(async move {
                deliverer.deliver(&items, |settled| teller.settled(settled)).await;
                Done { lane, bytes }
            });
        }
        self.metrics.held_bytes.set(self.lanes.held_bytes(Lane::InOrder) as i64);
        self.metrics.fresh_held_bytes.set(self.lanes.held_bytes(Lane::Fresh) as i64);
    }

    async fn tick(&mut self) {
        self.commit().await;
        self.keep_fresh();
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
        self.take_progress();
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
        self.lanes.forget(&partitions);
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
            .any(|(partition, state)| wanted(*partition) && !state.is_idle())
        {
            if !self.deliverer.gate.is_open() {
                return;
            }
            let joined = tokio::select! {
                joined = timeout_at(deadline, self.in_flight.join_next()) => joined,
                settled = self.progress.next() => {
                    self.settled(settled);
                    continue;
                }
            };
            match joined {
                Ok(Some(Ok(done))) => self.done(done),
                Ok(Some(Err(_)) | None) | Err(_) => return,
            }
        }
    }

    fn forget(&mut self, partitions: &[u32]) {
        self.lanes.forget(partitions);
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
        let oldest = self.oldest_ms();
        if let Some(retention) = self.log.retention() {
            let room = self.headroom.look(retention, oldest, now_ms());
            self.metrics.set_headroom(self.log.topic(), room.seconds);
            self.metrics.trouble.low(room.low);
        }
        self.metrics.oldest_ms.store(oldest.unwrap_or(0), Ordering::Relaxed);
        self.show_window();
    }

    /// When the oldest record that waits was appended, ms since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.partitions.values().filter_map(|state| state.window.oldest_ms()).min()
    }

    async fn end(mut self) -> Result<(), ForwardError> {
        let ours: Vec<u32> = self.partitions.keys().copied().collect();
        self.lanes.forget(&ours);
        let deadline = Instant::now() + self.settings.drain_timeout;
        self.finish(deadline, |_| true).await;
        self.in_flight.abort_all();
        self.commit().await;
        self.reader.close().await?;
        Ok(())
    }
}

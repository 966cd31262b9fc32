//! Reading fresh records: while a record waits that is old, what is appended now is read from the log's end too, to have a
//! share of the way. Otherwise nothing is read twice.

use crate::log::{Log, LogError, Scan, StoredRecord};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A record that waits for longer is a backlog.
const OLD_MS: i64 = 2_000;
/// What was appended so long before fresh records are read is read with them.
const BEFORE_MS: i64 = 5_000;
/// A fresh record that was not sent within this time is fresh no more, and after so long, in which the destination
/// answered, they are left to their turn.
const STALE: Duration = Duration::from_secs(4);
const GRACE: Duration = Duration::from_secs(2);
/// Then it goes on with what was appended so long ago.
const LEAP_TO_MS: i64 = 2_000;
/// How long it is read on after the backlog, lest each hiccup of the destination begins it anew.
const LINGER: Duration = Duration::from_secs(10);
/// How long it rests after an error.
const REST: Duration = Duration::from_secs(10);

/// See the module.
pub struct FreshReader {
    log: Arc<dyn Log>,
    is_wanted: bool,
    reading: Option<Reading>,
    /// When something old waited last.
    needed: Instant,
    /// When it was looked at last, and how long fresh records were stale while the destination answered.
    looked: Instant,
    stale_for: Duration,
    rests_until: Instant,
}

struct Reading {
    scan: Box<dyn Scan>,
    partitions: Vec<u32>,
}

impl FreshReader {
    /// Reads nothing yet; and never, unless it is wanted.
    pub fn new(log: Arc<dyn Log>, is_wanted: bool) -> Self {
        let now = Instant::now();
        let stale_for = Duration::ZERO;
        Self {
            log,
            is_wanted,
            reading: None,
            needed: now,
            looked: now,
            stale_for,
            rests_until: now,
        }
    }

    /// Whether it reads.
    pub fn is_on(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether a record that was appended then is fresh.
    pub fn is_fresh(timestamp_ms: i64, now_ms: i64) -> bool {
        timestamp_ms >= now_ms.saturating_sub(BEFORE_MS)
    }

    /// The next records; waits for ever while it does not read. Cancel safe.
    pub async fn next(&mut self) -> Vec<StoredRecord> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        match reading.scan.next().await {
            Ok(Some(records)) => records,
            Ok(None) => self.rest(None),
            Err(error) => self.rest(Some(&error)),
        }
    }

    fn rest(&mut self, error: Option<&LogError>) -> Vec<StoredRecord> {
        let error = error.map(ToString::to_string);
        tracing::warn!(
            error,
            "fresh records are not read for now: all of them wait for their turn"
        );
        self.reading = None;
        self.rests_until = Instant::now() + REST;
        Vec::new()
    }

    /// Begins or ends, as there is need: `partitions` are ours, in order, and the oldest record that waits in them was
    /// appended then. While the destination does not answer it does not begin.
    pub fn look(
        &mut self,
        partitions: Vec<u32>,
        oldest_ms: Option<i64>,
        now_ms: i64,
        is_answering: bool,
    ) {
        let is_old = oldest_ms.is_some_and(|oldest| now_ms.saturating_sub(oldest) >= OLD_MS);
        let now = Instant::now();
        if is_old {
            self.needed = now;
        }
        let recently = now_ms.saturating_sub(BEFORE_MS);
        match &self.reading {
            None if is_old && is_answering && self.is_wanted && now >= self.rests_until => {
                self.begin(partitions, recently);
            }
            Some(_) if now - self.needed > LINGER || partitions.is_empty() => self.reading = None,
            Some(reading) if reading.partitions != partitions => self.begin(partitions, recently),
            _ => {}
        }
    }

    /// Whether fresh records come faster than they go: the first one waits for so long.
    pub fn is_stale(&mut self, waits: Duration, is_answering: bool) -> bool {
        let elapsed = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        self.stale_for = match (waits > STALE, is_answering) {
            (false, _) => Duration::ZERO,
            (true, true) => self.stale_for + elapsed,
            (true, false) => self.stale_for,
        };
        self.stale_for > GRACE
    }

    /// Leaves out what is between where it reads and about this moment: it goes on with what was appended since the
    /// destination answers, if that is not long.
    pub fn leap(&mut self, now_ms: i64) {
        if let Some(reading) = self.reading.take() {
            self.begin(reading.partitions, now_ms.saturating_sub(LEAP_TO_MS));
        }
    }

    fn begin(&mut self, partitions: Vec<u32>, since_ms: i64) {
        tracing::debug!(?partitions, since_ms, "fresh records are read");
        let scan = self.log.recent(&partitions, since_ms);
        self.reading = Some(Reading { scan, partitions });
    }
}

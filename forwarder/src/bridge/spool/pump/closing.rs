//! From the spool back to the direct way: when little is left and the log keeps up, new batches wait for a moment, so
//! that the last entry can be the last.

use super::{Pump, Way};
use std::time::{Duration, Instant};

/// Entries that may be left when new batches are held up.
const FEW: i64 = 1024;
/// Bytes of entries on their way that may be left then.
const FEW_BYTES: usize = 4 << 20;
/// New batches are held up for so long at most.
const HOLD: Duration = Duration::from_millis(500);
/// After that was not enough, before it is tried again.
const REST: Duration = Duration::from_secs(1);

/// An acknowledgement that is older says nothing.
const RECENT: Duration = Duration::from_secs(1);

/// How well the log keeps up.
#[derive(Debug, Default)]
pub struct Closing {
    /// When the last acknowledgement came, and how long it took.
    latest: Option<(Instant, Duration)>,
    since: Option<Instant>,
    not_before: Option<Instant>,
}

impl Closing {
    /// The log has acknowledged an entry.
    pub fn acknowledged(&mut self, took: Duration) {
        self.latest = Some((Instant::now(), took));
    }

    /// Whether the log acknowledges, and soon.
    fn is_steady(&self, after: Duration) -> bool {
        self.latest.is_some_and(|(at, took)| at.elapsed() < RECENT && took < after / 2)
    }
}

impl Pump {
    /// Opens the direct way when nothing is left; holds new batches up when little is.
    pub(super) fn choose_way(&mut self) {
        let mut switch = self.spool.lock();
        let is_catching_up = switch.way() == Way::Spool && self.closing.is_steady(self.spool.after);
        self.spool.pace.keep(is_catching_up);
        match switch.way() {
            Way::Direct => return,
            Way::Spool if self.is_nearly_done() => {
                self.closing.since = Some(Instant::now());
                switch.set(&self.spool, Way::Closing);
            }
            Way::Closing if self.closing.since.is_none_or(|since| since.elapsed() > HOLD) => {
                self.closing.not_before = Some(Instant::now() + REST);
                switch.set(&self.spool, Way::Spool);
            }
            Way::Spool | Way::Closing => {}
        }
        // What is being written is counted before the end of the log is looked at.
        let is_drained = !self.spool.disk.is_writing() && self.committed >= self.end();
        if is_drained && self.handed.is_empty() {
            self.closing = Closing::default();
            switch.open.clear();
            switch.set(&self.spool, Way::Direct);
            tracing::info!(
                topic = self.spool.log.topic(),
                "the spool is empty: batches go to the log"
            );
        }
    }

    fn is_nearly_done(&self) -> bool {
        let may = self.closing.not_before.is_none_or(|time| Instant::now() >= time);
        let is_little = self.end() - self.done <= FEW && self.handed_bytes <= FEW_BYTES;
        may && is_little && self.closing.is_steady(self.spool.after)
    }

    /// One past the last entry on disk.
    pub(super) fn end(&self) -> i64 {
        self.reader.lag().first().map_or(self.next, |lag| lag.end)
    }
}

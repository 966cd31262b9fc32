//! Batches that come again: a repeat joins the one that came before instead of being written a second time.
//!
//! A filter never uses a sequence twice, so its batches are known by source and sequence, in flight and for a while
//! after. A batch of anybody else is known by its bytes, and only after we told its sender to come again: two batches
//! alike are otherwise two batches.

use super::refusal::Refusal;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_128;

/// A batch's outcome, which several may wait for.
pub type Pending = Shared<BoxFuture<'static, Result<Accepted, Refusal>>>;

/// A batch that is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Spans that are safe.
    pub spans: u64,
    /// Spans that were left out, for want of a trace id.
    pub rejected_spans: u64,
}

/// Whose batch it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The filter's VM, if a filter sent it.
    pub source: Bytes,
    /// The source's number of this batch; 0: none.
    pub sequence: u64,
    /// Spans that the source has dropped so far.
    pub dropped: u64,
}

/// What makes a batch the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A filter's.
    Numbered(Bytes, u64),
    /// Anybody else's: hash and length of the bytes.
    Bytes(u128, usize),
}

impl Identity {
    /// The identity of a batch.
    pub fn of(sender: &Sender, body: &[u8]) -> Self {
        if sender.sequence > 0 && !sender.source.is_empty() {
            return Self::Numbered(sender.source.clone(), sender.sequence);
        }
        Self::Bytes(xxh3_128(body), body.len())
    }

    fn is_numbered(&self) -> bool {
        matches!(self, Self::Numbered(..))
    }
}

/// Entries kept, at most: about 200 bytes each.
const MAX_ENTRIES: usize = 20_000;
/// Longer than any sender's time between two tries.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Sources whose dropped spans are followed, at most.
const MAX_SOURCES: usize = 10_000;

/// The batches that are known. Oldest entries go first when there are too many.
#[derive(Default)]
pub struct Repeats {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Identity, Pending>,
    order: VecDeque<(Instant, Identity)>,
    dropped: HashMap<Bytes, u64>,
}

impl Repeats {
    /// The batch that came before under this identity, unless it failed: then it is to be written again.
    pub fn find(&self, identity: &Identity) -> Option<Pending> {
        let mut state = self.lock();
        let pending = state.entries.get(identity)?.clone();
        if matches!(pending.clone().now_or_never(), Some(Err(_))) {
            state.entries.remove(identity);
            return None;
        }
        Some(pending)
    }

    /// A batch was handed to the log.
    pub fn appended(&self, identity: &Identity, pending: &Pending) {
        if identity.is_numbered() {
            self.keep(identity, pending, Instant::now());
        }
    }

    /// A batch's sender was told to come again although the batch may still get through.
    pub fn told_to_come_again(&self, identity: &Identity, pending: &Pending) {
        self.keep(identity, pending, Instant::now());
    }

    /// How many more spans a source has dropped than we knew.
    pub fn newly_dropped(&self, sender: &Sender) -> u64 {
        if sender.source.is_empty() || sender.dropped == 0 {
            return 0;
        }
        let mut state = self.lock();
        if state.dropped.len() >= MAX_SOURCES && !state.dropped.contains_key(&sender.source) {
            state.dropped.clear();
        }
        let known = state.dropped.entry(sender.source.clone()).or_insert(0);
        let more = sender.dropped.saturating_sub(*known);
        *known += more;
        more
    }

    fn keep(&self, identity: &Identity, pending: &Pending, now: Instant) {
        let mut state = self.lock();
        if state.entries.insert(identity.clone(), pending.clone()).is_none() {
            state.order.push_back((now, identity.clone()));
        }
        state.forget(now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go what is old, or too much. What is not settled yet stays however old it is: its sender may still come.
    fn forget(&mut self, now: Instant) {
        for _ in 0..self.order.len() {
            let is_full = self.order.len() > MAX_ENTRIES;
            let is_old = |entry: &(Instant, Identity)| now.duration_since(entry.0) > KEPT_FOR;
            if !is_full && !self.order.front().is_some_and(is_old) {
                return;
            }
            let Some((_, identity)) = self.order.pop_front() else { return };
            let is_settled =
                self.entries.get(&identity).is_none_or(|pending| pending.peek().is_some());
            if is_full || is_settled {
                self.entries.remove(&identity);
            } else {
                self.order.push_back((now, identity));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(result: Result<Accepted, Refusal>) -> Pending {
        let pending = async move { result }.boxed().shared();
        let _ = pending.clone().now_or_never();
        pending
    }

    const OK: Accepted = Accepted { spans: 3, rejected_spans: 0 };

    fn sender(sequence: u64, dropped: u64) -> Sender {
        Sender { source: "vm-1".into(), sequence, dropped }
    }

    #[test]
    fn a_filters_batch_is_known_as_soon_as_it_is_appended() {
        let repeats = Repeats::default();
        let identity = Identity::of(&sender(7, 0), b"body");
        assert!(repeats.find(&identity).is_none());
        repeats.appended(&identity, &settled(Ok(OK)));
        assert!(repeats.find(&identity).is_some());
        assert!(repeats.find(&Identity::of(&sender(8, 0), b"body")).is_none());
    }

    #[test]
    fn another_batch_is_known_only_after_its_sender_was_told_to_come_again() {
        let repeats = Repeats::default();
        let identity = Identity::of(&Sender::default(), b"body");
        repeats.appended(&identity, &settled(Ok(OK)));
        assert!(repeats.find(&identity).is_none());
        repeats.told_to_come_again(&identity, &settled(Ok(OK)));
        assert!(repeats.find(&identity).is_some());
    }

    #[test]
    fn a_batch_that_failed_is_written_again() {
        let repeats = Repeats::default();
        let identity = Identity::of(&sender(7, 0), b"body");
        repeats.appended(&identity, &settled(Err(Refusal::LogAway("gone".into()))));
        assert!(repeats.find(&identity).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let repeats = Repeats::default();
        for sequence in 1..=MAX_ENTRIES as u64 + 10 {
            repeats.appended(&Identity::of(&sender(sequence, 0), b""), &settled(Ok(OK)));
        }
        assert_eq!(repeats.lock().entries.len(), MAX_ENTRIES);
        assert!(repeats.find(&Identity::of(&sender(1, 0), b"")).is_none());
    }

    #[test]
    fn what_is_old_is_forgotten_unless_it_is_not_settled() {
        let repeats = Repeats::default();
        let (start, hanging) = (Instant::now(), futures_util::future::pending().boxed().shared());
        let identities = [1, 2, 3].map(|sequence| Identity::of(&sender(sequence, 0), b""));
        repeats.keep(&identities[0], &settled(Ok(OK)), start);
        repeats.keep(&identities[1], &hanging, start);
        repeats.keep(&identities[2], &settled(Ok(OK)), start + KEPT_FOR * 2);
        let known = identities.map(|identity| repeats.find(&identity).is_some());
        assert_eq!(known, [false, true, true]);
    }

    #[test]
    fn dropped_spans_are_counted_once() {
        let repeats = Repeats::default();
        let more: Vec<u64> =
            [5, 5, 9, 2].map(|dropped| repeats.newly_dropped(&sender(1, dropped))).into();
        assert_eq!(more, [5, 0, 4, 0]);
    }
}

//! A batch to its end: every record of it delivered, or dead-lettered. Tries for ever, and gives up no record but one that the
//! destination fails over while it takes others.

use super::dead_letter::{DeadLetters, Fault};
use super::divide::holds_several_traces;
use super::doubt::Doubt;
use super::export::{Export, Outcome, Request};
use super::format::Payload;
use super::gate::Gate;
use super::lanes::Lane;
use super::metrics::Metrics;
use super::pace::Pace;
use crate::ledger::{Fate, Stamp};
use crate::log::StoredRecord;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A push-back that took so long is a request that was not taken in its time.
const LATE: Duration = Duration::from_secs(1);

/// Where a record stands: its partition, the assignment under which it was read, its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The partition.
    pub partition: u32,
    /// Grows with each assignment; what was read under an older one is another reader's by now.
    pub epoch: u64,
    /// The offset.
    pub offset: i64,
}

/// A record on its way.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it stands.
    pub origin: Origin,
    /// As it was read.
    pub stored: StoredRecord,
    /// Its spans; `Err` says why it is not understood.
    pub payload: Result<Payload, String>,
    /// The lane by which it goes, and when it came into it.
    pub lane: Lane,
    /// See `lane`.
    pub since: Instant,
}

impl Item {
    /// Bytes that it adds to a request.
    pub fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, |payload| payload.value.len())
    }

    /// Spans in it; of one that is not understood, those that its writer put into it.
    pub fn spans(&self) -> u64 {
        match &self.payload {
            Ok(payload) => payload.spans,
            Err(_) => Stamp::of(&self.stored.record).map_or(0, |stamp| stamp.spans.into()),
        }
    }
}

/// Records of one request, and what speaks against them.
struct Part<'a> {
    items: &'a [&'a Item],
    doubt: Doubt,
}

/// Delivers batches; shared by all that are in flight.
pub struct Deliverer {
    /// The destination.
    pub destination: Arc<dyn Export>,
    /// Before the destination.
    pub gate: Gate,
    /// How fast it is given spans.
    pub pace: Pace,
    /// For what the destination never takes.
    pub dead_letters: DeadLetters,
    /// The forwarder's numbers.
    pub metrics: Arc<Metrics>,
}

impl Deliverer {
    /// Returns when every item is settled; says what became of each as soon as it is known. All are of one lane.
    pub async fn deliver(&self, items: &[Item], settle: impl Fn(Vec<(Origin, Fate)>)) {
        for item in items {
            if let Err(reason) = &item.payload {
                settle(vec![self.dead_letter(item, Fault::NotUnderstood, reason).await]);
            }
        }
        let understood: Vec<&Item> = items.iter().filter(|item| item.payload.is_ok()).collect();
        let mut parts = vec![Part::of(&understood)];
        while let Some(mut tried) = parts.pop() {
            let part = tried.items;
            let Some((outcome, took)) = self.try_part(&mut tried).await else {
                parts.extend(tried.halves());
                continue;
            };
            match outcome {
                Outcome::Delivered => {
                    self.metrics.delivered(part.len() as u64, spans(part));
                    settle(part.iter().map(|item| (item.origin, Fate::Delivered)).collect());
                }
                Outcome::Partial { rejected_spans, message } => {
                    settle(self.left_out(part, rejected_spans, &message).await);
                }
                Outcome::Refused { reason } if part.len() == 1 => {
                    settle(vec![self.refused(part[0], reason).await]);
                }
                Outcome::TooLarge { reason } if part.len() == 1 => {
                    settle(vec![self.divide(part[0], Outcome::TooLarge { reason }).await]);
                }
                // The guilty record is in one of the halves; the destination took nothing of this request.
                Outcome::Refused { .. } | Outcome::TooLarge { .. } => parts.extend(tried.halves()),
                // More than it can take in the time that it has, or that it lives: the same request would be too much for
                // ever, and whoever comes behind it waits.
                Outcome::Retry { .. } if part.len() > 1 && took >= LATE => {
                    parts.extend(tried.halves());
                }
                Outcome::Retry { .. } => parts.push(tried),
                Outcome::Failed { .. }
                    if part.len() > 1 && (took >= LATE || tried.doubt.is_worth_dividing()) =>
                {
                    parts.extend(tried.halves());
                }
                // The others go first: what becomes of them says what it is.
                Outcome::Failed { .. } => parts.insert(0, tried),
            }
        }
    }

    /// What the answer to one request with all of it means, and how long it took; `None` when it is to be divided, being more than
    /// the pace gives to one.
    async fn try_part(&self, tried: &mut Part<'_>) -> Option<(Outcome, Duration)> {
        let request = join(tried.items);
        if request.bytes == 0 {
            return Some((Outcome::Delivered, Duration::ZERO));
        }
        let lane = tried.items.first().map_or(Lane::InOrder, |item| item.lane);
        let (spans, is_another_try) = (request.spans, tried.doubt.was_tried());
        let pass = match tried.items.len() {
            1 => self.pass(spans, lane, is_another_try).await,
            _ => self.pass_or_divide(spans, lane, is_another_try).await?,
        };
        Some(self.send(pass, &request, &mut tried.doubt).await)
    }

    /// One record is to blame; of one that holds several traces, perhaps not all.
    async fn refused(&self, item: &Item, reason: String) -> (Origin, Fate) {
        if holds_several_traces(item) {
            return self.divide(item, Outcome::Refused { reason }).await;
        }
        self.dead_letter(item, Fault::Refused, &reason).await
    }

    async fn dead_letter(&self, item: &Item, fault: Fault, reason: &str) -> (Origin, Fate) {
        self.dead_letters.put(&item.stored, fault, reason).await;
        self.metrics.dead_lettered_spans.inc_by(item.spans());
        (item.origin, Fate::DeadLettered)
    }

    /// The answer does not say which spans were left out, and the rest must not be sent again: so each record of the
    /// request becomes a dead letter, from which the missing spans can be had; only they are counted as dead-lettered.
    async fn left_out(
        &self,
        part: &[&Item],
        rejected_spans: u64,
        message: &str,
    ) -> Vec<(Origin, Fate)> {
        let all = spans(part);
        let rejected = rejected_spans.min(all);
        let reason = format!("{rejected} of {all} spans of its request were left out: {message}");
        let (mut left, mut settled) = (rejected, Vec::with_capacity(part.len()));
        for item in part {
            // Which record they were in is not known; the sum is right.
            let here = left.min(item.spans());
            left -= here;
            self.dead_letters.put(&item.stored, Fault::Partial { left_out: here }, &reason).await;
            let fate = if here == 0 { Fate::Delivered } else { Fate::Partly(here) };
            settled.push((item.origin, fate));
        }
        self.metrics.rejected_spans.inc_by(rejected);
        self.metrics.dead_lettered_spans.inc_by(rejected);
        self.metrics.delivered(part.len() as u64, all - rejected);
        settled
    }
}

fn join(part: &[&Item]) -> Request {
    let values = part.iter().filter_map(|item| item.payload.as_ref().ok());
    let chunks: Vec<_> = values.map(|payload| payload.value.clone()).collect();
    Request { bytes: chunks.iter().map(bytes::Bytes::len).sum(), spans: spans(part), chunks }
}

fn spans(part: &[&Item]) -> u64 {
    part.iter().map(|item| item.spans()).sum()
}

impl<'a> Part<'a> {
    fn of(items: &'a [&'a Item]) -> Self {
        Self { items, doubt: Doubt::default() }
    }

    /// The second half first: parts are taken from the end.
    fn halves(&self) -> [Self; 2] {
        let (first, second) = self.items.split_at(self.items.len() / 2);
        [Self::of(second), Self::of(first)]
    }
}

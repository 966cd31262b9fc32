//! A record that the destination does not take, alone in its request: one that is too large is delivered in parts, each
//! holding some of its spans; one of several traces that is refused is delivered without the traces that are to blame.

use super::dead_letter::Fault;
use super::deliver::{Deliverer, Item, Origin};
use super::doubt::Doubt;
use super::export::{Outcome, Request};
use crate::ledger::Fate;
use crate::log::{Record, StoredRecord};
use crate::otlp::split::{TracePart, split};
use bytes::Bytes;

/// Some of a record's spans, and what speaks against them.
struct Part {
    value: Bytes,
    spans: u64,
    doubt: Doubt,
}

impl Deliverer {
    /// Returns when every part is delivered or dead-lettered.
    pub(super) async fn divide(&self, item: &Item, answer: Outcome) -> (Origin, Fate) {
        let Ok(payload) = &item.payload else { return (item.origin, Fate::Delivered) };
        let whole = Part::of(payload.value.clone(), payload.spans);
        let mut parts = vec![(whole, Some(answer))];
        let mut left_out = 0;
        while let Some((mut part, answer)) = parts.pop() {
            let outcome = match answer {
                Some(answer) => answer,
                None => {
                    let pass = self.pass(part.spans, item.lane, part.doubt.was_tried()).await;
                    self.send(pass, &part.request(), &mut part.doubt).await.0
                }
            };
            match outcome {
                Outcome::Delivered => self.metrics.delivered(0, part.spans),
                Outcome::Retry { .. } => parts.push((part, None)),
                Outcome::Failed { .. } => parts.insert(0, (part, None)),
                Outcome::Partial { rejected_spans, message } => {
                    let rejected = rejected_spans.min(part.spans);
                    self.metrics.rejected_spans.inc_by(rejected);
                    self.metrics.delivered(0, part.spans - rejected);
                    let reason = format!("{rejected} of {} spans left out: {message}", part.spans);
                    left_out += self.give_up(item, part, rejected, &reason).await;
                }
                Outcome::Refused { reason } => match part.halves_of_its_traces() {
                    Some(halves) => parts.extend(halves.map(|half| (half, None))),
                    None => {
                        let spans = part.spans;
                        left_out += self.give_up(item, part, spans, &reason).await;
                    }
                },
                Outcome::TooLarge { reason } => match part.halves() {
                    Some(halves) => parts.extend(halves.into_iter().map(|half| (half, None))),
                    None => {
                        let spans = part.spans;
                        left_out += self.give_up(item, part, spans, &reason).await;
                    }
                },
            }
        }
        self.metrics.delivered_records.inc();
        let fate = match left_out {
            0 => Fate::Delivered,
            all if all >= payload.spans => Fate::DeadLettered,
            some => Fate::Partly(some),
        };
        (item.origin, fate)
    }

    /// Keeps one part as a dead letter; gives the spans that are not delivered.
    async fn give_up(&self, item: &Item, part: Part, left_out: u64, reason: &str) -> u64 {
        let record = Record { value: part.value, ..item.stored.record.clone() };
        let stored = StoredRecord { record, ..item.stored };
        self.dead_letters.put(&stored, Fault::Part { left_out }, reason).await;
        self.metrics.dead_lettered_spans.inc_by(left_out);
        left_out
    }
}

impl Part {
    fn of(value: Bytes, spans: u64) -> Self {
        Self { value, spans, doubt: Doubt::default() }
    }

    fn request(&self) -> Request {
        Request { bytes: self.value.len(), spans: self.spans, chunks: vec![self.value.clone()] }
    }

    /// Parts of half the size or less, if there is more than one span. Spans that would be in none of them are never left
    /// behind: then there are no halves.
    fn halves(&self) -> Option<Vec<Part>> {
        let parts = parts_of(&self.value, self.value.len() / 2)?;
        Some(parts.into_iter().rev().collect())
    }

    /// Two parts with half of the traces each, the second one first, if there is more than one: only some may be to blame.
    fn halves_of_its_traces(&self) -> Option<[Part; 2]> {
        let traces = parts_of(&self.value, usize::MAX)?;
        let (first, second) = traces.split_at(traces.len() / 2);
        Some([joined(second), joined(first)])
    }
}

/// Whether only some of a record's spans may be to blame when it is refused.
pub(super) fn holds_several_traces(item: &Item) -> bool {
    let value = item.payload.as_ref().ok().map(|payload| &payload.value);
    value.and_then(|value| parts_of(value, usize::MAX)).is_some()
}

/// The parts of up to `limit` bytes, one trace in each, if there is more than one; `None` if a span would be in none.
fn parts_of(value: &Bytes, limit: usize) -> Option<Vec<Part>> {
    let split = split(value, limit).ok()?;
    let part = |part: TracePart| Part::of(part.value, part.spans.into());
    let is_divided = split.rejected_spans == 0 && split.traces.len() > 1;
    is_divided.then(|| split.traces.into_iter().map(part).collect())
}

fn joined(parts: &[Part]) -> Part {
    let values: Vec<&[u8]> = parts.iter().map(|part| &part.value[..]).collect();
    Part::of(values.concat().into(), parts.iter().map(|part| part.spans).sum())
}

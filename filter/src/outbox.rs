//! What a worker holds until the bridge has it: the open batch, those that wait, those in flight. It
//! decides what is sent when, and keeps the ledger. Bounded in bytes; no span leaves it uncounted.

use crate::answer::Outcome;
use crate::backoff::Backoff;
use crate::batch::{Batch, Envelope, OpenBatch};
use crate::ledger::Ledger;
use std::collections::VecDeque;

/// The bounds of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Spans at which a batch is full.
    pub batch_spans: u32,
    /// Bytes at which a batch is full.
    pub batch_bytes: usize,
    /// Bytes held in all, in flight included.
    pub buffered_bytes: usize,
    /// Calls in flight at most.
    pub calls_in_flight: usize,
}

/// What one call to the bridge carries.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The batch's number: the same at each try.
    pub sequence: u64,
    /// Spans in the batch.
    pub spans: u32,
    /// Spans that this worker has dropped so far.
    pub dropped: u64,
    /// The encoded request: the same bytes at each try.
    pub body: &'a [u8],
}

/// What became of an answered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The batch's number.
    pub sequence: u64,
    /// Its spans.
    pub spans: u32,
}

struct InFlight {
    token: u32,
    batch: Batch,
}

/// A worker's spans on their way to the bridge.
pub struct Outbox {
    limits: Limits,
    envelope: Envelope,
    open: OpenBatch,
    /// Oldest first.
    waiting: VecDeque<Batch>,
    in_flight: Vec<InFlight>,
    /// Of all sealed batches, waiting or in flight.
    sealed_bytes: usize,
    sealed_spans: u64,
    backoff: Backoff,
    ledger: Ledger,
    next_order: u64,
    next_sequence: u64,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: Limits, envelope: Envelope) -> Self {
        Self {
            limits,
            envelope,
            open: OpenBatch::default(),
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            sealed_bytes: 0,
            sealed_spans: 0,
            backoff: Backoff::default(),
            ledger: Ledger::default(),
            next_order: 0,
            next_sequence: 1,
        }
    }

    /// Takes an encoded span. True when a batch has just become full and could be sent at once.
    pub fn push(&mut self, span: &[u8]) -> bool {
        self.ledger.made += 1;
        let envelope = if self.open.count() == 0 { self.envelope.cost() } else { 0 };
        let cost = OpenBatch::cost(span.len()) + envelope;
        if !self.make_room(cost) {
            self.ledger.dropped_buffer_full += 1;
            return false;
        }
        self.open.push(span);
        let is_full = self.open.count() >= self.limits.batch_spans
            || self.open.bytes() + self.envelope.cost() >= self.limits.batch_bytes;
        if is_full {
            self.seal();
        }
        is_full && self.has_free_call()
    }

    /// Sends what may be sent now: the waiting batches, and on a flush the open one too. Only a flush
    /// closes a batch early, so that quick answers do not make small batches. `call` hands a batch to
    /// the proxy and answers with the call's token. `random` is any 64 bits.
    ///
    /// # Errors
    /// The proxy's, when a call could not be made: the batch is kept, counted, and tried again later.
    pub fn send<E>(
        &mut self,
        flush: bool,
        now_ms: u64,
        random: u64,
        mut call: impl FnMut(Call<'_>) -> Result<u32, E>,
    ) -> Result<(), E> {
        while self.backoff.is_open(now_ms) && self.has_free_call() {
            let Some(batch) = self.next_batch(flush) else { break };
            self.dispatch(batch, &mut call).inspect_err(|_| {
                self.ledger.calls_failed += 1;
                self.backoff.fail(now_ms, None, random);
            })?;
        }
        Ok(())
    }

    /// Sends all that is held, whatever the gate and the number of calls in flight say: for the end.
    ///
    /// # Errors
    /// The proxy's, at the first call that could not be made; the batch is kept.
    pub fn send_all<E>(
        &mut self,
        mut call: impl FnMut(Call<'_>) -> Result<u32, E>,
    ) -> Result<(), E> {
        while let Some(batch) = self.next_batch(true) {
            self.dispatch(batch, &mut call).inspect_err(|_| self.ledger.calls_failed += 1)?;
        }
        Ok(())
    }

    /// The end: drops and counts all that is held, in flight included. Answers how many spans.
    pub fn abandon(&mut self) -> u64 {
        let held = self.held_spans();
        self.ledger.dropped_at_end += held;
        self.open = OpenBatch::default();
        self.waiting.clear();
        self.in_flight.clear();
        (self.sealed_bytes, self.sealed_spans) = (0, 0);
        held
    }

    /// A call was answered. `None` for a token that is not in flight.
    pub fn answered(
        &mut self,
        token: u32,
        outcome: Outcome,
        now_ms: u64,
        random: u64,
    ) -> Option<Settled> {
        let at = self.in_flight.iter().position(|flight| flight.token == token)?;
        let batch = self.in_flight.swap_remove(at).batch;
        let spans = u64::from(batch.spans);
        let settled = Settled { sequence: batch.sequence.unwrap_or(0), spans: batch.spans };
        if !matches!(outcome, Outcome::Retry { .. }) {
            self.forget(&batch);
        }
        match outcome {
            Outcome::Accepted { rejected } => {
                let rejected = rejected.min(spans);
                self.ledger.batches_accepted += 1;
                self.ledger.accepted += spans - rejected;
                self.ledger.dropped_refused += rejected;
                self.backoff.succeed();
            }
            Outcome::Refused => {
                self.ledger.dropped_refused += spans;
                self.backoff.succeed();
            }
            Outcome::Retry { after_ms } => {
                self.ledger.calls_failed += 1;
                self.backoff.fail(now_ms, after_ms, random);
                self.put_back(batch);
            }
        }
        Some(settled)
    }

    /// A request will have no span, for want of room.
    pub fn count_not_recorded(&mut self) {
        self.ledger.not_recorded += 1;
    }

    /// The running totals.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether the last answer was a failure.
    pub fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    /// Calls in flight.
    pub fn calls_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Spans held: open, waiting, in flight.
    pub fn held_spans(&self) -> u64 {
        self.sealed_spans + u64::from(self.open.count())
    }

    /// Bytes held: open, waiting, in flight.
    pub fn held_bytes(&self) -> usize {
        let open = match self.open.count() {
            0 => 0,
            _ => self.open.bytes() + self.envelope.cost(),
        };
        open + self.sealed_bytes
    }

    /// A batch leaves for good: answered or dropped.
    fn forget(&mut self, batch: &Batch) {
        self.sealed_bytes -= batch.body.len();
        self.sealed_spans -= u64::from(batch.spans);
    }

    /// While the bridge fails, one probe at a time.
    fn has_free_call(&self) -> bool {
        let allowed = if self.backoff.is_failing() { 1 } else { self.limits.calls_in_flight };
        self.in_flight.len() < allowed
    }

    /// The waiting batch with the fewest tries, then the oldest: one that always fails stops no other.
    /// With none waiting, on a flush, the open batch as it is.
    fn next_batch(&mut self, flush: bool) -> Option<Batch> {
        let next = self.waiting.iter().enumerate().min_by_key(|(_, b)| (b.attempts, b.order));
        if let Some((at, _)) = next {
            return self.waiting.remove(at);
        }
        if flush {
            self.seal();
        }
        self.waiting.pop_front()
    }

    fn dispatch<E>(
        &mut self,
        mut batch: Batch,
        call: &mut impl FnMut(Call<'_>) -> Result<u32, E>,
    ) -> Result<(), E> {
        let sequence = *batch.sequence.get_or_insert_with(|| {
            let next = self.next_sequence;
            self.next_sequence += 1;
            next
        });
        batch.attempts = batch.attempts.saturating_add(1);
        let dropped = self.ledger.dropped();
        match call(Call { sequence, spans: batch.spans, dropped, body: &batch.body }) {
            Ok(token) => {
                self.ledger.batches_sent += 1;
                self.ledger.batches_retried += u64::from(batch.attempts > 1);
                self.in_flight.push(InFlight { token, batch });
                Ok(())
            }
            Err(error) => {
                self.put_back(batch);
                Err(error)
            }
        }
    }

    fn put_back(&mut self, batch: Batch) {
        let at = self.waiting.partition_point(|other| other.order < batch.order);
        self.waiting.insert(at, batch);
    }

    fn seal(&mut self) {
        if let Some(batch) = self.open.seal(&self.envelope, self.next_order) {
            self.next_order += 1;
            self.sealed_bytes += batch.body.len();
            self.sealed_spans += u64::from(batch.spans);
            self.waiting.push_back(batch);
        }
    }

    /// Drops the oldest waiting batches until `cost` more bytes fit. False when they cannot.
    fn make_room(&mut self, cost: usize) -> bool {
        while self.held_bytes() + cost > self.limits.buffered_bytes {
            let Some(oldest) = self.waiting.pop_front() else { return false };
            self.forget(&oldest);
            self.ledger.dropped_buffer_full += u64::from(oldest.spans);
        }
        true
    }
}

#[cfg(test)]
mod tests;

//! A worker's account of its spans: made = accepted + held + dropped, always.

/// Running totals since the worker began. Held is not here: the outbox counts what it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Spans made.
    pub made: u64,
    /// Spans that the bridge answered 200 for.
    pub accepted: u64,
    /// Spans dropped because the buffer was full.
    pub dropped_buffer_full: u64,
    /// Spans that the bridge refused for good.
    pub dropped_refused: u64,
    /// Spans still held when the worker ended.
    pub dropped_at_end: u64,
    /// Requests that have no span, since those under way held too many bytes. Not part of `made`.
    pub not_recorded: u64,
    /// Batches dispatched, each try counted.
    pub batches_sent: u64,
    /// Batches that were answered with 200.
    pub batches_accepted: u64,
    /// Batches dispatched again.
    pub batches_retried: u64,
    /// Calls that could not be made or were answered with something retryable.
    pub calls_failed: u64,
}

impl Ledger {
    /// All spans dropped so far, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_buffer_full + self.dropped_refused + self.dropped_at_end
    }

    /// Whether the account holds with this many spans held.
    pub fn balances(&self, held: u64) -> bool {
        self.made == self.accepted + held + self.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn a_span_unaccounted_for_breaks_the_balance() {
        let ledger = Ledger {
            made: 10,
            accepted: 5,
            dropped_buffer_full: 1,
            dropped_refused: 1,
            dropped_at_end: 1,
            ..Ledger::default()
        };
        assert!(ledger.balances(2));
        assert!(!ledger.balances(1));
        assert!(!ledger.balances(3));
    }
}

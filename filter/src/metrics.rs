//! The filter's numbers as the proxy shows them (`wasmcustom.spanferry_*`): their names, and what has
//! changed since they were last told. All workers add to the same numbers, so only changes are told.

use crate::ledger::Ledger;
use crate::sampling::Counts;

/// How the proxy keeps a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Grows and shrinks.
    Gauge,
}

/// How many metrics there are.
pub const COUNT: usize = 18;

/// Every metric: kind and name, in the order of [`Meter::changes`].
pub const METRICS: [(MetricKind, &str); COUNT] = [
    (MetricKind::Counter, "spanferry_spans_made"),
    (MetricKind::Counter, "spanferry_spans_accepted"),
    (MetricKind::Counter, "spanferry_spans_dropped_buffer_full"),
    (MetricKind::Counter, "spanferry_spans_dropped_refused"),
    (MetricKind::Counter, "spanferry_spans_dropped_at_end"),
    (MetricKind::Counter, "spanferry_requests_not_recorded"),
    (MetricKind::Counter, "spanferry_batches_sent"),
    (MetricKind::Counter, "spanferry_batches_accepted"),
    (MetricKind::Counter, "spanferry_batches_retried"),
    (MetricKind::Counter, "spanferry_calls_failed"),
    (MetricKind::Counter, "spanferry_config_errors"),
    (MetricKind::Counter, "spanferry_spans_sampled_out"),
    (MetricKind::Counter, "spanferry_spans_rate_limited"),
    (MetricKind::Counter, "spanferry_spans_kept_error"),
    (MetricKind::Counter, "spanferry_spans_kept_slow"),
    (MetricKind::Gauge, "spanferry_buffered_bytes"),
    (MetricKind::Gauge, "spanferry_buffered_spans"),
    (MetricKind::Gauge, "spanferry_open_requests_bytes"),
];

/// The numbers of one worker at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// The worker's totals.
    pub ledger: Ledger,
    /// Configurations refused so far.
    pub config_errors: u64,
    /// What sampling decided.
    pub sampling: Counts,
    /// Bytes held.
    pub buffered_bytes: u64,
    /// Spans held.
    pub buffered_spans: u64,
    /// Bytes held by requests under way.
    pub open_bytes: u64,
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Meter {
    told: [u64; COUNT],
}

impl Meter {
    /// What has changed since the last call: index into [`METRICS`], and by how much.
    pub fn changes(&mut self, reading: &Reading) -> impl Iterator<Item = (usize, i64)> + use<> {
        let ledger = &reading.ledger;
        let now = [
            ledger.made,
            ledger.accepted,
            ledger.dropped_buffer_full,
            ledger.dropped_refused,
            ledger.dropped_at_end,
            ledger.not_recorded,
            ledger.batches_sent,
            ledger.batches_accepted,
            ledger.batches_retried,
            ledger.calls_failed,
            reading.config_errors,
            reading.sampling.sampled_out,
            reading.sampling.rate_limited,
            reading.sampling.kept_error,
            reading.sampling.kept_slow,
            reading.buffered_bytes,
            reading.buffered_spans,
            reading.open_bytes,
        ];
        let before = std::mem::replace(&mut self.told, now);
        (0..COUNT).filter(move |i| now[*i] != before[*i]).map(move |i| {
            (i, i64::try_from(i128::from(now[i]) - i128::from(before[i])).unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn named(changes: impl Iterator<Item = (usize, i64)>) -> Vec<(&'static str, i64)> {
        changes.map(|(i, by)| (METRICS[i].1, by)).collect()
    }

    #[test]
    fn only_changes_are_told_and_gauges_shrink() {
        let mut meter = Meter::default();
        let mut reading = Reading { buffered_spans: 3, ..Reading::default() };
        reading.ledger.made = 3;
        let told = named(meter.changes(&reading));
        assert_eq!(told, [("spanferry_spans_made", 3), ("spanferry_buffered_spans", 3)]);
        assert_eq!(meter.changes(&reading).count(), 0);
        reading.ledger.accepted = 2;
        reading.buffered_spans = 1;
        let told = named(meter.changes(&reading));
        assert_eq!(told, [("spanferry_spans_accepted", 2), ("spanferry_buffered_spans", -2)]);
    }
}

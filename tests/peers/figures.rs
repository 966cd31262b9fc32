//! What was measured: figures of two sides in each round, and one side against the other, round by round.

use crate::corpus::Extent;
use crate::meter::Used;
use spanferry_tests::measure::Spread;
use std::time::Duration;

/// The two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Spanferry,
    /// The peer.
    Collector,
}

/// Both, in the order of a round's figures.
pub const SIDES: [Side; 2] = [Side::Spanferry, Side::Collector];

impl Side {
    /// Its name for a reader.
    pub fn name(self) -> &'static str {
        match self {
            Side::Spanferry => "Spanferry",
            Side::Collector => "Collector",
        }
    }
}

/// What one side used and gave in one round. What a comparison does not measure is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    /// CPU time of the process a span, µs: CPU seconds a million spans.
    pub cpu_us: f64,
    /// Spans a second, as fast as it goes.
    pub spans_a_second: f64,
    /// The most resident memory meanwhile, MB (10⁶ bytes).
    pub peak_mb: f64,
    /// Requests a second then.
    pub requests_a_second: f64,
    /// Bytes in Kafka a span.
    pub kafka_bytes: f64,
    /// Records in Kafka a span.
    pub records: f64,
    /// Median latency at the fixed rate, ms.
    pub p50_ms: f64,
    /// Its 99th percentile.
    pub p99_ms: f64,
    /// Its 99.9th percentile.
    pub p999_ms: f64,
}

/// Both sides over all rounds.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// What was sent, for a reader.
    pub name: String,
    /// At which rate, and the like.
    pub note: String,
    /// By round, in the order of `SIDES`.
    pub rounds: Vec<[Slice; 2]>,
}

impl Slice {
    /// Of a load that was taken as fast as it goes, in so many seconds.
    pub fn saturated(used: &Used, extent: &Extent, seconds: f64) -> Slice {
        Slice {
            cpu_us: used.cpu_us(extent.spans),
            spans_a_second: extent.spans as f64 / seconds,
            requests_a_second: extent.requests as f64 / seconds,
            peak_mb: used.peak_mb,
            ..Slice::default()
        }
    }

    /// Notes the percentiles of these.
    pub fn latencies(&mut self, latencies: impl IntoIterator<Item = Duration>) {
        let ms: Vec<f64> = latencies.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        let at = |share| percentile(ms.iter().copied(), share);
        (self.p50_ms, self.p99_ms, self.p999_ms) = (at(0.5), at(0.99), at(0.999));
    }
}

/// The figure that this share of the figures (0.0 to 1.0) did not exceed; 0 for none.
fn percentile(figures: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// One figure of a slice.
pub type Figure = fn(&Slice) -> f64;

impl Comparison {
    /// One figure of a side, over all rounds.
    pub fn of(&self, side: Side, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(|round| figure(&round[side as usize])))
    }

    /// Ours as a share of the peer's, taken round by round.
    pub fn ratio(&self, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(|[own, peer]| figure(own) / figure(peer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let round =
            |own: f64, peer: f64| [own, peer].map(|cpu_us| Slice { cpu_us, ..Slice::default() });
        let rounds = vec![round(1.0, 8.0), round(2.0, 8.0), round(9.0, 72.0)];
        let comparison = Comparison { rounds, ..Comparison::default() };
        assert_eq!(comparison.of(Side::Collector, |slice| slice.cpu_us).median, 8.0);
        assert_eq!(
            comparison.ratio(|slice| slice.cpu_us),
            Spread { least: 0.125, median: 0.125, most: 0.25 }
        );
    }

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let figures = || (1..=100).map(f64::from);
        assert_eq!((percentile(figures(), 0.0), percentile(figures(), 1.0)), (1.0, 100.0));
        assert_eq!(percentile([3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(percentile([], 0.5), 0.0);
    }
}

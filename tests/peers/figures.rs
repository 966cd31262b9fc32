//! What was measured: figures of two sides in each round, and one side against the other, round by round.

use spanferry_tests::measure::Spread;

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
    /// The most resident memory meanwhile, MiB.
    pub peak_mib: f64,
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
}

//! Figures of several rounds: the smallest, the median, the largest; and one case against another, round by round.

use crate::cases::Case;

/// What one case used in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    /// CPU time of the Envoy process a request, µs, as fast as requests are answered.
    pub cpu_us: f64,
    /// Median latency at the fixed rate, µs.
    pub p50_us: f64,
    /// 99th percentile of latency at the fixed rate, µs.
    pub p99_us: f64,
}

/// All rounds.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// By round, then by case.
    pub rounds: Vec<Vec<Slice>>,
    /// Resident memory of each case's Envoy at the end, bytes.
    pub resident: Vec<u64>,
}

/// The smallest, the median and the largest of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of any figures; all zero for none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let (count, last) = (sorted.len(), sorted.len().saturating_sub(1));
        let median = (at(last / 2) + at(count / 2)) / 2.0;
        Spread { least: at(0), median, most: at(last) }
    }
}

impl Measured {
    /// One figure of a case, over all rounds.
    pub fn of(&self, case: Case, figure: fn(&Slice) -> f64) -> Spread {
        Spread::of(self.each(case, figure))
    }

    /// By how much a figure of a case is above that of another, in each round.
    pub fn beyond(&self, case: Case, base: Case, figure: fn(&Slice) -> f64) -> Spread {
        Spread::of(self.differences(case, base, figure))
    }

    /// Added CPU time of `case` beyond `base`, as a share of what `peer` adds to no tracing, in each round.
    pub fn ratio(&self, (case, base): (Case, Case), peer: Case) -> Spread {
        let own = self.differences(case, base, |slice| slice.cpu_us);
        let peer = self.differences(peer, Case::Bare, |slice| slice.cpu_us);
        Spread::of(own.into_iter().zip(peer).map(|(own, peer)| own / peer))
    }

    /// The exporter of Envoy's own tracer that costs less CPU time.
    pub fn cheaper_native(&self) -> Case {
        let added = |case| self.beyond(case, Case::Bare, |slice| slice.cpu_us).median;
        match added(Case::NativeGrpc) <= added(Case::NativeHttp) {
            true => Case::NativeGrpc,
            false => Case::NativeHttp,
        }
    }

    fn each(&self, case: Case, figure: fn(&Slice) -> f64) -> Vec<f64> {
        self.rounds.iter().map(|round| figure(&round[case.index()])).collect()
    }

    fn differences(&self, case: Case, base: Case, figure: fn(&Slice) -> f64) -> Vec<f64> {
        let pairs = self.each(case, figure).into_iter().zip(self.each(base, figure));
        pairs.map(|(one, other)| one - other).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::ALL;

    #[test]
    fn the_median_is_in_the_middle_of_any_order() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(odd, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn a_ratio_is_taken_round_by_round_against_the_cheaper_exporter() {
        let round = |scale: f64| {
            let cpu = ALL.map(|case| match case {
                Case::Bare => 30.0,
                Case::NativeGrpc => 50.0,
                Case::NativeHttp => 45.0,
                _ => 36.0,
            });
            cpu.map(|cpu_us| Slice { cpu_us: cpu_us * scale, ..Slice::default() }).to_vec()
        };
        let measured = Measured { rounds: vec![round(1.0), round(2.0)], resident: Vec::new() };
        let peer = measured.cheaper_native();
        assert_eq!(peer, Case::NativeHttp);
        let ratio = measured.ratio((Case::Default, Case::Bare), peer);
        assert!((ratio.least - 0.4).abs() < 1e-9 && (ratio.most - 0.4).abs() < 1e-9, "{ratio:?}");
    }
}

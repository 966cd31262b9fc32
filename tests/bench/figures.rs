//! Figures of several rounds, and one case against another, round by round.

use crate::cases::Case;
use spanferry_tests::measure::Spread;

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
    /// Whether the Envoys had a core that nobody else used.
    pub had_own_core: bool,
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

    /// In how many rounds a figure of a case was no higher than that of another: by chance alone it is in half of them.
    pub fn no_higher(&self, case: Case, other: Case, figure: fn(&Slice) -> f64) -> usize {
        self.differences(case, other, figure).iter().filter(|more| **more <= 0.0).count()
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
    fn rounds_count_in_which_one_is_no_higher_than_another() {
        let round = |ours: f64| {
            let p99 = |case| if case == Case::SameTags { ours } else { 5.0 };
            ALL.map(|case| Slice { p99_us: p99(case), ..Slice::default() }).to_vec()
        };
        let rounds = [4.0, 5.0, 9.0].map(round).to_vec();
        let measured = Measured { rounds, ..Measured::default() };
        let p99 = |slice: &Slice| slice.p99_us;
        assert_eq!(measured.no_higher(Case::SameTags, Case::NativeHttp, p99), 2);
        assert_eq!(measured.no_higher(Case::NativeHttp, Case::SameTags, p99), 2);
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
        let measured = Measured { rounds: vec![round(1.0), round(2.0)], ..Measured::default() };
        let peer = measured.cheaper_native();
        assert_eq!(peer, Case::NativeHttp);
        let ratio = measured.ratio((Case::Default, Case::Bare), peer);
        assert!((ratio.least - 0.4).abs() < 1e-9 && (ratio.most - 0.4).abs() < 1e-9, "{ratio:?}");
    }
}

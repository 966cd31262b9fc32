//! Always, never, or a share of all traces, so chosen that all who choose by the same rule agree: the
//! trace's randomness against a threshold, as OpenTelemetry's "Probability Sampling" has it.

use crate::trace_context::TraceId;

/// 2^56: how many values the randomness of a trace has.
const ALL: u64 = 1 << 56;

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Every request.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// Traces whose randomness is at least this threshold, below 2^56.
    Ratio(u64),
}

impl Choice {
    /// A share of the traces, 0 to 1. Below 2^-56 it is none.
    pub fn ratio(share: f64) -> Self {
        // Exact: a float has 53 bits, and 2^56 only moves its exponent.
        let taken = (share.clamp(0.0, 1.0) * ALL as f64).round() as u64;
        if taken == 0 { Self::AlwaysOff } else { Self::Ratio(ALL - taken) }
    }

    /// Whether a trace of this randomness is sampled.
    pub fn takes(self, randomness: u64) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::Ratio(threshold) => randomness >= threshold,
        }
    }

    /// Whether it takes at most half of all traces.
    pub fn leaves_most_out(self) -> bool {
        !self.takes(ALL / 2 - 1)
    }
}

/// The randomness of a trace id: its last 56 bits (W3C Trace Context level 2, section 3.2.2.3).
pub fn randomness(trace_id: &TraceId) -> u64 {
    (u128::from_be_bytes(*trace_id) as u64) & (ALL - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn a_ratio_is_the_threshold_of_the_specification() {
        assert_eq!(Choice::ratio(1.0), Choice::Ratio(0));
        assert_eq!(Choice::ratio(0.5), Choice::Ratio(0x80_0000_0000_0000));
        assert_eq!(Choice::ratio(0.25), Choice::Ratio(0xc0_0000_0000_0000));
        let Choice::Ratio(hundredth) = Choice::ratio(0.01) else {
            panic!("a hundredth is not none")
        };
        assert_eq!(format!("{hundredth:014x}")[..6], *"fd70a3");
        assert_eq!(Choice::ratio(0.0), Choice::AlwaysOff);
        assert_eq!(Choice::ratio(1e-30), Choice::AlwaysOff);
        assert_eq!(Choice::ratio(2f64.powi(-56)), Choice::Ratio(ALL - 1));
    }

    #[test]
    fn a_trace_at_the_threshold_is_taken_and_one_below_is_not() {
        let half = Choice::ratio(0.5);
        assert!(half.takes(0x80_0000_0000_0000) && half.takes(ALL - 1));
        assert!(!half.takes(0x7f_ffff_ffff_ffff) && !half.takes(0));
    }

    #[test]
    fn half_of_the_traces_and_less_leaves_most_out() {
        let leaves = |share| Choice::ratio(share).leaves_most_out();
        assert!(leaves(0.0) && leaves(0.1) && leaves(0.5) && !leaves(0.501) && !leaves(1.0));
        assert!(Choice::AlwaysOff.leaves_most_out() && !Choice::AlwaysOn.leaves_most_out());
    }

    #[test]
    fn a_trace_taken_at_one_ratio_is_taken_at_each_larger_one() {
        for randomness in [0, 1, 0x12_3456_789a_bcde, 0x80_0000_0000_0000, ALL - 1] {
            let taken =
                [0.0, 0.01, 0.3, 0.5, 0.9, 1.0].map(|share| Choice::ratio(share).takes(randomness));
            assert!(taken.is_sorted(), "{randomness:x}: {taken:?}");
        }
    }

    #[test]
    fn only_the_last_seven_bytes_of_a_trace_id_are_random() {
        let id = 0xffff_ffff_ffff_ffff_ff12_3456_789a_bcde_u128;
        assert_eq!(randomness(&id.to_be_bytes()), 0x12_3456_789a_bcde);
    }
}

//! A rate a second: a bucket that holds one second's worth and fills evenly. Time comes in as an argument.

const SECOND_NS: u64 = 1_000_000_000;

/// A bucket; it begins full.
#[derive(Debug)]
pub struct Bucket {
    per_second: u64,
    /// In thousand-millionths of a request, so that a nanosecond fills it by `per_second`.
    level: u64,
    filled_ns: Option<u64>,
}

impl Bucket {
    /// So many a second; 0 lets nothing pass.
    pub fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, level: per_second * SECOND_NS, filled_ns: None }
    }

    /// Fills up to now, and says whether one more may pass. A clock that goes back fills nothing.
    pub fn has_room(&mut self, now_ns: u64) -> bool {
        let passed = self.filled_ns.map_or(0, |then| now_ns.saturating_sub(then));
        self.filled_ns = Some(now_ns);
        let filled = self.level.saturating_add(passed.saturating_mul(self.per_second));
        self.level = filled.min(self.per_second * SECOND_NS);
        self.level >= SECOND_NS
    }

    /// One passes.
    pub fn take(&mut self) {
        self.level = self.level.saturating_sub(SECOND_NS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn pass(bucket: &mut Bucket, now_ns: u64, tries: usize) -> usize {
        let try_one = |_: &usize| {
            let passes = bucket.has_room(now_ns);
            if passes {
                bucket.take();
            }
            passes
        };
        (0..tries).filter(try_one).count()
    }

    #[test]
    fn a_second_lets_its_number_pass_and_the_next_one_too() {
        let mut bucket = Bucket::new(10);
        assert_eq!(pass(&mut bucket, 5, 100), 10);
        assert_eq!(pass(&mut bucket, 5 + SECOND_NS / 2, 100), 5);
        assert_eq!(pass(&mut bucket, 5 + SECOND_NS * 9, 100), 10);
    }

    #[test]
    fn over_a_long_time_no_more_pass_than_the_rate_and_one_full_bucket() {
        let mut bucket = Bucket::new(7);
        let passed: usize = (0..10_000).map(|i| pass(&mut bucket, i * SECOND_NS / 1000, 3)).sum();
        assert_eq!(passed, 7 + 7 * 10 - 1);
    }

    #[test]
    fn a_clock_that_goes_back_or_far_ahead_does_no_harm() {
        let mut bucket = Bucket::new(u32::MAX);
        assert!(bucket.has_room(u64::MAX));
        assert!(bucket.has_room(0));
        assert!(bucket.has_room(u64::MAX));
        let mut bucket = Bucket::new(2);
        assert_eq!(pass(&mut bucket, 100 * SECOND_NS, 9), 2);
        assert_eq!(pass(&mut bucket, 0, 9), 0);
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_pass() {
        assert_eq!(pass(&mut Bucket::new(0), 1, 5), 0);
    }
}

//! When to try again: one gate for a worker's calls, closed for longer after each failure in a row,
//! with jitter, and for as long as the bridge asks.

/// The first wait, ms.
pub const FIRST_WAIT_MS: u64 = 500;
/// The longest wait of our own, ms.
pub const LONGEST_WAIT_MS: u64 = 30_000;
/// The longest `Retry-After` that is honoured, ms.
pub const LONGEST_RETRY_AFTER_MS: u64 = 300_000;

/// The gate. Time is the host's clock in ms; it may be set back, and the gate then opens early.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    closed_until_ms: u64,
}

impl Backoff {
    /// Whether a call may be made now.
    pub fn is_open(&self, now_ms: u64) -> bool {
        // A wait longer than any we set means that the clock went back.
        let longest = LONGEST_RETRY_AFTER_MS + LONGEST_RETRY_AFTER_MS / 4;
        now_ms >= self.closed_until_ms || self.closed_until_ms - now_ms > longest
    }

    /// Whether the last answer was a failure: calls are then probes, one at a time.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// A call failed. Failures of calls made together count once: while the gate is closed only a
    /// longer `Retry-After` matters. `random` is any 64 bits.
    pub fn fail(&mut self, now_ms: u64, retry_after_ms: Option<u64>, random: u64) {
        let asked = retry_after_ms.unwrap_or(0).min(LONGEST_RETRY_AFTER_MS);
        if self.is_failing() && now_ms < self.closed_until_ms && self.is_closed(now_ms) {
            self.closed_until_ms = self.closed_until_ms.max(now_ms.saturating_add(asked));
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_WAIT_MS << (self.failures - 1).min(16);
        let ours = doubled.min(LONGEST_WAIT_MS);
        // Ours: between half and the whole. The bridge's: never earlier, up to a quarter later.
        let jittered = ours / 2 + random % (ours / 2 + 1);
        let asked = asked + random % (asked / 4 + 1);
        self.closed_until_ms = now_ms.saturating_add(jittered.max(asked));
    }

    /// A call was answered for good.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    fn is_closed(&self, now_ms: u64) -> bool {
        !self.is_open(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// Waits after each of `n` failures, each reported when the gate has just opened.
    fn waits(n: usize, random: u64) -> Vec<u64> {
        let mut gate = Backoff::default();
        let mut now = 1_000_000;
        let mut waits = Vec::new();
        for _ in 0..n {
            gate.fail(now, None, random);
            let start = now;
            while !gate.is_open(now) {
                now += 1;
            }
            waits.push(now - start);
        }
        waits
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(waits(8, 0), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        for wait in waits(40, u64::MAX) {
            assert!((250..=LONGEST_WAIT_MS).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn jitter_spreads_workers_apart() {
        assert_ne!(waits(1, 10), waits(1, 200));
    }

    #[test]
    fn retry_after_is_never_cut_short_but_bounded() {
        let mut gate = Backoff::default();
        gate.fail(0, Some(60_000), 12_345);
        assert!(!gate.is_open(59_999));
        assert!(gate.is_open(75_001));
        gate.succeed();
        gate.fail(0, Some(u64::MAX), u64::MAX);
        assert!(!gate.is_open(LONGEST_RETRY_AFTER_MS - 1));
        assert!(gate.is_open(LONGEST_RETRY_AFTER_MS * 5 / 4 + 1));
    }

    #[test]
    fn calls_that_failed_together_count_once() {
        let mut gate = Backoff::default();
        for _ in 0..4 {
            gate.fail(100, None, 0);
        }
        assert!(gate.is_open(350));
        gate.fail(349, Some(10_000), 0);
        assert!(!gate.is_open(10_348));
    }

    #[test]
    fn success_opens_the_gate_at_once() {
        let mut gate = Backoff::default();
        gate.fail(100, None, 0);
        assert!(gate.is_failing() && !gate.is_open(101));
        gate.succeed();
        assert!(!gate.is_failing() && gate.is_open(101));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_lock_the_gate() {
        let mut gate = Backoff::default();
        gate.fail(10_000_000_000, None, 0);
        assert!(gate.is_open(5_000));
        gate.fail(5_000, None, 0);
        assert!(!gate.is_open(5_001));
    }
}

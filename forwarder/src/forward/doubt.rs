//! Whether what fails again and again is to blame itself: a server says INTERNAL, or 500, of spans that it stumbles over as of
//! trouble of its own. Only that it takes others meanwhile tells one from the other.

use super::export::Outcome;
use std::time::Duration;
use tokio::time::Instant;

/// A request of several records that failed so often is divided: one of them may be to blame.
const DIVIDED_AFTER: u32 = 3;
/// One record that failed so often and for so long, with others taken between any two of these tries, is to blame. A destination that
/// fails for every second request, whatever is in it, does this to one in a million records.
const BLAMED_AFTER: u32 = 20;
const AT_LEAST: Duration = Duration::from_secs(60);

/// What its tries say against a request.
#[derive(Debug, Clone, Default)]
pub struct Doubt {
    was_tried: bool,
    failures: u32,
    while_others_passed: u32,
    /// Since it failed first.
    since: Option<Instant>,
    /// Requests that the destination had taken when it failed last.
    passed: Option<u64>,
}

impl Doubt {
    /// What this answer means after those before it: a request that is to blame is refused. `passed` requests were taken so far, of
    /// all.
    pub fn answered(&mut self, outcome: Outcome, passed: u64) -> Outcome {
        self.was_tried = true;
        let Outcome::Failed { reason } = &outcome else { return outcome };
        self.failed(passed);
        if !self.is_certain() {
            return outcome;
        }
        let reason = format!(
            "the destination failed over it again and again, and took others meanwhile: {reason}"
        );
        Outcome::Refused { reason }
    }

    /// Whether it has an answer already.
    pub fn was_tried(&self) -> bool {
        self.was_tried
    }

    fn failed(&mut self, passed: u64) {
        self.failures += 1;
        self.since.get_or_insert_with(Instant::now);
        let others_passed = self.passed.replace(passed).is_some_and(|before| passed > before);
        self.while_others_passed += u32::from(others_passed);
    }

    /// Whether its halves are to be tried.
    pub fn is_worth_dividing(&self) -> bool {
        self.failures >= DIVIDED_AFTER
    }

    /// Whether nothing but what is in it is left to blame.
    fn is_certain(&self) -> bool {
        let has_lasted = self.since.is_some_and(|since| since.elapsed() >= AT_LEAST);
        has_lasted && self.while_others_passed >= BLAMED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_alone_prove_nothing() {
        let mut doubt = Doubt::default();
        for _ in 0..1_000 {
            doubt.failed(7);
            tokio::time::advance(AT_LEAST).await;
        }
        assert!(doubt.is_worth_dividing() && !doubt.is_certain());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_to_blame_when_others_passed_between_its_tries() {
        let mut doubt = Doubt::default();
        for passed in 0..BLAMED_AFTER {
            doubt.failed(u64::from(passed));
            tokio::time::advance(AT_LEAST).await;
            assert!(!doubt.is_certain(), "after {passed}");
        }
        doubt.failed(u64::from(BLAMED_AFTER));
        assert!(doubt.is_certain());
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_of_some_seconds_proves_nothing_either() {
        let mut doubt = Doubt::default();
        for passed in 0..10 * BLAMED_AFTER {
            doubt.failed(u64::from(passed));
        }
        tokio::time::advance(AT_LEAST - Duration::from_millis(1)).await;
        assert!(!doubt.is_certain());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(doubt.is_certain());
    }
}

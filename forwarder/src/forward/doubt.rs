//! Whether what fails again and again is to blame itself: a server says INTERNAL, or 500, of spans that it stumbles over as of
//! trouble of its own. Only that it takes others meanwhile tells one from the other.

/// A request of several records that failed so often is divided: one of them may be to blame.
const DIVIDED_AFTER: u32 = 3;
/// One record that failed so often, with others taken between any two of its tries, is to blame. A destination that fails for every
/// second request, whatever is in it, does this to one in a million records.
const BLAMED_AFTER: u32 = 20;

/// What speaks against a request.
#[derive(Debug, Clone, Default)]
pub struct Doubt {
    failures: u32,
    while_others_passed: u32,
    /// Requests that the destination had taken when it failed last.
    passed: Option<u64>,
}

impl Doubt {
    /// It failed once more, in a way that OTLP lets nobody try again. `passed` requests were taken so far, of all.
    pub fn failed(&mut self, passed: u64) {
        self.failures += 1;
        let others_passed = self.passed.replace(passed).is_some_and(|before| passed > before);
        self.while_others_passed += u32::from(others_passed);
    }

    /// Whether its halves are to be tried.
    pub fn is_worth_dividing(&self) -> bool {
        self.failures >= DIVIDED_AFTER
    }

    /// Whether nothing but what is in it is left to blame.
    pub fn is_certain(&self) -> bool {
        self.while_others_passed >= BLAMED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_alone_prove_nothing() {
        let mut doubt = Doubt::default();
        for _ in 0..1_000 {
            doubt.failed(7);
        }
        assert!(doubt.is_worth_dividing() && !doubt.is_certain());
    }

    #[test]
    fn it_is_to_blame_when_others_passed_between_its_tries() {
        let mut doubt = Doubt::default();
        for passed in 0..BLAMED_AFTER {
            doubt.failed(u64::from(passed));
            assert!(!doubt.is_certain(), "after {passed}");
        }
        doubt.failed(u64::from(BLAMED_AFTER));
        assert!(doubt.is_certain());
    }
}

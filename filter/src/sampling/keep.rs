//! Keep what matters: a request that was not sampled is exported all the same when it failed or was slow.

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Requests whose span is an error.
    pub errors: bool,
    /// Requests that took longer, ms.
    pub slower_than_ms: Option<u64>,
}

/// Why a request was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Its span is an error.
    Error,
    /// It took too long.
    Slow,
}

impl Kept {
    /// The value of `spanferry.sampled_by`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
        }
    }
}

const MS_NS: u64 = 1_000_000;
/// Status codes that are an error to nobody.
const WELL: std::ops::Range<u64> = 100..400;

impl Keep {
    /// Whether anything is kept, so that requests must be watched until their end.
    pub fn is_on(&self) -> bool {
        self.errors || self.slower_than_ms.is_some()
    }

    /// Whether and why a request that is over is kept.
    pub fn why(&self, has_failed: bool, duration_ns: u64) -> Option<Kept> {
        match self.limit_ns() {
            _ if self.errors && has_failed => Some(Kept::Error),
            Some(limit_ns) if duration_ns > limit_ns => Some(Kept::Slow),
            _ => None,
        }
    }

    /// Whether a request that is over is surely not kept, by a cheap look: at most three numbers, read only
    /// as far as needed. (One CEL expression of the same meaning costs twice as much in Envoy 1.40.) What
    /// says no is looked at as a whole; so is every gRPC call, whose status is not its code.
    pub fn is_harmless(&self, is_grpc: bool, read: impl Fn([&str; 2]) -> Option<u64>) -> bool {
        let went_well = || {
            let code = read(["response", "code"]);
            code.is_some_and(|code| WELL.contains(&code)) && read(["response", "flags"]) == Some(0)
        };
        let was_fast = |limit_ns: u64| {
            read(["request", "duration"]).is_some_and(|duration| duration <= limit_ns)
        };
        (!self.errors || (!is_grpc && went_well())) && self.limit_ns().is_none_or(was_fast)
    }

    fn limit_ns(&self) -> Option<u64> {
        self.slower_than_ms.map(|ms| ms.saturating_mul(MS_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn an_error_or_a_slow_request_is_kept_and_no_other() {
        let keep = Keep { errors: true, slower_than_ms: Some(5) };
        assert_eq!(keep.why(true, 0), Some(Kept::Error));
        assert_eq!(keep.why(true, 9 * MS_NS), Some(Kept::Error));
        assert_eq!(keep.why(false, 5 * MS_NS + 1), Some(Kept::Slow));
        assert_eq!(keep.why(false, 5 * MS_NS), None);
        assert!(keep.is_on());
    }

    #[test]
    fn what_is_not_configured_is_not_kept() {
        assert_eq!(Keep::default().why(true, u64::MAX), None);
        assert!(!Keep::default().is_on());
        let slow = Keep { errors: false, slower_than_ms: Some(u64::MAX) };
        assert_eq!(slow.why(true, u64::MAX), None);
    }

    fn look(keep: &Keep, is_grpc: bool, code: u64, flags: u64, duration: u64) -> bool {
        keep.is_harmless(is_grpc, |path| match path {
            ["response", "code"] => Some(code).filter(|code| *code > 0),
            ["response", "flags"] => Some(flags),
            ["request", "duration"] => Some(duration),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn only_a_request_that_went_well_and_fast_is_harmless() {
        let keep = Keep { errors: true, slower_than_ms: Some(5) };
        assert!(look(&keep, false, 200, 0, 5 * MS_NS));
        assert!(look(&keep, false, 304, 0, 0));
        assert!(!look(&keep, false, 404, 0, 0));
        assert!(!look(&keep, false, 0, 0, 0));
        assert!(!look(&keep, false, 200, 1 << 4, 0));
        assert!(!look(&keep, false, 200, 0, 5 * MS_NS + 1));
        assert!(!look(&keep, true, 200, 0, 0), "the status of a gRPC call is in its trailers");
    }

    #[test]
    fn the_look_asks_only_for_what_is_kept() {
        let slow = Keep { errors: false, slower_than_ms: Some(5) };
        assert!(slow.is_harmless(true, |path| (path == ["request", "duration"]).then_some(1)));
        let errors = Keep { errors: true, slower_than_ms: None };
        assert!(errors.is_harmless(false, |path| match path {
            ["response", "code"] => Some(200),
            ["response", "flags"] => Some(0),
            other => panic!("{other:?}"),
        }));
    }
}

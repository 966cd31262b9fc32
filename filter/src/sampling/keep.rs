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

/// A gRPC call that did not say OK. The attribute `response.grpc_status` would not do: Envoy gives every
/// other request one, too.
const GRPC_CALL_NOT_OK: &str = "('content-type' in request.headers\
    &&request.headers['content-type'].startsWith('application/grpc')\
    &&!('grpc-status' in response.trailers&&response.trailers['grpc-status']=='0')\
    &&!('grpc-status' in response.headers&&response.headers['grpc-status']=='0'))";

const MS_NS: u64 = 1_000_000;

impl Keep {
    /// Whether anything is kept, so that requests must be watched until their end.
    pub fn is_on(&self) -> bool {
        self.errors || self.slower_than_ms.is_some()
    }

    /// Whether and why a request that is over is kept.
    pub fn why(&self, has_failed: bool, duration_ns: u64) -> Option<Kept> {
        let limit_ns = self.slower_than_ms.map(|ms| ms.saturating_mul(MS_NS));
        match limit_ns {
            _ if self.errors && has_failed => Some(Kept::Error),
            Some(limit_ns) if duration_ns > limit_ns => Some(Kept::Slow),
            _ => None,
        }
    }

    /// A CEL expression that is true of every request that may have to be kept, and of few others: a
    /// cheap question that spares most requests the reading of all their properties. `None` when nothing
    /// is kept.
    pub fn expression(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.errors {
            parts.push("!has(response.code)||response.code>=400||response.code<100".to_owned());
            parts.push("response.flags!=0".to_owned());
            parts.push(GRPC_CALL_NOT_OK.to_owned());
        }
        if let Some(ms) = self.slower_than_ms {
            parts.push(format!("request.duration>duration('{ms}ms')"));
        }
        (!parts.is_empty()).then(|| parts.join("||"))
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
        assert_eq!(Keep::default().expression(), None);
        let slow = Keep { errors: false, slower_than_ms: Some(u64::MAX) };
        assert_eq!(slow.why(true, u64::MAX), None);
    }

    #[test]
    fn the_question_asks_only_for_what_is_kept() {
        let errors = Keep { errors: true, slower_than_ms: None }.expression().unwrap();
        assert!(errors.contains("response.flags") && !errors.contains("duration"), "{errors}");
        let slow = Keep { errors: false, slower_than_ms: Some(250) }.expression().unwrap();
        assert_eq!(slow, "request.duration>duration('250ms')");
    }
}

//! The first decision on a request: leave it alone, carry its context on, or record it; and which
//! headers it then leaves with.

use crate::header_map::RequestHeaders;
use crate::ids::IdSource;
use crate::sampling::{Decision, Sampler};
use crate::trace_context::{self, Parent, SAMPLED, SpanContext, w3c};

/// What is done with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Ours or excluded: its headers are not touched and no span is made.
    Skip,
    /// The caller did not sample it: its context goes on as it came, and no span is made.
    CarryOn {
        /// A malformed `tracestate` is to be removed.
        remove_state: bool,
    },
    /// A span is made at its end.
    Record(Recording),
}

/// A request that is being recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// The span's ids.
    pub context: SpanContext,
    /// The caller's, if it sent a valid one.
    pub parent: Option<Parent>,
    /// The `traceparent` that the request leaves with.
    pub traceparent: String,
    /// A stale or malformed `tracestate` is to be removed.
    pub remove_state: bool,
}

/// Decides on a request.
pub fn admit(
    headers: &RequestHeaders<'_>,
    exclude_paths: &[String],
    sampler: Sampler,
    ids: &mut IdSource,
) -> Admission {
    let excluded = exclude_paths.iter().any(|prefix| headers.path.starts_with(prefix.as_bytes()));
    if headers.from_spanferry || excluded {
        return Admission::Skip;
    }
    let found = trace_context::extract(headers);
    let remove_state = found.stale_state;
    if sampler.decide(found.parent.as_ref()) == Decision::CarryOn {
        return Admission::CarryOn { remove_state };
    }
    ids.stir(headers.request_id);
    let span_id = ids.span_id();
    let context = match &found.parent {
        Some(parent) => SpanContext { trace_id: parent.trace_id, span_id, flags: parent.flags },
        None => SpanContext { trace_id: ids.trace_id(), span_id, flags: SAMPLED },
    };
    let traceparent = w3c::write_traceparent(&context);
    Admission::Record(Recording { context, parent: found.parent, traceparent, remove_state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn decide(headers: &RequestHeaders<'_>) -> Admission {
        let mut ids = IdSource::seeded([3; 32]);
        admit(headers, &["/health".into()], Sampler::default(), &mut ids)
    }

    fn record(headers: &RequestHeaders<'_>) -> Recording {
        match decide(headers) {
            Admission::Record(recording) => recording,
            other => panic!("{other:?}"),
        }
    }

    fn get<'a>(traceparent: &[&'a str], tracestate: &[&'a str]) -> RequestHeaders<'a> {
        RequestHeaders {
            path: b"/cart",
            traceparent: traceparent.iter().map(|v| v.as_bytes()).collect(),
            tracestate: tracestate.iter().map(|v| v.as_bytes()).collect(),
            ..RequestHeaders::default()
        }
    }

    #[test]
    fn a_valid_parent_is_continued_with_a_span_of_our_own() {
        let incoming = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let recording = record(&get(&[&incoming], &["a=1"]));
        assert_eq!(recording.traceparent[..36], incoming[..36]);
        assert_ne!(recording.traceparent[36..52], incoming[36..52]);
        assert_eq!(recording.traceparent[52..], *"-01");
        assert_eq!(recording.parent.unwrap().state, "a=1");
        assert!(!recording.remove_state);
    }

    #[test]
    fn a_later_version_is_written_back_as_00() {
        let recording = record(&get(&[&format!("cc-{TRACE}-00f067aa0ba902b7-03-more")], &[]));
        assert!(recording.traceparent.starts_with(&format!("00-{TRACE}-")));
        assert!(recording.traceparent.ends_with("-03"));
    }

    #[test]
    fn an_invalid_parent_begins_a_new_trace_without_the_state() {
        let incoming = format!("ff-{TRACE}-00f067aa0ba902b7-01");
        let recording = record(&get(&[&incoming], &["a=1"]));
        assert_eq!(recording.parent, None);
        assert_ne!(recording.traceparent[3..35], *TRACE);
        assert!(recording.traceparent.ends_with("-01"));
        assert!(recording.remove_state);
    }

    #[test]
    fn an_unsampled_request_is_carried_on() {
        let incoming = format!("00-{TRACE}-00f067aa0ba902b7-00");
        let carried = decide(&get(&[&incoming], &["a=1"]));
        assert_eq!(carried, Admission::CarryOn { remove_state: false });
    }

    #[test]
    fn our_own_callouts_and_excluded_paths_are_left_alone() {
        let mut headers = get(&[], &[]);
        headers.from_spanferry = true;
        assert_eq!(decide(&headers), Admission::Skip);
        let mut headers = get(&["broken"], &["a=1"]);
        headers.path = b"/healthz?x";
        assert_eq!(decide(&headers), Admission::Skip);
        headers.path = b"/api/health";
        assert_ne!(decide(&headers), Admission::Skip);
    }
}

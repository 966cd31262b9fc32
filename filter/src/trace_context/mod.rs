//! The trace context that a request brings and takes on. One file per dialect; this one holds what
//! they share: who the parent is, who we are, and which headers the request must leave with.

pub mod w3c;

use crate::header_map::RequestHeaders;

/// A trace id: 16 bytes, never all zero.
pub type TraceId = [u8; 16];
/// A span id: 8 bytes, never all zero.
pub type SpanId = [u8; 8];

/// The flag that says the caller recorded its span (W3C Trace Context, trace-flags bit 0).
pub const SAMPLED: u8 = 0x01;

/// A valid context that came with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The trace that goes on.
    pub trace_id: TraceId,
    /// The caller's span: our parent.
    pub span_id: SpanId,
    /// The flags that are defined today: sampled, random.
    pub flags: u8,
    /// The vendors' list, as it came, or empty.
    pub state: String,
}

impl Parent {
    /// Whether the caller recorded its span.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Who a request's span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace: the parent's, or a new one.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The flags that go on with the request.
    pub flags: u8,
}

/// What a request's headers say of its trace.
#[derive(Debug, PartialEq, Eq)]
pub struct Extracted {
    /// The caller's context, if it is valid.
    pub parent: Option<Parent>,
    /// Whether a `tracestate` is there that must not go on: without a valid parent, or malformed.
    pub stale_state: bool,
}

/// Reads the context from a request's headers.
pub fn extract(headers: &RequestHeaders<'_>) -> Extracted {
    let has_state = !headers.tracestate.is_empty();
    let [traceparent] = headers.traceparent[..] else {
        return Extracted { parent: None, stale_state: has_state };
    };
    let Some((trace_id, span_id, flags)) = w3c::parse_traceparent(traceparent) else {
        return Extracted { parent: None, stale_state: has_state };
    };
    let state = w3c::join_tracestate(&headers.tracestate);
    let stale_state = has_state && state.is_none();
    let parent = Parent { trace_id, span_id, flags, state: state.unwrap_or_default() };
    Extracted { parent: Some(parent), stale_state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    const VALID: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers<'a>(parents: &[&'a [u8]], states: &[&'a [u8]]) -> RequestHeaders<'a> {
        RequestHeaders {
            traceparent: parents.to_vec(),
            tracestate: states.to_vec(),
            ..RequestHeaders::default()
        }
    }

    #[test]
    fn a_valid_parent_is_continued_with_its_state() {
        let found = extract(&headers(&[VALID], &[b"a=1", b"b=2"]));
        let parent = found.parent.unwrap();
        assert_eq!(parent.span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.is_sampled());
        assert_eq!(parent.state, "a=1,b=2");
        assert!(!found.stale_state);
    }

    #[test]
    fn two_parents_are_none_and_the_state_is_stale() {
        let found = extract(&headers(&[VALID, VALID], &[b"a=1"]));
        assert_eq!(found, Extracted { parent: None, stale_state: true });
    }

    #[test]
    fn an_invalid_parent_makes_the_state_stale() {
        let found = extract(&headers(&[b"00-xyz"], &[b"a=1"]));
        assert_eq!(found, Extracted { parent: None, stale_state: true });
    }

    #[test]
    fn a_state_without_a_parent_is_stale() {
        assert_eq!(
            extract(&headers(&[], &[b"a=1"])),
            Extracted { parent: None, stale_state: true }
        );
        assert_eq!(extract(&headers(&[], &[])), Extracted { parent: None, stale_state: false });
    }

    #[test]
    fn a_malformed_state_is_dropped_and_the_parent_kept() {
        let found = extract(&headers(&[VALID], &[b"no equals sign"]));
        assert!(found.stale_state);
        assert_eq!(found.parent.unwrap().state, "");
    }
}

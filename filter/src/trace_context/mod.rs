//! The trace context that a request brings and takes on. One file per dialect; this one holds what they
//! share: who the parent is, who we are, and which dialect is asked first.

pub mod b3;
pub mod baggage;
pub mod datadog;
pub mod hex;
pub mod jaeger;
pub mod outgoing;
pub mod tracestate;
pub mod w3c;
pub mod xray;

use crate::header_map::RequestHeaders;
pub use outgoing::{HeaderEdit, Outgoing, StateEdit};

/// A trace id: 16 bytes, never all zero.
pub type TraceId = [u8; 16];
/// A span id: 8 bytes, never all zero.
pub type SpanId = [u8; 8];

/// The flag that says the caller recorded its span (W3C Trace Context, trace-flags bit 0).
pub const SAMPLED: u8 = 0x01;

/// A way to write a trace context in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// W3C Trace Context.
    TraceContext,
    /// B3; written as the single header.
    B3,
    /// B3; written as many headers.
    B3Multi,
    /// Jaeger's `uber-trace-id`.
    Jaeger,
    /// AWS X-Ray's `X-Amzn-Trace-Id`; read only.
    XRay,
    /// Datadog's headers; read only.
    Datadog,
}

/// Which dialects are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagation {
    /// Read in this order: the first that has a valid context wins.
    pub read: Vec<Dialect>,
    /// Written, each of them.
    pub write: Vec<Dialect>,
}

/// A valid context that came with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The trace that goes on.
    pub trace_id: TraceId,
    /// The caller's span: our parent.
    pub span_id: SpanId,
    /// The flags that are defined today: sampled, random. Only W3C has more than sampled.
    pub flags: u8,
    /// The vendors' list of W3C Trace Context, as it came, or empty.
    pub state: String,
}

impl Parent {
    /// A caller that says nothing more than its ids.
    pub fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, flags: 0, state: String::new() }
    }

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

impl SpanContext {
    /// Whether those that follow shall record their spans.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// What one dialect says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The caller. B3 may give a decision without one.
    pub parent: Option<Parent>,
    /// Whether the caller sampled it; `None`: the decision is left to us.
    pub decision: Option<bool>,
    /// Sampled for debugging, which goes on as such.
    pub is_debug: bool,
}

/// What a request's headers say of its trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The caller's context, if it sent a valid one.
    pub parent: Option<Parent>,
    /// Whether the caller sampled it; `None`: the decision is left to us.
    pub decision: Option<bool>,
    /// Sampled for debugging, which goes on as such.
    pub is_debug: bool,
    /// Whether a `tracestate` is there that must not go on: not that of the parent, or malformed.
    pub stale_state: bool,
}

/// Reads the context from a request's headers: the first dialect that has a valid one.
pub fn extract(headers: &RequestHeaders<'_>, read: &[Dialect]) -> Extracted {
    let has_state = !headers.tracestate.is_empty();
    for dialect in read {
        let found = match dialect {
            Dialect::TraceContext => trace_context(headers),
            Dialect::B3 | Dialect::B3Multi => b3::extract(headers),
            Dialect::Jaeger => jaeger::extract(headers),
            Dialect::XRay => xray::extract(headers),
            Dialect::Datadog => datadog::extract(headers),
        };
        let Some(Found { mut parent, decision, is_debug }) = found else { continue };
        let mut stale_state = has_state;
        if let (Dialect::TraceContext, Some(parent), true) = (dialect, &mut parent, has_state) {
            let state = tracestate::join(&headers.tracestate);
            stale_state = state.is_none();
            parent.state = state.unwrap_or_default();
        }
        if let Some(parent) = &mut parent {
            parent.flags |= u8::from(decision == Some(true)) * SAMPLED;
        }
        return Extracted { parent, decision, is_debug, stale_state };
    }
    Extracted { stale_state: has_state, ..Extracted::default() }
}

/// A repeated `traceparent` is none.
fn trace_context(headers: &RequestHeaders<'_>) -> Option<Found> {
    let (trace_id, span_id, flags) = w3c::parse_traceparent(headers.traceparent.only()?)?;
    let parent = Parent { flags, ..Parent::new(trace_id, span_id) };
    let decision = Some(parent.is_sampled());
    Some(Found { parent: Some(parent), decision, is_debug: false })
}

/// What the tests of the dialects share.
#[cfg(test)]
mod test_headers {
    use super::{SpanId, TraceId};
    use crate::header_map::{ContextHeader, RequestHeaders};

    pub const TRACE_HEX: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    pub const TRACE: TraceId = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    pub const SPAN_HEX: &str = "00f067aa0ba902b7";
    pub const SPAN: SpanId = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();

    pub fn headers<'a>(list: &[(ContextHeader, &'a str)]) -> RequestHeaders<'a> {
        let mut headers = RequestHeaders::default();
        list.iter().for_each(|(header, value)| headers.put(*header, value.as_bytes()));
        headers
    }
}

#[cfg(test)]
mod tests;

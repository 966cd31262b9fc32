//! One request as one OTLP span: who it is, when it was, what is said of it; written as protobuf.

use crate::encode::{
    Value, attribute, bytes_field, fixed32_field, fixed64_field, length_prefix, varint_field,
};
use crate::header_map::RequestHeaders;
use crate::properties::{Properties, Property};
use crate::semconv;
use crate::trace_context::{Parent, SpanContext};

/// Which side of the call this proxy stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// A gateway or an inbound sidecar.
    Server,
    /// An outbound sidecar.
    Client,
}

impl SpanKind {
    /// From Envoy's `listener_direction`: 1 inbound, 2 outbound, 0 unspecified (a gateway).
    pub fn from_listener_direction(direction: Option<u64>) -> Self {
        if direction == Some(2) { Self::Client } else { Self::Server }
    }

    /// OTLP's number.
    fn number(self) -> u64 {
        match self {
            Self::Server => 2,
            Self::Client => 3,
        }
    }
}

/// A request that is over, and all that was seen of it.
pub struct Exchange<'a> {
    /// Which side of the call.
    pub kind: SpanKind,
    /// The span's own ids.
    pub context: SpanContext,
    /// The caller's, if it sent one.
    pub parent: Option<&'a Parent>,
    /// The request's headers as they came.
    pub headers: &'a RequestHeaders<'a>,
    /// The proxy's attributes at the end.
    pub properties: &'a Properties<'a>,
    /// The host's clock at the end, ns since the epoch: used where the proxy gives no times.
    pub now_ns: u64,
}

/// The parent's remoteness is known (bit 8), and it is remote (bit 9).
const FLAG_HAS_IS_REMOTE: u32 = 0x100;
const FLAG_IS_REMOTE: u32 = 0x200;
const STATUS_CODE_ERROR: u64 = 2;

/// Adds what sampling says of a span to its message: OpenTelemetry's list of a span without a parent, and
/// why it was sampled, each when there is something to say.
pub fn write_sampling(out: &mut Vec<u8>, root_state: &str, sampled_by: Option<&str>) {
    if !root_state.is_empty() {
        bytes_field(out, 3, root_state.as_bytes());
    }
    if let Some(reason) = sampled_by {
        attribute(out, 9, "spanferry.sampled_by", &Value::from(reason));
    }
}

impl Exchange<'_> {
    /// Start and end, ns since the epoch; the end is never before the start.
    pub fn times(&self) -> (u64, u64) {
        let start = self.properties.number(Property::StartTime).filter(|start| *start > 0);
        let duration = self.properties.number(Property::Duration);
        match (start, duration) {
            (Some(start), Some(duration)) => (start, start.saturating_add(duration)),
            (Some(start), None) => (start, self.now_ns.max(start)),
            (None, duration) => (self.now_ns.saturating_sub(duration.unwrap_or(0)), self.now_ns),
        }
    }

    /// Writes the span as a protobuf message, appended to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (start, end) = self.times();
        bytes_field(out, 1, &self.context.trace_id);
        bytes_field(out, 2, &self.context.span_id);
        if let Some(parent) = self.parent {
            if !parent.state.is_empty() {
                bytes_field(out, 3, parent.state.as_bytes());
            }
            bytes_field(out, 4, &parent.span_id);
        }
        bytes_field(out, 5, semconv::name(self).as_bytes());
        varint_field(out, 6, self.kind.number());
        fixed64_field(out, 7, start);
        fixed64_field(out, 8, end);
        semconv::attributes(self, &mut |key, value| attribute(out, 9, key, &value));
        if let Some(failure) = semconv::failure(self) {
            let mut status = Vec::with_capacity(64);
            if !failure.message.is_empty() {
                bytes_field(&mut status, 2, failure.message.as_bytes());
            }
            varint_field(&mut status, 3, STATUS_CODE_ERROR);
            length_prefix(out, 15, status.len());
            out.extend_from_slice(&status);
        }
        fixed32_field(out, 16, self.flags());
    }

    fn flags(&self) -> u32 {
        let remote = if self.parent.is_some() { FLAG_IS_REMOTE } else { 0 };
        u32::from(self.context.flags) | FLAG_HAS_IS_REMOTE | remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::COUNT;
    use crate::testing::test;

    fn times(start: Option<i64>, duration: Option<i64>, now_ns: u64) -> (u64, u64) {
        let mut read: [Vec<u8>; COUNT] = Default::default();
        let bytes = |n: Option<i64>| n.map(|n| n.to_le_bytes().to_vec()).unwrap_or_default();
        read[Property::StartTime as usize] = bytes(start);
        read[Property::Duration as usize] = bytes(duration);
        Exchange {
            kind: SpanKind::Server,
            context: SpanContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
            parent: None,
            headers: &RequestHeaders::default(),
            properties: &Properties::from_single(&read),
            now_ns,
        }
        .times()
    }

    #[test]
    fn times_are_the_proxys_and_else_the_hosts() {
        assert_eq!(times(Some(1000), Some(50), 9999), (1000, 1050));
        assert_eq!(times(Some(1000), None, 1200), (1000, 1200));
        assert_eq!(times(None, Some(50), 1200), (1150, 1200));
        assert_eq!(times(None, None, 1200), (1200, 1200));
    }

    #[test]
    fn a_span_never_ends_before_it_starts() {
        assert_eq!(times(Some(1000), None, 10), (1000, 1000));
        assert_eq!(times(Some(-5), Some(-7), 10), (10, 10));
        assert_eq!(times(Some(i64::MAX), Some(i64::MAX), 1).1, u64::MAX - 1);
    }

    #[test]
    fn only_an_outbound_listener_is_a_client() {
        assert_eq!(SpanKind::from_listener_direction(Some(2)), SpanKind::Client);
        for direction in [None, Some(0), Some(1), Some(7)] {
            assert_eq!(SpanKind::from_listener_direction(direction), SpanKind::Server);
        }
    }
}

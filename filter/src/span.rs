//! One request as one OTLP span: who it is, when it was, what is said of it; written as protobuf.

use crate::attributes::limits::Attributes;
use crate::attributes::{Recipe, Vocabulary};
use crate::encode::{
    Value, attribute, attribute_len, bytes_field, field_len, fixed32_field, fixed64_field,
    length_prefix, text, varint_field,
};
use crate::envoy_tags;
use crate::header_map::RequestHeaders;
use crate::properties::{Properties, Property};
use crate::semconv::events::{Event, events};
use crate::semconv::failure::Failure;
use crate::semconv::{self, Summary};
use crate::trace_context::{Parent, SpanContext};
use std::borrow::Cow;

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
    /// What was read for the custom attributes, in their order, those that are constants left out.
    pub custom: &'a [&'a [u8]],
    /// What a span is made by.
    pub recipe: &'a Recipe,
    /// Whether it is one attempt of several, seen by an upstream filter.
    pub is_attempt: bool,
    /// When the answer's headers came, ns since the epoch, if they came.
    pub answered_ns: Option<u64>,
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

/// Fields of OTLP's `Span` and `Event`.
const ATTRIBUTES: u32 = 9;
const DROPPED_ATTRIBUTES: u32 = 10;
const EVENTS: u32 = 11;
const DROPPED_EVENTS: u32 = 12;
const EVENT_TIME: u32 = 1;
const EVENT_NAME: u32 = 2;
const EVENT_ATTRIBUTES: u32 = 3;
const EVENT_DROPPED_ATTRIBUTES: u32 = 4;
/// A tag and eight bytes.
const FIXED64_LEN: usize = 9;

impl<'a> Exchange<'a> {
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

    /// A property as text; empty when absent.
    pub fn text(&self, property: Property) -> Cow<'a, str> {
        text(self.properties.bytes(property))
    }

    /// Writes the span as a protobuf message, appended to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (start, end) = self.times();
        let summary = Summary::of(self);
        bytes_field(out, 1, &self.context.trace_id);
        bytes_field(out, 2, &self.context.span_id);
        if let Some(parent) = self.parent {
            if !parent.state.is_empty() {
                bytes_field(out, 3, parent.state.as_bytes());
            }
            bytes_field(out, 4, &parent.span_id);
        }
        let name = match self.recipe.settings.vocabulary {
            Vocabulary::Envoy => envoy_tags::name(self),
            Vocabulary::Semconv | Vocabulary::Both => summary.name(self),
        };
        bytes_field(out, 5, name.as_bytes());
        varint_field(out, 6, self.kind.number());
        fixed64_field(out, 7, start);
        fixed64_field(out, 8, end);
        self.write_attributes(&summary, out);
        self.write_events(end, out);
        if let Some(failure) = &summary.failure {
            write_status(failure, out);
        }
        fixed32_field(out, 16, self.flags());
    }

    /// Custom attributes come first: what was asked for is the last to be left out.
    fn write_attributes(&self, summary: &Summary<'a>, out: &mut Vec<u8>) {
        let mut attributes = Attributes::new(self.recipe);
        let mut read = self.custom.iter();
        for (place, custom) in self.recipe.settings.custom.iter().enumerate() {
            let raw = if custom.is_read() { read.next().copied() } else { None };
            custom.value(
                raw.unwrap_or_default(),
                self.headers,
                &self.recipe.settings.redaction,
                &mut |value| {
                    attributes.write_custom(out, ATTRIBUTES, place, &value.into());
                },
            );
        }
        let mut emit = |key: &str, value: &Value<'_>| attributes.write(out, ATTRIBUTES, key, value);
        if self.recipe.settings.vocabulary.has_semconv() {
            semconv::attributes(self, summary, &mut emit);
        }
        if self.recipe.settings.vocabulary.has_envoy_tags() {
            envoy_tags::tags(self, summary, &mut emit);
        }
        if attributes.dropped() > 0 {
            varint_field(out, DROPPED_ATTRIBUTES, attributes.dropped().into());
        }
    }

    fn write_events(&self, end_ns: u64, out: &mut Vec<u8>) {
        let limits = self.recipe.settings.limits;
        let (mut room, mut dropped) = (limits.events, 0_u64);
        events(self, end_ns, &mut |event| match room.checked_sub(1) {
            Some(less) => {
                room = less;
                write_event(&event, limits.event_attributes, out);
            }
            None => dropped += 1,
        });
        if dropped > 0 {
            varint_field(out, DROPPED_EVENTS, dropped);
        }
    }

    fn flags(&self) -> u32 {
        let remote = if self.parent.is_some() { FLAG_IS_REMOTE } else { 0 };
        u32::from(self.context.flags) | FLAG_HAS_IS_REMOTE | remote
    }
}

fn write_event(event: &Event<'_>, most_attributes: u32, out: &mut Vec<u8>) {
    let (kept, dropped) = match &event.attribute {
        attribute if most_attributes == 0 => (None, u64::from(attribute.is_some())),
        attribute => (attribute.as_ref(), 0),
    };
    let attribute_len = kept.map_or(0, |(key, value)| attribute_len(key, value));
    // A count of one takes a tag and a byte.
    let dropped_len = if dropped > 0 { 2 } else { 0 };
    let name_len = field_len(event.name.len());
    length_prefix(out, EVENTS, FIXED64_LEN + name_len + attribute_len + dropped_len);
    fixed64_field(out, EVENT_TIME, event.time_ns);
    bytes_field(out, EVENT_NAME, event.name.as_bytes());
    if let Some((key, value)) = kept {
        attribute(out, EVENT_ATTRIBUTES, key, value);
    }
    if dropped > 0 {
        varint_field(out, EVENT_DROPPED_ATTRIBUTES, dropped);
    }
}

fn write_status(failure: &Failure<'_>, out: &mut Vec<u8>) {
    let message = failure.message.as_bytes();
    // The code takes a tag and a byte.
    let message_len = if message.is_empty() { 0 } else { field_len(message.len()) };
    length_prefix(out, 15, message_len + 2);
    if !message.is_empty() {
        bytes_field(out, 2, message);
    }
    varint_field(out, 3, STATUS_CODE_ERROR);
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
            custom: &[],
            recipe: &Recipe::default(),
            is_attempt: false,
            answered_ns: None,
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

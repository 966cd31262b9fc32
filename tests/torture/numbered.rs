//! Spans that carry their number: their bytes follow from it, so what arrives is checked without remembering what was sent.

use crate::fakes::WireSpan;
use crate::traces::Seen;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Spans of one trace.
pub const SPANS_A_TRACE: u64 = 3;
/// Spans of one batch: two traces, which are two records.
pub const SPANS_A_BATCH: u64 = 2 * SPANS_A_TRACE;
/// A field that OTLP does not have: it must come through.
const UNKNOWN: [u8; 5] = [0xfa, 0x3f, 2, b'h', b'i'];

/// The numbering of one run.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// When its spans began, ns since 1970: a destination keeps what is young.
    epoch_ns: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    spans: Vec<Vec<u8>>,
}

impl Numbered {
    /// A numbering that begins now.
    pub fn from_now() -> Numbered {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Numbered { epoch_ns: since.as_nanos() as u64 }
    }

    /// The span's bytes on the wire.
    pub fn span(&self, number: u64) -> Vec<u8> {
        let text = "x".repeat((number % 300) as usize);
        let span = Span {
            trace_id: trace_id(number),
            span_id: number.to_be_bytes().to_vec(),
            name: name(number),
            kind: 2,
            start_time_unix_nano: self.start_ns(number),
            end_time_unix_nano: self.start_ns(number) + 1_000,
            attributes: vec![attribute("filling", text)],
            ..Span::default()
        };
        [&span.encode_to_vec()[..], &UNKNOWN].concat()
    }

    /// An `ExportTraceServiceRequest` with these spans.
    pub fn batch(&self, numbers: Range<u64>) -> Vec<u8> {
        let spans = numbers.map(|number| self.span(number)).collect();
        let scopes = vec![ScopeSpans { scope: Some(scope()), spans }];
        let resources = vec![ResourceSpans { resource: Some(resource()), scopes }];
        Export { resources }.encode_to_vec()
    }

    /// The number of a span that came over the wire, and whether it is what was sent.
    pub fn check(&self, found: &WireSpan) -> (u64, bool) {
        let number = number(&found.span_id);
        let is_whole = found.bytes == self.span(number)
            && found.resource == resource().encode_to_vec()
            && found.scope == scope().encode_to_vec();
        (number, is_whole)
    }

    /// The same of a span that a query API shows.
    pub fn check_seen(&self, seen: &Seen) -> (u64, bool) {
        let number = number(&seen.span_id);
        let start = self.start_ns(number);
        let is_whole = seen.name == name(number)
            && seen.service == SERVICE
            && seen.time == (start, start + 1_000);
        (number, is_whole)
    }

    fn start_ns(&self, number: u64) -> u64 {
        self.epoch_ns + number % 1_000_000_000
    }
}

const SERVICE: &str = "numbered";

/// The first number of a sender's batch.
pub fn first(sender: u64, sequence: u64) -> u64 {
    (sender << 40 | sequence) * SPANS_A_BATCH
}

/// Whether the sender of this span numbers its batches, as filters do.
pub fn is_of_a_filter(number: u64) -> bool {
    is_filter((number / SPANS_A_BATCH) >> 40)
}

/// Every third sender does as an SDK does, the others as filters do.
pub fn is_filter(sender: u64) -> bool {
    !sender.is_multiple_of(3)
}

/// The trace that a span is of.
pub fn trace_id(number: u64) -> Vec<u8> {
    let trace = (number / SPANS_A_TRACE + 1).to_be_bytes();
    [trace, trace].concat()
}

fn name(number: u64) -> String {
    format!("span {number}")
}

/// u64::MAX for an id that is none of ours.
fn number(span_id: &str) -> u64 {
    u64::from_str_radix(span_id, 16).unwrap_or(u64::MAX)
}

fn resource() -> Resource {
    let attributes = vec![attribute("service.name", SERVICE.into())];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "torture".into(), ..InstrumentationScope::default() }
}

fn attribute(key: &str, text: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::wire::spans_of;

    #[test]
    fn a_batch_is_read_as_it_was_made_and_a_changed_bit_is_seen() {
        let numbered = Numbered::from_now();
        let batch = numbered.batch(12..18);
        let found: Vec<_> =
            spans_of(batch.clone().into()).unwrap().iter().map(|s| numbered.check(s)).collect();
        assert_eq!(found, (12..18).map(|number| (number, true)).collect::<Vec<_>>());

        let mut changed = batch;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        let found = spans_of(changed.into()).unwrap();
        assert_eq!(numbered.check(&found[5]), (17, false));
    }
}

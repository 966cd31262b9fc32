//! Spans that carry their number, so that what arrives can be told from what was sent, byte for byte.

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::ops::Range;

/// Spans of one trace, which become one record when they come in one batch.
const SPANS_A_TRACE: u64 = 3;
/// A field that OTLP does not have: it must come through.
const UNKNOWN: [u8; 5] = [0xfa, 0x3f, 2, b'h', b'i'];

/// An `ExportTraceServiceRequest` whose spans stay bytes; apart from the product's own splitter.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    spans: Vec<Bytes>,
}

/// The bytes of the span with this number.
pub fn span(number: u64) -> Bytes {
    let trace = (number / SPANS_A_TRACE + 1).to_be_bytes();
    let span = Span {
        trace_id: [trace, trace].concat(),
        span_id: number.to_be_bytes().to_vec(),
        name: "n".repeat((number % 40) as usize),
        ..Span::default()
    };
    [&span.encode_to_vec()[..], &UNKNOWN].concat().into()
}

/// A request with these spans.
pub fn batch(numbers: Range<u64>) -> Bytes {
    let scopes = vec![Scope { spans: numbers.map(span).collect() }];
    Export { resources: vec![Resource { scopes }] }.encode_to_vec().into()
}

/// The spans of a request or of a record, each with its number.
pub fn read(body: Bytes) -> Vec<(u64, Bytes)> {
    let export = Export::decode(body).expect("an ExportTraceServiceRequest");
    let scopes = export.resources.into_iter().flat_map(|resource| resource.scopes);
    scopes.flat_map(|scope| scope.spans).map(|bytes| (number(&bytes), bytes)).collect()
}

fn number(span: &Bytes) -> u64 {
    let span = Span::decode(span.clone()).expect("a span");
    u64::from_be_bytes(span.span_id.try_into().expect("8 bytes"))
}

/// The destination refuses every request that holds such a span.
pub fn is_poison(number: u64) -> bool {
    number % 211 == 7
}

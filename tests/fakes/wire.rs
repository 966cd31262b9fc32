//! An OTLP body taken apart into spans that keep their bytes. Written apart from the product's own
//! splitter, so that neither can hide the other's mistake.

use anyhow::{Context, Result};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as trace, Span};
use prost::Message;

/// One span as it came over the wire.
#[derive(Clone, Debug)]
pub struct WireSpan {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; empty for a root.
    pub parent_id: String,
    /// `service.name` of the resource; empty when it has none.
    pub service: String,
    /// The span's own bytes, as sent.
    pub bytes: Bytes,
    /// The resource's bytes, as sent.
    pub resource: Bytes,
    /// The instrumentation scope's bytes, as sent.
    pub scope: Bytes,
    /// The span, decoded.
    pub span: Span,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(bytes = "bytes", tag = "1")]
    resource: Bytes,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(bytes = "bytes", tag = "1")]
    scope: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    spans: Vec<Bytes>,
}

/// An `ExportTraceServiceRequest` of these spans, in one scope of one resource without a name.
pub fn request_of(spans: Vec<Span>) -> Bytes {
    let scope_spans = vec![trace::ScopeSpans { spans, ..Default::default() }];
    let resource_spans = vec![trace::ResourceSpans { scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// A length-delimited protobuf field, for requests that no message type writes.
pub fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// The spans of an `ExportTraceServiceRequest`, in its order. Fails on a body that is not one.
pub fn spans_of(body: Bytes) -> Result<Vec<WireSpan>> {
    let request = Request::decode(body).context("body is not an ExportTraceServiceRequest")?;
    let mut found = Vec::new();
    for resource in request.resources {
        let service = service_name(&resource.resource)?;
        for scope in resource.scopes {
            for bytes in scope.spans {
                let scope = scope.scope.clone();
                found.push(wire_span(bytes, resource.resource.clone(), scope, service.clone())?);
            }
        }
    }
    Ok(found)
}

fn wire_span(bytes: Bytes, resource: Bytes, scope: Bytes, service: String) -> Result<WireSpan> {
    let span = Span::decode(bytes.clone()).context("a span is not a Span")?;
    Ok(WireSpan {
        trace_id: hex::encode(&span.trace_id),
        span_id: hex::encode(&span.span_id),
        parent_id: hex::encode(&span.parent_span_id),
        service,
        bytes,
        resource,
        scope,
        span,
    })
}

fn service_name(resource: &Bytes) -> Result<String> {
    let resource = Resource::decode(resource.clone()).context("a resource is not a Resource")?;
    let name = resource.attributes.into_iter().find(|pair| pair.key == "service.name");
    Ok(name.and_then(|pair| pair.value).map(text).unwrap_or_default())
}

fn text(value: opentelemetry_proto::tonic::common::v1::AnyValue) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match value.value {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_keeps_a_field_that_nobody_knows() {
        let mut span = vec![0x0a, 16];
        span.extend([7; 16]);
        span.extend([0x12, 8]);
        span.extend([9; 8]);
        span.extend([0xfa, 0x3f, 2, b'h', b'i']); // field 1023, which OTLP does not have
        let scope = ScopeSpans { scope: Bytes::new(), spans: vec![span.clone().into()] };
        let resources = vec![ResourceSpans { resource: Bytes::new(), scopes: vec![scope] }];
        let body = Request { resources }.encode_to_vec();

        let spans = spans_of(body.into()).unwrap();

        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].bytes, span);
        assert_eq!(spans[0].trace_id, "07".repeat(16));
        assert_eq!(spans[0].span_id, "09".repeat(8));
    }

    #[test]
    fn a_body_that_is_cut_short_is_an_error() {
        assert!(spans_of(Bytes::from_static(&[0x0a, 200, 1])).is_err());
    }
}

//! Requests as a gateway's filter sends them: spans of about 470 bytes with nine attributes, in traces of so many.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spanferry::log::partition_of;
use spanferry::otlp::split::TraceId;

/// A request of `spans` spans, `of_a_trace` of them in each trace; those of a trace follow each other.
pub fn request(spans: usize, of_a_trace: usize) -> Bytes {
    let spans = (0..spans).map(|i| span(i, i / of_a_trace)).collect();
    let scope = Some(InstrumentationScope { name: "io.envoy".into(), ..Default::default() });
    let attributes = [
        ("service.name", "gateway"),
        ("service.namespace", "shop"),
        ("host.name", "ip-10-0-12-7"),
        ("k8s.pod.name", "gateway-5d8f7c6b9-x2x4z"),
    ];
    let attributes = attributes.map(|(key, value)| attribute(key, value.into())).into();
    let resource = Some(Resource { attributes, ..Default::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// One of eight, by a key as long as the id and without memory of its own.
pub fn partition(trace: &TraceId) -> u32 {
    partition_of(&trace.map(|byte| byte % 16 + b'a'), 8)
}

fn span(number: usize, trace: usize) -> Span {
    let mixed = |n: usize| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = 1_790_000_000_000_000_000 + mixed(number) % 1_000_000_000_000;
    Span {
        trace_id: [mixed(trace).to_be_bytes(), mixed(trace + 1).to_le_bytes()].concat(),
        span_id: mixed(number).to_be_bytes().into(),
        parent_span_id: mixed(trace).to_be_bytes().into(),
        name: "GET /api/orders/{id}".into(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + mixed(number) % 100_000_000,
        attributes: attributes(mixed(number)),
        ..Default::default()
    }
}

fn attributes(mixed: u64) -> Vec<KeyValue> {
    let fixed = [
        ("http.request.method", "GET"),
        ("http.route", "/api/orders/{id}"),
        ("server.address", "orders.prod.svc.cluster.local"),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
    ];
    let mut all: Vec<_> =
        fixed.into_iter().map(|(key, value)| attribute(key, value.into())).collect();
    all.push(attribute("url.path", format!("/api/orders/{mixed:x}?page={}", mixed % 50)));
    all.push(attribute("client.address", format!("10.0.{}.{}", mixed % 256, mixed / 7 % 256)));
    all.push(attribute("http.request.id", format!("{mixed:016x}{:016x}", mixed.reverse_bits())));
    all
}

fn attribute(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

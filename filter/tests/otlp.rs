//! What the filter writes, read back by OpenTelemetry's own types: the encoder against a decoder that
//! we did not write. Natively only.
#![cfg(not(target_arch = "wasm32"))]
// Helpers of tests, which clippy takes for production code.
#![allow(clippy::unwrap_used, clippy::panic)]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, span, status};
use proptest::prelude::*;
use prost::Message;
use spanferry_filter::attributes::custom::{Custom, Source};
use spanferry_filter::attributes::limits::Limits;
use spanferry_filter::attributes::redaction::Redaction;
use spanferry_filter::attributes::template::Template;
use spanferry_filter::attributes::{Recipe, Settings, Vocabulary};
use spanferry_filter::batch::Envelope;
use spanferry_filter::config::Config;
use spanferry_filter::header_map::RequestHeaders;
use spanferry_filter::outbox::Outbox;
use spanferry_filter::properties::{COUNT, Properties, Property};
use spanferry_filter::resource::{self, Node};
use spanferry_filter::span::{Exchange, SpanKind};
use spanferry_filter::trace_context::{Parent, SpanContext};
use std::convert::Infallible;

/// Sends encoded spans through an outbox and decodes the one batch that comes out.
fn export(spans: &[Vec<u8>]) -> ExportTraceServiceRequest {
    let json = br#"{"cluster":"b","service_name":"shop","resource_attributes":{"team":"cart"}}"#;
    let config = Config::parse(json).unwrap();
    let node = Node { id: "node-7".into(), ..Node::default() };
    let resource = resource::encode(&resource::attributes(&config, &node));
    let mut outbox = Outbox::new(config.limits, Envelope::new(resource, "scope", "1.2"));
    for span in spans {
        outbox.push(span);
    }
    let mut decoded = None;
    let sent: Result<(), Infallible> = outbox.send(true, 0, 0, |call| {
        assert_eq!(call.spans as usize, spans.len());
        decoded = Some(ExportTraceServiceRequest::decode(call.body).unwrap());
        Ok(1)
    });
    assert!(sent.is_ok());
    decoded.unwrap()
}

fn only_span(request: ExportTraceServiceRequest) -> Span {
    let [resource_spans] = &request.resource_spans[..] else { panic!("{request:?}") };
    let [scope_spans] = &resource_spans.scope_spans[..] else { panic!("{request:?}") };
    let [span] = &scope_spans.spans[..] else { panic!("{request:?}") };
    span.clone()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::ArrayValue(list) => format!("{:?}", list.values),
        other => panic!("{key}: {other:?}"),
    })
}

fn read(values: &[(Property, &[u8])]) -> [Vec<u8>; COUNT] {
    let mut read: [Vec<u8>; COUNT] = Default::default();
    for (property, value) in values {
        read[*property as usize] = value.to_vec();
    }
    read
}

const CONTEXT: SpanContext = SpanContext { trace_id: [0xab; 16], span_id: [0xcd; 8], flags: 1 };

#[test]
fn a_failed_request_reads_back_whole() {
    let headers = RequestHeaders {
        method: b"POST",
        path: b"/cart?x=1",
        scheme: b"https",
        authority: b"shop.example",
        request_id: b"r-1",
        ..RequestHeaders::default()
    };
    let read = read(&[
        (Property::StartTime, &1_000_000_i64.to_le_bytes()),
        (Property::Duration, &500_i64.to_le_bytes()),
        (Property::Status, &503_i64.to_le_bytes()),
        (Property::Flags, &(1_i64 << 5).to_le_bytes()),
        (Property::StatusDetails, b"connection_failure"),
        (Property::Route, b"/cart"),
    ]);
    let parent =
        Parent { trace_id: CONTEXT.trace_id, span_id: [0xef; 8], flags: 1, state: "a=1".into() };
    let mut encoded = Vec::new();
    Exchange {
        kind: SpanKind::Server,
        context: CONTEXT,
        parent: Some(&parent),
        headers: &headers,
        properties: &Properties::from_single(&read),
        custom: &[],
        recipe: &Recipe::default(),
        is_attempt: false,
        answered_ns: None,
        now_ns: 7,
    }
    .write(&mut encoded);
    let request = export(&[encoded]);

    let resource = request.resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name").as_deref(), Some("shop"));
    assert_eq!(text(&resource, "service.instance.id").as_deref(), Some("node-7"));
    assert_eq!(text(&resource, "team").as_deref(), Some("cart"));
    let scope = request.resource_spans[0].scope_spans[0].scope.clone().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("scope", "1.2"));

    let span = only_span(request);
    assert_eq!(span.trace_id, [0xab; 16]);
    assert_eq!(span.span_id, [0xcd; 8]);
    assert_eq!(span.parent_span_id, [0xef; 8]);
    assert_eq!(span.trace_state, "a=1");
    assert_eq!(span.name, "POST /cart");
    assert_eq!(span.kind(), span::SpanKind::Server);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000_000, 1_000_500));
    assert_eq!(span.flags, 0x301);
    let failed = span.status.unwrap();
    assert_eq!(failed.code(), status::StatusCode::Error);
    assert_eq!(failed.message, "connection_failure");
    assert_eq!(text(&span.attributes, "http.response.status_code").as_deref(), Some("503"));
    assert_eq!(text(&span.attributes, "envoy.response.flags").as_deref(), Some("UF"));
    assert_eq!(text(&span.attributes, "server.port").as_deref(), Some("443"));
    let ids = text(&span.attributes, "http.request.header.x-request-id").unwrap();
    assert!(ids.contains("r-1"), "{ids}");
}

#[test]
fn a_root_span_has_no_parent_no_state_and_no_status() {
    let mut encoded = Vec::new();
    let read = read(&[(Property::Status, &200_i64.to_le_bytes())]);
    Exchange {
        kind: SpanKind::Client,
        context: CONTEXT,
        parent: None,
        headers: &RequestHeaders { method: b"GET", ..RequestHeaders::default() },
        properties: &Properties::from_single(&read),
        custom: &[],
        recipe: &Recipe::default(),
        is_attempt: false,
        answered_ns: None,
        now_ns: 7,
    }
    .write(&mut encoded);
    let span = only_span(export(&[encoded]));
    assert!(span.parent_span_id.is_empty() && span.trace_state.is_empty());
    assert_eq!(span.status, None);
    assert_eq!(span.kind(), span::SpanKind::Client);
    assert_eq!(span.flags, 0x101);
}

/// A recipe with something of everything.
fn recipe(vocabulary: Vocabulary, attributes: u32, attribute_length: u32, events: u32) -> Recipe {
    let property = |path: [&str; 3]| Source::Property(path.map(str::to_owned).to_vec());
    let custom = |key: &str, source| Custom {
        key: key.into(),
        source,
        default: Some("none".into()),
        longest: 100,
    };
    let settings = Settings {
        vocabulary,
        custom: vec![
            custom("literal", Source::Literal("x".into())),
            custom("header", property(["request", "headers", "x-odd"])),
            custom("url.path", property(["request", "headers", "referer"])),
            custom("baggage", Source::Baggage("a".into())),
        ],
        redaction: Redaction { query_keys: vec!["k".into()], ..Redaction::default() },
        limits: Limits { attributes, attribute_length, events, event_attributes: events },
        templates: vec![Template::new("/{id}/**".into())],
    };
    Recipe::new(settings, vec![("node_id", "n".into())], Vec::new)
}

fn long_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(any::<u8>(), 0..6000),
        (any::<u8>(), 59_000_usize..62_000).prop_map(|(byte, length)| vec![byte; length]),
        "[a-z0-9/?&=%;:@#.]{0,80}".prop_map(String::into_bytes),
    ]
}

proptest! {
    /// Whatever a peer sends, and whatever is configured, the batch is valid OTLP (valid UTF-8 included),
    /// holds each span, and keeps each limit.
    #[test]
    fn any_request_makes_a_valid_span(
        method in any::<Vec<u8>>(),
        path in long_bytes(),
        authority in long_bytes(),
        user_agent in long_bytes(),
        baggage in long_bytes(),
        is_grpc in any::<bool>(),
        values in prop::array::uniform16(prop::collection::vec(any::<u8>(), 0..12)),
        custom in prop::array::uniform2(long_bytes()),
        client in any::<bool>(),
        (vocabulary, attributes, length, events) in (0..3_usize, 0..40_u32, 0..64_u32, 0..3_u32),
        answered_ns in any::<Option<u64>>(),
        copies in 1_usize..4,
    ) {
        let headers = RequestHeaders {
            method: &method,
            path: &path,
            scheme: b"http",
            authority: &authority,
            user_agent: &user_agent,
            content_type: if is_grpc { b"application/grpc" } else { b"" },
            original_path: &path,
            client_trace_id: &baggage,
            forwarded_proto: &user_agent,
            downstream_cluster: &user_agent,
            grpc_timeout: &authority,
            baggage: std::iter::once(&baggage[..]).collect(),
            ..RequestHeaders::default()
        };
        let vocabulary = [Vocabulary::Semconv, Vocabulary::Envoy, Vocabulary::Both][vocabulary];
        let mut encoded = Vec::new();
        let exchange = Exchange {
            kind: if client { SpanKind::Client } else { SpanKind::Server },
            context: CONTEXT,
            parent: None,
            headers: &headers,
            properties: &Properties::from_single(&values),
            custom: &custom.each_ref().map(Vec::as_slice),
            recipe: &recipe(vocabulary, attributes, length, events),
            is_attempt: false,
            answered_ns,
            now_ns: 7,
        };
        exchange.write(&mut encoded);
        let request = export(&vec![encoded; copies]);
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        prop_assert_eq!(spans.len(), copies);
        let span = &spans[0];
        prop_assert!(!span.name.is_empty());
        prop_assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        prop_assert!(span.attributes.len() <= attributes as usize);
        prop_assert!(span.attributes.len() + span.dropped_attributes_count as usize > 9);
        prop_assert!(span.events.len() <= events as usize);
        let mut keys: Vec<&str> = span.attributes.iter().map(|one| one.key.as_str()).collect();
        keys.sort_unstable();
        prop_assert!(keys.windows(2).all(|two| two[0] != two[1]), "{:?}", keys);
        for one in &span.attributes {
            let value = one.value.clone().and_then(|any| any.value);
            if let Some(any_value::Value::StringValue(text)) = value {
                prop_assert!(text.chars().count() <= length as usize, "{}", one.key);
            }
        }
    }
}

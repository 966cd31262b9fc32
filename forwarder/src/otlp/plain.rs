//! The plain JSON trace document that simple producers write, one span a record, as an OTLP request.

use super::split::TraceId;
use bytes::Bytes;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message;
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Becomes the resource's attribute rather than the span's.
const SERVICE_NAME: &str = "service.name";

/// Why a document is not a span.
#[derive(Debug, Error)]
pub enum PlainError {
    /// Not the expected shape.
    #[error("not a plain trace document: {0}")]
    Shape(#[from] serde_json::Error),
    /// An id that is none.
    #[error("{field} {value:?}: expected {digits} hex digits, not all zero")]
    Id {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Digits wanted.
        digits: usize,
    },
    /// A time that is none.
    #[error("{field} {value:?}: expected RFC 3339, such as 2026-11-24T10:00:00.5Z")]
    Time {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// No trace id, neither in the document nor as the record's key.
    #[error("no trace_id, and the record's key is none")]
    NoTraceId,
}

#[derive(Deserialize)]
struct Document {
    trace_id: Option<String>,
    span_id: String,
    #[serde(default)]
    parent_id: Option<String>,
    name: String,
    start_time: String,
    end_time: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    events: Vec<DocumentEvent>,
}

#[derive(Deserialize)]
struct DocumentEvent {
    name: String,
    timestamp: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// The OTLP request that holds the document's span. `key` is the record's key: the trace id of a document without one.
pub fn to_protobuf(json: &[u8], key: Option<&[u8]>) -> Result<Bytes, PlainError> {
    let document: Document = serde_json::from_slice(json)?;
    let mut attributes = document.attributes.clone();
    let service = attributes.remove(SERVICE_NAME);
    let span = document.span(key, attributes)?;
    let resource = service.map(|name| Resource {
        attributes: vec![attribute(SERVICE_NAME.into(), name)],
        ..Resource::default()
    });
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    Ok(ExportTraceServiceRequest { resource_spans }.encode_to_vec().into())
}

impl Document {
    fn span(
        self,
        key: Option<&[u8]>,
        attributes: BTreeMap<String, String>,
    ) -> Result<Span, PlainError> {
        let key = key.map(|key| String::from_utf8_lossy(key).into_owned());
        let trace_id = self.trace_id.or(key).ok_or(PlainError::NoTraceId)?;
        let parent = self.parent_id.filter(|id| !id.is_empty());
        let event = |event: DocumentEvent| {
            Ok(Event {
                time_unix_nano: nanos("events.timestamp", event.timestamp)?,
                name: event.name,
                attributes: key_values(event.attributes),
                ..Event::default()
            })
        };
        Ok(Span {
            trace_id: id::<{ size_of::<TraceId>() }>("trace_id", trace_id)?,
            span_id: id::<8>("span_id", self.span_id)?,
            parent_span_id: parent.map_or(Ok(Vec::new()), |parent| id::<8>("parent_id", parent))?,
            name: self.name,
            start_time_unix_nano: nanos("start_time", self.start_time)?,
            end_time_unix_nano: nanos("end_time", self.end_time)?,
            attributes: key_values(attributes),
            events: self.events.into_iter().map(event).collect::<Result<_, PlainError>>()?,
            ..Span::default()
        })
    }
}

/// An id in hex; dashes, as UUIDs have them, are passed over.
fn id<const N: usize>(field: &'static str, value: String) -> Result<Vec<u8>, PlainError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(value.replace('-', ""), &mut bytes) {
        Ok(()) if bytes != [0; N] => Ok(bytes.to_vec()),
        _ => Err(PlainError::Id { field, value, digits: 2 * N }),
    }
}

fn nanos(field: &'static str, value: String) -> Result<u64, PlainError> {
    let time = value.parse::<Timestamp>().ok();
    let nanos = time.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    nanos.ok_or(PlainError::Time { field, value })
}

fn key_values(attributes: BTreeMap<String, String>) -> Vec<KeyValue> {
    attributes.into_iter().map(|(key, value)| attribute(key, value)).collect()
}

fn attribute(key: String, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key, value, ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "parent_id": "b7ad6b7169203331",
        "name": "charge", "start_time": "2026-11-24T10:00:00Z", "end_time": "2026-11-24T11:00:00.25+01:00",
        "attributes": {"service.name": "billing", "card": "visa"},
        "events": [{"name": "sent", "timestamp": "2026-11-24T10:00:00.1Z", "attributes": {"n": "1"}}]
    }"#;

    fn span(json: &str, key: Option<&[u8]>) -> Result<(Option<Resource>, Span), PlainError> {
        let request =
            ExportTraceServiceRequest::decode(to_protobuf(json.as_bytes(), key)?).unwrap();
        let mut resource = request.resource_spans.into_iter().next().unwrap();
        Ok((resource.resource, resource.scope_spans.remove(0).spans.remove(0)))
    }

    #[test]
    fn every_field_of_a_document_has_its_place() {
        let (resource, span) = span(DOCUMENT, None).unwrap();
        assert_eq!(
            resource.unwrap().attributes,
            [attribute("service.name".into(), "billing".into())]
        );
        assert_eq!(hex::encode(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(hex::encode(&span.parent_span_id), "b7ad6b7169203331");
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 250_000_000);
        assert_eq!(span.attributes, [attribute("card".into(), "visa".into())]);
        assert_eq!((span.events[0].name.as_str(), span.events[0].attributes.len()), ("sent", 1));
    }

    #[test]
    fn the_key_is_the_trace_id_of_a_document_without_one() {
        let json = DOCUMENT.replace("\"trace_id\": \"4bf92f3577b34da6a3ce929d0e0e4736\",", "");
        let (_, span) = span(&json, Some(b"0af7651916cd43dd8448eb211c80319c")).unwrap();
        assert_eq!(hex::encode(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert!(matches!(to_protobuf(json.as_bytes(), None), Err(PlainError::NoTraceId)));
    }

    #[test]
    fn a_bad_field_is_named_with_its_value() {
        for (from, to, named) in [
            ("00f067aa0ba902b7", "0000000000000000", "span_id \"0000000000000000\""),
            ("4bf92f3577b34da6a3ce929d0e0e4736", "xyz", "trace_id \"xyz\""),
            ("2026-11-24T10:00:00Z", "yesterday", "start_time \"yesterday\""),
            ("\"name\": \"charge\",", "", "missing field `name`"),
        ] {
            let error =
                to_protobuf(DOCUMENT.replace(from, to).as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}

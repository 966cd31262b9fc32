//! OTLP/JSON to OTLP protobuf (OTLP specification, "JSON Protobuf Encoding": ids in hex, 64-bit numbers as strings).
//! Lenient where protobuf's own JSON mapping is: names in snake_case, enums by name, numbers in quotes, nulls.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Why a JSON body is not an OTLP request.
#[derive(Debug, Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// JSON of something else.
    #[error("not OTLP/JSON: expected an object with resourceSpans")]
    NoResourceSpans,
    /// A field that cannot be read.
    #[error("not OTLP/JSON: {path}: {detail}")]
    Field {
        /// Its place, as in `resourceSpans[0].scopeSpans[0].spans[3].traceId`.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// The protobuf of the request in `json`. Unknown keys are passed over, as the specification asks.
pub fn to_protobuf(json: &[u8]) -> Result<Bytes, JsonError> {
    let value = normalized(None, serde_json::from_slice(json)?);
    let is_request =
        value.as_object().is_some_and(|o| o.is_empty() || o.contains_key("resourceSpans"));
    if !is_request {
        return Err(JsonError::NoResourceSpans);
    }
    let request: ExportTraceServiceRequest =
        serde_path_to_error::deserialize(value).map_err(|error| JsonError::Field {
            path: error.path().to_string(),
            detail: error.inner().to_string(),
        })?;
    Ok(request.encode_to_vec().into())
}

/// The value of `key` in the one form that the reader below knows. Attributes are lists of pairs in OTLP, so every key
/// of an object is a field's name.
fn normalized(key: Option<&str>, value: Value) -> Value {
    match (key, value) {
        (_, Value::Object(fields)) => Value::Object(fields.into_iter().filter_map(field).collect()),
        (key, Value::Array(values)) => {
            Value::Array(values.into_iter().map(|value| normalized(key, value)).collect())
        }
        (Some("kind"), Value::String(name)) => {
            SpanKind::from_str_name(&name).map_or(Value::String(name), |kind| (kind as i32).into())
        }
        (Some("code"), Value::String(name)) => StatusCode::from_str_name(&name)
            .map_or(Value::String(name), |code| (code as i32).into()),
        (_, value) => value,
    }
}

/// A null is a field that is not there.
fn field((name, value): (String, Value)) -> Option<(String, Value)> {
    let name = camel_case(name);
    match value {
        Value::Null => None,
        Value::String(text) if name == "doubleValue" => Some(double(text)),
        value => {
            let value = normalized(Some(&name), value);
            Some((name, value))
        }
    }
}

/// A double in quotes. What JSON has no number for (NaN, Infinity) is kept as text rather than refused.
fn double(text: String) -> (String, Value) {
    match text.parse().ok().and_then(Number::from_f64) {
        Some(number) => ("doubleValue".into(), Value::Number(number)),
        None => ("stringValue".into(), Value::String(text)),
    }
}

fn camel_case(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Whether an object is an OTLP request rather than something else in JSON.
pub fn is_request(object: &Map<String, Value>) -> bool {
    object.contains_key("resourceSpans") || object.contains_key("resource_spans")
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;

    fn span_of(json: &str) -> Result<Span, String> {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
        let bytes = to_protobuf(json.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = ExportTraceServiceRequest::decode(bytes).unwrap();
        Ok(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
    }

    #[test]
    fn every_field_of_a_span_arrives() {
        let span = span_of(
            r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"EEE19B7EC3C1B173",
            "traceState":"a=b","flags":257,"name":"n","kind":2,"startTimeUnixNano":"1544712660000000000",
            "endTimeUnixNano":1544712661000000000,"droppedAttributesCount":3,
            "events":[{"timeUnixNano":"7","name":"e","attributes":[{"key":"k","value":{"boolValue":true}}]}],
            "links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"EEE19B7EC3C1B174","flags":1}],
            "status":{"code":2,"message":"m"}}"#,
        )
        .unwrap();
        assert_eq!(hex::encode(&span.trace_id), "5b8efff798038103d269b633813fc60c");
        assert_eq!(hex::encode(&span.parent_span_id), "eee19b7ec3c1b173");
        assert_eq!((span.trace_state.as_str(), span.flags, span.kind), ("a=b", 257, 2));
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000_000);
        assert_eq!(
            (span.events.len(), span.links[0].flags, span.dropped_attributes_count),
            (1, 1, 3)
        );
        assert_eq!(span.status.unwrap().code, 2);
    }

    #[test]
    fn every_kind_of_attribute_arrives() {
        let values = r#"{"stringValue":"s"}|{"intValue":"5"}|{"intValue":5}|{"doubleValue":1.5}|{"doubleValue":"2.5"}|
            {"doubleValue":"NaN"}|{"boolValue":true}|{"bytesValue":"aGk="}|
            {"arrayValue":{"values":[{"stringValue":"x"}]}}|{"kvlistValue":{"values":[{"key":"a_b","value":{"intValue":1}}]}}"#;
        let attributes: Vec<_> = values
            .split('|')
            .map(|value| format!(r#"{{"key":"snake_case","value":{value}}}"#))
            .collect();
        let span = span_of(&format!(r#"{{"attributes":[{}]}}"#, attributes.join(","))).unwrap();
        let got: Vec<_> =
            span.attributes.iter().map(|a| a.value.clone().unwrap().value.unwrap()).collect();
        assert_eq!(got[..3], [Any::StringValue("s".into()), Any::IntValue(5), Any::IntValue(5)]);
        assert_eq!(
            got[3..6],
            [Any::DoubleValue(1.5), Any::DoubleValue(2.5), Any::StringValue("NaN".into())]
        );
        assert_eq!(got[6..8], [Any::BoolValue(true), Any::BytesValue(b"hi".to_vec())]);
        assert!(matches!((&got[8], &got[9]), (Any::ArrayValue(a), Any::KvlistValue(k))
            if a.values.len() == 1 && k.values[0].key == "a_b"));
        assert!(span.attributes.iter().all(|attribute| attribute.key == "snake_case"));
    }

    #[test]
    fn protobufs_own_json_is_read_too() {
        let span = span_of(
            r#"{"trace_id":"5b8efff798038103d269b633813fc60c","start_time_unix_nano":"9","kind":"SPAN_KIND_CLIENT",
            "status":{"code":"STATUS_CODE_ERROR"},"parentSpanId":null,"attributes":null,"future":{"x":1}}"#,
        )
        .unwrap();
        assert_eq!((span.trace_id.len(), span.start_time_unix_nano, span.kind), (16, 9, 3));
        assert_eq!(span.status.unwrap().code, 2);
        let bytes =
            to_protobuf(br#"{"resource_spans":[{"scope_spans":[{"spans":[{}]}]}]}"#).unwrap();
        assert_eq!(super::super::count::count_spans(&bytes), Ok(1));
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named_with_its_place() {
        for (span, path) in [
            (r#"{"traceId":"xyz"}"#, "resourceSpans[0].scopeSpans[0].spans[0].traceId"),
            (r#"{"kind":"SPAN_KIND_ODD"}"#, "spans[0].kind"),
            (r#"{"name":5}"#, "spans[0].name"),
        ] {
            let error = span_of(span).unwrap_err();
            assert!(error.contains(path), "{error}");
        }
    }

    #[test]
    fn json_of_something_else_is_refused() {
        for json in ["[]", "5", r#"{"resourceLogs":[]}"#] {
            assert!(
                matches!(to_protobuf(json.as_bytes()), Err(JsonError::NoResourceSpans)),
                "{json}"
            );
        }
        assert_eq!(to_protobuf(b"{}").unwrap().len(), 0);
        assert!(matches!(to_protobuf(b"{"), Err(JsonError::Syntax(_))));
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused_without_a_panic(
            json in r#"\{"resource(Spans|_spans)":\[?\{?("scopeSpans":\[\{"spans":\[\{"(kind|code|traceId)":("[ -!#-\[\]-~]{0,6}"|[0-9]{1,4}|null|\[\])\}\]\}\])?\}?\]?\}"#
        ) {
            let _ = to_protobuf(json.as_bytes());
        }
    }
}

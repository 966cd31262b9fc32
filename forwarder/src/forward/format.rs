//! What is in a record: OTLP protobuf, OTLP/JSON or a plain JSON trace document, told by its first bytes.

use super::export::Request;
use crate::log::Record;
use crate::otlp::count::count_spans;
use crate::otlp::{json, plain};
use bytes::Bytes;
use thiserror::Error;

/// How a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `ExportTraceServiceRequest` in protobuf: passed on as it is.
    Protobuf,
    /// OTLP/JSON.
    Json,
    /// A plain JSON trace document.
    Plain,
}

/// A record's spans, as an OTLP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How it came.
    pub format: Format,
    /// An `ExportTraceServiceRequest`.
    pub value: Bytes,
    /// Its spans; none in an empty request.
    pub spans: u64,
}

/// A record that is none of the three.
#[derive(Debug, Error)]
#[error("not understood: {0}")]
pub struct FormatError(String);

/// Reads a record.
pub fn read(record: &Record) -> Result<Payload, FormatError> {
    let value = &record.value;
    let (format, value) = match value.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') if looks_like_json(value) => read_json(record)?,
        _ => (Format::Protobuf, value.clone()),
    };
    let spans = count_spans(&value).map_err(|error| FormatError(error.to_string()))?;
    Ok(Payload { format, value, spans })
}

/// The spans in a record; `None` if it is not understood.
pub fn spans_in(record: &Record) -> Option<u64> {
    read(record).ok().map(|payload| payload.spans)
}

/// A record as a request of its own; else why it is not understood.
pub fn request_of(record: &Record) -> Result<Request, String> {
    let Payload { value, spans, .. } = read(record).map_err(|error| error.to_string())?;
    Ok(Request { bytes: value.len(), spans, chunks: vec![value] })
}

/// Protobuf may start with `{` too (a group's tag), but no OTLP request does.
fn looks_like_json(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok()
}

fn read_json(record: &Record) -> Result<(Format, Bytes), FormatError> {
    let not_json = |error: serde_json::Error| FormatError(format!("not JSON: {error}"));
    let object = serde_json::from_slice(&record.value).map_err(not_json)?;
    if json::is_request(&object) {
        let value =
            json::to_protobuf(&record.value).map_err(|error| FormatError(error.to_string()))?;
        return Ok((Format::Json, value));
    }
    let value = plain::to_protobuf(&record.value, record.key.as_deref())
        .map_err(|error| FormatError(error.to_string()))?;
    Ok((Format::Plain, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use proptest::prelude::*;
    use prost::Message;

    fn record(value: impl Into<Bytes>) -> Record {
        Record { value: value.into(), ..Record::default() }
    }

    fn request() -> Vec<u8> {
        let span = Span { trace_id: vec![1; 16], ..Span::default() };
        let scope = ScopeSpans { spans: vec![span.clone(), span], ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
    }

    #[test]
    fn protobuf_is_passed_on_byte_for_byte() {
        let read = read(&record(request())).unwrap();
        assert_eq!(
            (read.format, read.spans, &read.value[..]),
            (Format::Protobuf, 2, &request()[..])
        );
    }

    #[test]
    fn both_kinds_of_json_are_told_apart() {
        let otlp = r#" {"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C",
            "spanId":"EEE19B7EC3C1B174","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2","kind":2}]}]}]}"#;
        assert_eq!(read(&record(otlp)).map(|p| (p.format, p.spans)).unwrap(), (Format::Json, 1));
        let plain = r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","name":"x",
            "start_time":"2026-11-24T10:00:00Z","end_time":"2026-11-24T10:00:01Z"}"#;
        assert_eq!(read(&record(plain)).map(|p| (p.format, p.spans)).unwrap(), (Format::Plain, 1));
    }

    #[test]
    fn an_empty_request_is_a_request() {
        assert_eq!(read(&record("")).unwrap().spans, 0);
    }

    #[test]
    fn what_is_none_of_them_says_why() {
        for (value, why) in [
            ("{\"trace_id\": 5}", "not a plain trace document"),
            ("{\"resourceSpans\": 5}", "OTLP/JSON"),
            ("{nope", "not JSON"),
            ("hello", "not protobuf"),
            ("\u{8}\u{1}", "resource_spans"),
            ("\u{12}\u{0}", "without resource_spans"),
        ] {
            let error = read(&record(value)).unwrap_err().to_string();
            assert!(error.contains(why), "{value:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_record_is_read_or_refused_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&record(value));
        }

        #[test]
        fn any_object_is_read_or_refused_without_a_panic(value in r#"\{"[a-z_]{0,12}": ?("[ -~]{0,9}"|[0-9]{1,4}|null)\}"#) {
            let _ = read(&record(value));
        }
    }
}

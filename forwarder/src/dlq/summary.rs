//! What is in a letter, for people: its headers, and a line for each span.

use crate::forward::request_of;
use crate::ledger::{STAMP_HEADER, Stamp};
use crate::log::Record;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;
use std::fmt;

/// Spans that are listed; of the others only the number is told.
const MAX_SPANS: usize = 20;
/// Characters of a value that are shown.
const MAX_TEXT: usize = 200;

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The key, as text.
    pub key: Option<String>,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// The first spans.
    pub spans: Vec<SpanLine>,
    /// Spans that are not listed.
    pub more_spans: usize,
    /// Why the value is not understood, if it is not; then the beginning of it.
    pub not_understood: Option<(String, String)>,
}

/// A span in a line.
#[derive(Debug, Clone, Serialize)]
pub struct SpanLine {
    /// Hex.
    pub trace_id: String,
    /// Hex.
    pub span_id: String,
    /// Its name.
    pub name: String,
    /// `service.name` of its resource.
    pub service: String,
}

impl Summary {
    /// Reads a record.
    pub fn of(record: &Record) -> Self {
        let headers = record.headers.iter().map(|(name, value)| {
            let stamp = Stamp::decode(&value[..]).ok().filter(|_| name == STAMP_HEADER);
            let text = stamp.map_or_else(|| text(value), |stamp| told(&stamp));
            (name.to_string(), text)
        });
        let read = request_of(record).and_then(|request| {
            let joined = request.chunks.concat();
            ExportTraceServiceRequest::decode(&joined[..]).map_err(|error| error.to_string())
        });
        let (all, not_understood) = match read {
            Ok(request) => (lines(&request), None),
            Err(reason) => (Vec::new(), Some((reason, text(&record.value)))),
        };
        Self {
            key: record.key.as_ref().map(|key| text(key)),
            headers: headers.collect(),
            more_spans: all.len().saturating_sub(MAX_SPANS),
            spans: all.into_iter().take(MAX_SPANS).collect(),
            not_understood,
        }
    }
}

fn told(stamp: &Stamp) -> String {
    format!(
        "writer {}, record {} and span {} of it; source {:?}, batch {}, part {} of {}",
        hex::encode(&stamp.writer),
        stamp.total_records,
        stamp.total_spans,
        String::from_utf8_lossy(&stamp.source),
        stamp.sequence,
        stamp.part,
        stamp.parts
    )
}

fn lines(request: &ExportTraceServiceRequest) -> Vec<SpanLine> {
    let mut lines = Vec::new();
    for resource in &request.resource_spans {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        let service = attributes.clone().find(|attribute| attribute.key == "service.name");
        let service = service.and_then(|attribute| attribute.value.as_ref());
        let service = service.and_then(|value| value.value.as_ref()).map_or_else(String::new, name);
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            lines.push(SpanLine {
                trace_id: hex::encode(&span.trace_id),
                span_id: hex::encode(&span.span_id),
                name: text(span.name.as_bytes()),
                service: service.clone(),
            });
        }
    }
    lines
}

fn name(value: &opentelemetry_proto::tonic::common::v1::any_value::Value) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match value {
        Value::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Text of anybody's bytes that cannot harm a terminal.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { '·' } else { c }).take(MAX_TEXT).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            writeln!(f, "        key  {key}")?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "        {name}  {value}")?;
        }
        for SpanLine { trace_id, span_id, name, service } in &self.spans {
            writeln!(f, "        span {trace_id} {span_id}  {service}  {name}")?;
        }
        if self.more_spans > 0 {
            writeln!(f, "        and {} more spans", self.more_spans)?;
        }
        if let Some((reason, beginning)) = &self.not_understood {
            writeln!(f, "        {reason}\n        it begins with  {beginning}")?;
        }
        Ok(())
    }
}

//! Jaeger's answer to `/api/v3/traces/ID`: OTLP as JSON, of which only what is asked about is read.

use crate::traces::Seen;
use anyhow::Result;
use serde::Deserialize;

/// The spans of an answer. Fails on what is not such an answer.
pub fn spans(body: &[u8]) -> Result<Vec<Seen>> {
    let answer: Answer = serde_json::from_slice(body)?;
    answer.result.spans()
}

#[derive(Deserialize)]
struct Answer {
    result: TracesData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TracesData {
    #[serde(default)]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    attributes: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    #[serde(default)]
    name: String,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u8,
}

impl TracesData {
    fn spans(self) -> Result<Vec<Seen>> {
        let mut found = Vec::new();
        for resource in self.resource_spans {
            let service = resource.resource.service();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                found.push(span.found(&service)?);
            }
        }
        Ok(found)
    }
}

impl Resource {
    fn service(&self) -> String {
        let name = self.attributes.iter().find(|pair| pair["key"] == "service.name");
        let value = name.and_then(|pair| pair["value"]["stringValue"].as_str());
        value.unwrap_or_default().to_owned()
    }
}

impl Span {
    fn found(self, service: &str) -> Result<Seen> {
        let time = (self.start_time_unix_nano.parse()?, self.end_time_unix_nano.parse()?);
        Ok(Seen {
            span_id: self.span_id,
            parent_id: self.parent_span_id,
            name: self.name,
            service: service.to_owned(),
            time,
            failed: self.status.code == 2,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gives_each_span_with_its_service() {
        let body = br#"{"result": {"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"scope": {}, "spans": [{
                "traceId": "07", "spanId": "0909090909090909", "name": "pay", "kind": 2,
                "startTimeUnixNano": "1", "endTimeUnixNano": "3", "status": {"code": 2}
            }]}]
        }]}}"#;
        let found = spans(body).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].service.as_str(), found[0].name.as_str()), ("shop", "pay"));
        assert_eq!((found[0].time, found[0].failed), ((1, 3), true));
        assert_eq!(found[0].parent_id, "");
    }

    #[test]
    fn an_error_page_is_not_a_trace_without_spans() {
        assert!(spans(b"<html>").is_err());
    }
}

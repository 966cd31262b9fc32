//! One request in, one request per trace out: every span's bytes stay as they were, and so do its resource and scope.

use super::field;
use super::wire::{WireError, fields, put_header, varint_len};
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;

/// 16 bytes, not all zero (W3C Trace Context §3.2.2.3).
pub type TraceId = [u8; 16];

/// A request, split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// A part for each trace, in the order in which they first appear.
    pub traces: Vec<TracePart>,
    /// Spans without a usable trace id: 16 bytes, not all zero. They are in no part.
    pub rejected_spans: u64,
}

/// The spans of one trace with their resources and scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePart {
    /// The trace.
    pub trace_id: TraceId,
    /// Spans in `value`.
    pub spans: u32,
    /// An `ExportTraceServiceRequest`.
    pub value: Bytes,
}

/// Splits `request` by trace id. The same bytes always give the same parts.
pub fn split(request: &Bytes) -> Result<Split, WireError> {
    let plan = Plan::of(request)?;
    if plan.traces.len() == 1 && plan.rejected == 0 {
        let spans = plan.spans.len() as u32;
        let part = TracePart { trace_id: plan.traces[0], spans, value: request.clone() };
        return Ok(Split { traces: vec![part], rejected_spans: 0 });
    }
    let mut of_trace = vec![Vec::new(); plan.traces.len()];
    for span in &plan.spans {
        of_trace[span.trace].push(span);
    }
    let part = |(trace_id, spans): (&TraceId, Vec<&SpanAt>)| TracePart {
        trace_id: *trace_id,
        spans: spans.len() as u32,
        value: plan.write(request, &spans),
    };
    let traces = plan.traces.iter().zip(of_trace).map(part).collect();
    Ok(Split { traces, rejected_spans: plan.rejected })
}

/// Where everything stands in the request.
#[derive(Default)]
struct Plan {
    /// Fields of the request that are not resource spans: none are defined, and none is dropped.
    request: Vec<Range<usize>>,
    /// Of each `ResourceSpans`, the fields that are not scope spans.
    resources: Vec<Vec<Range<usize>>>,
    /// Of each `ScopeSpans`, the fields that are not spans.
    scopes: Vec<Vec<Range<usize>>>,
    spans: Vec<SpanAt>,
    traces: Vec<TraceId>,
    slots: HashMap<TraceId, usize>,
    rejected: u64,
}

struct SpanAt {
    trace: usize,
    resource: usize,
    scope: usize,
    raw: Range<usize>,
}

impl Plan {
    fn of(bytes: &[u8]) -> Result<Self, WireError> {
        let mut plan = Self::default();
        for field in fields(bytes, 0..bytes.len()) {
            let field = field?;
            if field.number == field::RESOURCE_SPANS {
                plan.add_resource(bytes, field.message("resource_spans")?)?;
            } else {
                plan.request.push(field.raw);
            }
        }
        Ok(plan)
    }

    fn add_resource(&mut self, bytes: &[u8], range: Range<usize>) -> Result<(), WireError> {
        let resource = self.resources.len();
        self.resources.push(Vec::new());
        for field in fields(bytes, range) {
            let field = field?;
            if field.number == field::SCOPE_SPANS {
                self.add_scope(bytes, field.message("scope_spans")?, resource)?;
            } else {
                self.resources[resource].push(field.raw);
            }
        }
        Ok(())
    }

    fn add_scope(
        &mut self,
        bytes: &[u8],
        range: Range<usize>,
        resource: usize,
    ) -> Result<(), WireError> {
        let scope = self.scopes.len();
        self.scopes.push(Vec::new());
        for field in fields(bytes, range) {
            let field = field?;
            if field.number != field::SPANS {
                self.scopes[scope].push(field.raw);
                continue;
            }
            match trace_id(bytes, field.message("span")?)? {
                Some(id) => {
                    let trace = self.slot(id);
                    self.spans.push(SpanAt { trace, resource, scope, raw: field.raw });
                }
                None => self.rejected += 1,
            }
        }
        Ok(())
    }

    fn slot(&mut self, id: TraceId) -> usize {
        *self.slots.entry(id).or_insert_with(|| {
            self.traces.push(id);
            self.traces.len() - 1
        })
    }

    /// The request that holds just these spans.
    fn write(&self, bytes: &[u8], spans: &[&SpanAt]) -> Bytes {
        let mut out = Vec::with_capacity(spans.iter().map(|span| span.raw.len() + 64).sum());
        for of_resource in spans.chunk_by(|a, b| a.resource == b.resource) {
            let envelope = &self.resources[of_resource[0].resource];
            let scopes = of_resource.chunk_by(|a, b| a.scope == b.scope);
            let sizes: usize = scopes.clone().map(|spans| nested(self.scope_len(spans))).sum();
            put_header(&mut out, field::RESOURCE_SPANS, total(envelope) + sizes);
            copy(&mut out, bytes, envelope);
            for spans in scopes {
                put_header(&mut out, field::SCOPE_SPANS, self.scope_len(spans));
                copy(&mut out, bytes, &self.scopes[spans[0].scope]);
                for span in spans {
                    out.extend_from_slice(&bytes[span.raw.clone()]);
                }
            }
        }
        copy(&mut out, bytes, &self.request);
        out.into()
    }

    fn scope_len(&self, spans: &[&SpanAt]) -> usize {
        total(&self.scopes[spans[0].scope]) + spans.iter().map(|span| span.raw.len()).sum::<usize>()
    }
}

/// The span's trace id, if it is one; the whole span is walked, so a damaged one is an error.
fn trace_id(bytes: &[u8], span: Range<usize>) -> Result<Option<TraceId>, WireError> {
    let mut id = None;
    for field in fields(bytes, span) {
        let field = field?;
        if field.number == field::TRACE_ID {
            id = TraceId::try_from(&bytes[field.message("trace_id")?]).ok();
        }
    }
    Ok(id.filter(|id| *id != TraceId::default()))
}

/// The length of a field that holds `length` bytes, with its header.
fn nested(length: usize) -> usize {
    1 + varint_len(length) + length
}

fn total(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

fn copy(out: &mut Vec<u8>, bytes: &[u8], ranges: &[Range<usize>]) {
    for range in ranges {
        out.extend_from_slice(&bytes[range.clone()]);
    }
}

#[cfg(test)]
mod tests;

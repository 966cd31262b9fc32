//! The parts of a request, written one behind the other into one piece of memory that they share.

use super::plan::{Plan, SpanAt};
use super::{TraceId, TracePart};
use crate::otlp::field;
use crate::otlp::wire::{put_header, varint_len};
use bytes::Bytes;
use std::ops::Range;

/// A tag and a length are no longer than this, for requests below 256 MiB.
const MAX_HEADER: usize = 5;

/// A run of spans that becomes one part, and the most bytes that it takes.
struct Run<'a> {
    trace_id: TraceId,
    spans: &'a [SpanAt],
    bytes: usize,
}

/// A part for each trace or group; those of more than `limit` bytes are divided between their spans.
pub fn parts(request: &[u8], mut plan: Plan, limit: usize, among: u32) -> Vec<TracePart> {
    plan.sort();
    let mut runs = Vec::with_capacity(plan.traces.len());
    for spans in plan.spans.chunk_by(|a, b| a.trace == b.trace) {
        let (trace_id, _) = plan.traces[spans[0].trace];
        plan.divide(trace_id, spans, limit, &mut runs);
    }
    let mut out = Vec::with_capacity(runs.iter().map(|run| run.bytes).sum());
    let ends: Vec<usize> = runs
        .iter()
        .map(|run| {
            plan.write(&mut out, request, run.spans);
            out.len()
        })
        .collect();
    let mut out = Bytes::from(out);
    let mut start = 0;
    let part = |(run, end): (&Run<'_>, usize)| {
        let value = out.split_to(end - std::mem::replace(&mut start, end));
        TracePart { trace_id: run.trace_id, spans: run.spans.len() as u32, value, among }
    };
    runs.iter().zip(ends).map(part).collect()
}

impl Plan {
    /// Runs of a trace's spans, each of which is written in at most `limit` bytes unless it is one span.
    fn divide<'a>(
        &self,
        trace_id: TraceId,
        spans: &'a [SpanAt],
        limit: usize,
        runs: &mut Vec<Run<'a>>,
    ) {
        let around = total(&self.request);
        let (mut start, mut bytes) = (0, around);
        for (i, span) in spans.iter().enumerate() {
            let before = (i > start).then(|| &spans[i - 1]);
            let mut more = self.cost(span, before);
            if i > start && bytes + more > limit {
                runs.push(Run { trace_id, spans: &spans[start..i], bytes });
                (start, bytes) = (i, around);
                more = self.cost(span, None);
            }
            bytes += more;
        }
        runs.push(Run { trace_id, spans: &spans[start..], bytes });
    }

    /// The bytes that a span adds behind another one: itself, and what is new of its envelopes.
    fn cost(&self, span: &SpanAt, before: Option<&SpanAt>) -> usize {
        let is_new_resource = before.is_none_or(|before| before.resource != span.resource);
        let is_new_scope = before.is_none_or(|before| before.scope != span.scope);
        let resource =
            if is_new_resource { self.resources.bytes(span.resource) + MAX_HEADER } else { 0 };
        let scope = if is_new_scope { self.scopes.bytes(span.scope) + MAX_HEADER } else { 0 };
        resource + scope + span.raw.len()
    }

    /// Writes the request that holds just these spans.
    fn write(&self, out: &mut Vec<u8>, bytes: &[u8], spans: &[SpanAt]) {
        for of_resource in spans.chunk_by(|a, b| a.resource == b.resource) {
            let resource = of_resource[0].resource;
            let scopes = of_resource.chunk_by(|a, b| a.scope == b.scope);
            let sizes: usize = scopes.clone().map(|spans| nested(self.scope_len(spans))).sum();
            put_header(out, field::RESOURCE_SPANS, self.resources.bytes(resource) + sizes);
            copy(out, bytes, self.resources.fields(resource));
            for spans in scopes {
                put_header(out, field::SCOPE_SPANS, self.scope_len(spans));
                copy(out, bytes, self.scopes.fields(spans[0].scope));
                for span in spans {
                    out.extend_from_slice(&bytes[span.raw.clone()]);
                }
            }
        }
        copy(out, bytes, &self.request);
    }

    fn scope_len(&self, spans: &[SpanAt]) -> usize {
        self.scopes.bytes(spans[0].scope) + spans.iter().map(|span| span.raw.len()).sum::<usize>()
    }
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

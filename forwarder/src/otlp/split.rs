//! One request in, one request per trace (or group of traces) out: every span's bytes stay as they were, and so do its
//! resource and scope.

mod envelopes;
mod plan;
mod slots;
#[cfg(test)]
mod tests;
mod write;

use super::wire::WireError;
use bytes::Bytes;
use plan::Plan;

/// 16 bytes, not all zero (W3C Trace Context §3.2.2.3).
pub type TraceId = [u8; 16];

/// A request, split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// A part for each trace or group, in the order in which they first appear unless it is said otherwise.
    pub traces: Vec<TracePart>,
    /// Spans without a usable trace id: 16 bytes, not all zero. They are in no part.
    pub rejected_spans: u64,
}

/// The spans of one trace, or of one group of traces, with their resources and scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePart {
    /// The trace; of a group, the one that is first in this request.
    pub trace_id: TraceId,
    /// Spans in `value`.
    pub spans: u32,
    /// An `ExportTraceServiceRequest`.
    pub value: Bytes,
    /// Of how many groups the traces in it are one; 0: it holds spans of one trace.
    pub among: u32,
}

/// Splits `request` by trace id, and a trace of more than `limit` bytes by its spans. The same bytes always give the
/// same parts. Only a part of one span may be above `limit`.
pub fn split(request: &Bytes, limit: usize) -> Result<Split, WireError> {
    Ok(divide(request, Plan::of(request)?, limit, 0))
}

/// As [`split`], but the parts of the traces that `group` puts into the same group are one behind the other, in memory too:
/// whoever takes them group by group reads memory in its order, which costs less than from place to place.
pub fn split_ordered(
    request: &Bytes,
    limit: usize,
    group: impl Fn(&TraceId) -> u32,
) -> Result<Split, WireError> {
    let mut plan = Plan::of(request)?;
    plan.order(group);
    Ok(divide(request, plan, limit, 0))
}

/// As [`split`], but the traces that `group` puts into the same of `groups` share their parts.
pub fn split_by(
    request: &Bytes,
    limit: usize,
    groups: u32,
    group: impl Fn(&TraceId) -> u32,
) -> Result<Split, WireError> {
    let mut plan = Plan::of(request)?;
    plan.join(group);
    Ok(divide(request, plan, limit, groups))
}

fn divide(request: &Bytes, plan: Plan, limit: usize, among: u32) -> Split {
    if let [(trace_id, spans)] = plan.traces[..]
        && plan.rejected == 0
        && request.len() <= limit
    {
        let part = TracePart { trace_id, spans, value: request.clone(), among };
        return Split { traces: vec![part], rejected_spans: 0 };
    }
    let rejected_spans = plan.rejected;
    Split { traces: write::parts(request, plan, limit, among), rejected_spans }
}

//! Where everything stands in a request. Reading it allocates a few lists, however many spans there are.

use super::TraceId;
use super::envelopes::Envelopes;
use super::slots::Slots;
use crate::otlp::field;
use crate::otlp::skim::skim_for;
use crate::otlp::wire::{WireError, fields};
use std::collections::HashMap;
use std::ops::Range;

/// See the module.
#[derive(Debug, Default)]
pub struct Plan {
    /// Fields of the request that are not resource spans: none are defined, and none is dropped.
    pub request: Vec<Range<usize>>,
    /// Of each `ResourceSpans`, the fields that are not scope spans.
    pub resources: Envelopes,
    /// Of each `ScopeSpans`, the fields that are not spans.
    pub scopes: Envelopes,
    /// In the order of the request.
    pub spans: Vec<SpanAt>,
    /// Each trace (or the first one of each group) with its number of spans, in the order in which they first appear unless
    /// they are put into another.
    pub traces: Vec<(TraceId, u32)>,
    slots: Slots,
    /// Spans without a usable trace id.
    pub rejected: u64,
}

/// A span and what it stands in.
#[derive(Debug, Clone, Default)]
pub struct SpanAt {
    /// Of `Plan::traces`.
    pub trace: usize,
    /// Of `Plan::resources`.
    pub resource: usize,
    /// Of `Plan::scopes`.
    pub scope: usize,
    /// Tag, length and value.
    pub raw: Range<usize>,
}

impl Plan {
    /// Reads a request.
    pub fn of(bytes: &[u8]) -> Result<Self, WireError> {
        let mut plan = Self::default();
        for field in fields(bytes, 0..bytes.len()) {
            let field = field?;
            if field.number == field::RESOURCE_SPANS {
                plan.add_resource(bytes, field.message("resource_spans")?)?;
            } else {
                plan.request.push(field.raw);
            }
        }
        if plan.resources.is_empty() && !bytes.is_empty() {
            return Err(WireError::NoResourceSpans { bytes: bytes.len() });
        }
        Ok(plan)
    }

    fn add_resource(&mut self, bytes: &[u8], range: Range<usize>) -> Result<(), WireError> {
        let resource = self.resources.begin();
        for field in fields(bytes, range) {
            let field = field?;
            if field.number == field::SCOPE_SPANS {
                self.add_scope(bytes, field.message("scope_spans")?, resource)?;
            } else {
                self.resources.push(field.raw);
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
        let scope = self.scopes.begin();
        for field in fields(bytes, range) {
            let field = field?;
            if field.number != field::SPANS {
                self.scopes.push(field.raw);
                continue;
            }
            match trace_id(bytes, field.message("span")?)? {
                Some(id) => {
                    let trace = self.count(&id);
                    self.spans.push(SpanAt { trace, resource, scope, raw: field.raw });
                }
                None => self.rejected += 1,
            }
        }
        Ok(())
    }

    fn count(&mut self, id: &TraceId) -> usize {
        let slot = self.slots.of(id);
        match self.traces.get_mut(slot) {
            Some((_, spans)) => *spans += 1,
            None => self.traces.push((*id, 1)),
        }
        slot
    }

    /// Makes one of the traces that are in the same group: the first one's id stands for them.
    pub fn join(&mut self, group: impl Fn(&TraceId) -> u32) {
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        let mut joined: Vec<(TraceId, u32)> = Vec::new();
        let number = |(id, spans): &(TraceId, u32)| {
            let number = *numbers.entry(group(id)).or_insert(joined.len());
            match joined.get_mut(number) {
                Some((_, sum)) => *sum += spans,
                None => joined.push((*id, *spans)),
            }
            number
        };
        let numbers: Vec<usize> = self.traces.iter().map(number).collect();
        self.renumber(&numbers, joined);
    }

    /// Puts the traces of a group one behind the other; in a group they stay in their order.
    pub fn order(&mut self, group: impl Fn(&TraceId) -> u32) {
        let mut order: Vec<usize> = (0..self.traces.len()).collect();
        order.sort_by_cached_key(|trace| group(&self.traces[*trace].0));
        let mut numbers = vec![0; order.len()];
        for (number, trace) in order.iter().enumerate() {
            numbers[*trace] = number;
        }
        let ordered = order.iter().map(|trace| self.traces[*trace]).collect();
        self.renumber(&numbers, ordered);
    }

    /// Other traces, and of each one before its number among them.
    fn renumber(&mut self, numbers: &[usize], traces: Vec<(TraceId, u32)>) {
        for span in &mut self.spans {
            span.trace = numbers[span.trace];
        }
        self.traces = traces;
    }

    /// The spans of each trace together, in their order; most requests have them so.
    pub fn sort(&mut self) {
        if self.spans.is_sorted_by_key(|span| span.trace) {
            return;
        }
        let mut next: Vec<usize> = Vec::with_capacity(self.traces.len());
        let mut start = 0;
        for (_, spans) in &self.traces {
            next.push(start);
            start += *spans as usize;
        }
        let mut sorted = vec![SpanAt::default(); self.spans.len()];
        for span in std::mem::take(&mut self.spans) {
            let place = &mut next[span.trace];
            *place += 1;
            sorted[*place - 1] = span;
        }
        self.spans = sorted;
    }
}

/// The span's trace id, if it is one; the whole span is walked, so a damaged one is an error.
fn trace_id(bytes: &[u8], span: Range<usize>) -> Result<Option<TraceId>, WireError> {
    let mut id = None;
    skim_for(field::TRACE_ID as u8, bytes, span, |field| {
        id = TraceId::try_from(&bytes[field.message("trace_id")?]).ok();
        Ok(())
    })?;
    Ok(id.filter(|id| *id != TraceId::default()))
}

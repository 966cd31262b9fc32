//! The first decision on a request: leave it alone, record it, watch it, or let it pass; and with which
//! context it then goes on.

use crate::header_map::RequestHeaders;
use crate::ids::IdSource;
use crate::sampling::choice::{Choice, randomness};
use crate::sampling::{Sampler, Subject, Threshold, Verdict};
use crate::trace_context::{
    self, Dialect, Extracted, Outgoing, Parent, SAMPLED, SpanContext, StateEdit, tracestate, w3c,
};

/// A request that takes part in a trace.
#[derive(Debug, PartialEq, Eq)]
pub struct Joined {
    /// What becomes of its span.
    pub fate: Fate,
    /// The context that it goes on with.
    pub outgoing: Outgoing,
}

/// What becomes of a request's span.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made at the request's end.
    Record(Recording),
    /// It is not sampled, but made if the request turns out to matter.
    Watch(Recording),
    /// It is not made.
    Pass,
}

/// A request that is being recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// The span's ids.
    pub context: SpanContext,
    /// The caller's, if it sent a valid one; its list as it goes on.
    pub parent: Option<Parent>,
    /// The list of a span without a parent: what OpenTelemetry says of its sampling, or empty.
    pub root_state: String,
    /// The place of the rule that sampled it, if one did.
    pub rule: Option<usize>,
    /// The proxy's own tracer seems to trace this request: it may yet write a context of its own.
    pub has_other_tracer: bool,
}

impl Recording {
    /// At the end: the headers as they went upstream name another context than ours. Our span then joins
    /// that trace, as a child of the span which wrote it.
    pub fn rejoin(&mut self, upstream: &RequestHeaders<'_>) {
        let traceparent = upstream.traceparent.only().and_then(w3c::parse_traceparent);
        let Some((trace_id, span_id, flags)) = traceparent else { return };
        if span_id == self.context.span_id {
            return;
        }
        let state = match self.parent.take() {
            Some(parent) if parent.trace_id == trace_id => parent.state,
            _ => String::new(),
        };
        self.context.trace_id = trace_id;
        self.parent = Some(Parent { flags, state, ..Parent::new(trace_id, span_id) });
        self.root_state.clear();
    }
}

/// Whether Envoy's own tracer traces a request: Envoy says so in the request's id, in the digit that is
/// the version of a random UUID: 4 becomes 9 (sampled), a (forced) or b (asked for by the client).
fn has_other_tracer(request_id: &[u8]) -> bool {
    request_id.len() == 36 && matches!(request_id.get(14), Some(b'9' | b'a' | b'b'))
}

/// A request at its headers.
pub struct Arrival<'a> {
    /// The headers that are looked at.
    pub headers: &'a RequestHeaders<'a>,
    /// All of them, serialized.
    pub raw: &'a [u8],
    /// What the route says of sampling.
    pub route: Option<Choice>,
}

/// Whether a request is left alone.
pub fn is_left_alone(headers: &RequestHeaders<'_>, exclude_paths: &[String]) -> bool {
    headers.from_spanferry
        || exclude_paths.iter().any(|prefix| headers.path.starts_with(prefix.as_bytes()))
}

/// Decides on a request that is not left alone. The clock, ns, is asked only when a rate is configured.
pub fn join(
    arrival: &Arrival<'_>,
    read: &[Dialect],
    sampler: &mut Sampler,
    ids: &mut IdSource,
    clock: impl FnOnce() -> u64,
) -> Joined {
    let found = trace_context::extract(arrival.headers, read);
    ids.stir(arrival.headers.request_id);
    let trace_id = found.parent.as_ref().map_or_else(|| ids.trace_id(), |parent| parent.trace_id);
    let said = found.parent.as_ref().map(|parent| tracestate::probability(&parent.state));
    let said = said.unwrap_or_default();
    let subject = Subject {
        headers: arrival.headers,
        raw: arrival.raw,
        decision: found.decision,
        route: arrival.route,
        randomness: said.randomness.unwrap_or_else(|| randomness(&trace_id)),
    };
    let verdict = sampler.decide(&subject, clock);
    let state = state_edit(&found, &verdict, said.threshold, subject.randomness);
    let caller_flags = found.parent.as_ref().map_or(0, |parent| parent.flags & !SAMPLED);
    let flags = caller_flags | if verdict.is_sampled { SAMPLED } else { 0 };
    let is_watched = !verdict.is_sampled && sampler.keep().is_on();
    // A span id of ours goes on only where a span of ours may be made: else its children were orphans.
    let span_id = match &found.parent {
        Some(parent) if !verdict.is_sampled && !is_watched => parent.span_id,
        _ => ids.span_id(),
    };
    let context = SpanContext { trace_id, span_id, flags };
    let is_debug = found.is_debug && verdict.is_sampled;
    let outgoing = Outgoing { context, is_debug, state };
    if !verdict.is_sampled && !is_watched {
        return Joined { fate: Fate::Pass, outgoing };
    }
    let has_other_tracer = has_other_tracer(arrival.headers.request_id);
    let recording = Recording { has_other_tracer, ..recording(found.parent, &outgoing, &verdict) };
    let fate = if verdict.is_sampled { Fate::Record(recording) } else { Fate::Watch(recording) };
    Joined { fate, outgoing }
}

fn recording(mut parent: Option<Parent>, outgoing: &Outgoing, verdict: &Verdict) -> Recording {
    let mut root_state = String::new();
    if let StateEdit::Set(list) = &outgoing.state {
        match &mut parent {
            Some(parent) => parent.state.clone_from(list),
            None => root_state.clone_from(list),
        }
    }
    let (context, rule) = (outgoing.context, verdict.rule);
    Recording { context, parent, root_state, rule, has_other_tracer: false }
}

/// What becomes of `tracestate`. A threshold that does not fit to the caller's own decision is erased.
fn state_edit(
    found: &Extracted,
    verdict: &Verdict,
    threshold: Option<u64>,
    randomness: u64,
) -> StateEdit {
    let list = found.parent.as_ref().map_or("", |parent| &parent.state);
    let fits = |threshold| (randomness >= threshold) == verdict.is_sampled;
    match (verdict.threshold, threshold) {
        (Threshold::Set(new), _) => StateEdit::Set(tracestate::with_threshold(list, Some(new))),
        (Threshold::Keep, Some(old)) if !fits(old) => {
            StateEdit::Set(tracestate::with_threshold(list, None))
        }
        (Threshold::Erase, Some(_)) => StateEdit::Set(tracestate::with_threshold(list, None)),
        _ if found.stale_state => StateEdit::Remove,
        _ => StateEdit::Leave,
    }
}

#[cfg(test)]
mod tests;

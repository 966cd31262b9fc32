//! A request: at its headers it is admitted and its `traceparent` written; at its end, when status and
//! sizes are final, its span is made. No fault here ever stops or changes the request.

use crate::admission::{Arrival, Fate, Recording, is_left_alone, join};
use crate::attempt::Attempt;
use crate::config::KindChoice;
use crate::glance::LeftOut;
use crate::header_map::RequestHeaders;
use crate::host::Host;
use crate::properties::Property;
use crate::room::Keep;
use crate::root::{Known, Rare, Worker};
use crate::route::{self, Route};
use crate::sampling::{Kept, Sampler};
use crate::semconv;
use crate::semconv::rpc::is_grpc;
use crate::span::{self, Exchange};
use crate::trace_context::{HeaderEdit, SpanContext, w3c};

/// One request, until its end.
#[derive(Default)]
pub struct Request {
    /// `None` until its headers are seen. One that is answered before it reaches this filter stays so.
    recorded: Option<Box<Recorded>>,
}

/// A request that will have a span, or may have one.
struct Recorded {
    recording: Recording,
    /// Not sampled: only a request that turns out to matter has a span.
    is_watched: bool,
    /// The headers as they came; empty when there was no room to keep them.
    headers: Vec<u8>,
    /// A body follows the headers, or may have.
    has_body: bool,
    /// When the answer's headers came, ns since the epoch.
    answered_ns: Option<u64>,
    /// What this filter saw itself; only for CLIENT spans, which may be those of an upstream filter.
    attempt: Option<Attempt>,
}

/// When a request is seen first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// At its headers; whether a body follows.
    AtHeaders { has_body: bool },
    /// At its end only, since it was answered before it came to this filter.
    AtEnd,
}

impl Request {
    /// The headers are there, and `has_body` says whether more follows. False when no span will be made.
    pub fn begin<H: Host>(&mut self, worker: &mut Worker<H>, has_body: bool) -> bool {
        if self.recorded.is_none() {
            self.recorded = Recorded::admit(worker, Seen::AtHeaders { has_body });
        }
        self.recorded.is_some()
    }

    /// The answer's headers are there.
    pub fn answered(&mut self, host: impl Host) {
        if let Some(recorded) = &mut self.recorded {
            recorded.answered_ns = Some(host.now_ns()).filter(|now| *now > 0);
            if let Some(attempt) = &mut recorded.attempt {
                attempt.answered(&host.response_status().unwrap_or_default());
            }
        }
    }

    /// The end without a log, which is that of an attempt in an upstream filter: makes its span.
    pub fn end_attempt<H: Host>(self, worker: &mut Worker<H>) {
        if let Some(recorded) = self.recorded {
            worker.room.give_back(recorded.bytes());
            recorded.make_span(worker);
        }
    }

    /// The end: makes the span, by what the proxy says of the request.
    pub fn end<H: Host>(self, worker: &mut Worker<H>) {
        let Some(mut recorded) = self.recorded.or_else(|| Recorded::admit(worker, Seen::AtEnd))
        else {
            return;
        };
        worker.room.give_back(recorded.bytes());
        recorded.attempt = None;
        recorded.make_span(worker);
    }
}

impl Recorded {
    /// Runs once a request, at its headers, or at its end when it never came so far.
    fn admit<H: Host>(worker: &mut Worker<H>, seen: Seen) -> Option<Box<Self>> {
        let host = worker.host;
        let forwards = seen != Seen::AtEnd;
        if worker.glance.is_worth_it()
            && let Some(left_out) =
                worker.glance.sees(&host.request_header("traceparent"), &mut worker.ids)
        {
            worker.sampler.counts.sampled_out += 1;
            if let (LeftOut::Here(context), true) = (left_out, forwards) {
                pass_anew(host, &context);
            }
            return None;
        }
        let raw = host.request_headers().ok()?;
        let headers = RequestHeaders::scan(&raw);
        if is_left_alone(&headers, &worker.config.exclude_paths) {
            return None;
        }
        let route = if worker.config.route_overrides { route(host) } else { Route::default() };
        if route.is_disabled {
            return None;
        }
        let arrival = Arrival { headers: &headers, raw: &raw, route: route.sample };
        let propagation = &worker.config.propagation;
        let (sampler, ids) = (&mut worker.sampler, &mut worker.ids);
        let joined = join(&arrival, &propagation.read, sampler, ids, || host.now_ns());
        if forwards {
            joined.outgoing.apply(&headers, propagation, &mut |edit| write(host, edit));
        }
        worker.glance.learn(&joined.fate);
        let (mut recording, is_watched) = match joined.fate {
            Fate::Pass => return None,
            Fate::Record(recording) => (recording, false),
            Fate::Watch(recording) => (recording, true),
        };
        let is_client = worker.config.span_kind == KindChoice::Client;
        let attempt = is_client.then(|| {
            worker.attempts.join(&mut recording);
            Attempt::begins(host.now_ns())
        });
        let has_body = seen != Seen::AtHeaders { has_body: false };
        let recorded =
            Self { recording, is_watched, headers: raw, has_body, answered_ns: None, attempt };
        recorded.keep(worker)
    }

    /// Holds on to as much as there is room for.
    fn keep<H: Host>(self, worker: &mut Worker<H>) -> Option<Box<Self>> {
        let mut recorded = Box::new(self);
        let headers = recorded.headers.len();
        match worker.room.take(recorded.bytes() - headers, headers) {
            Keep::All => Some(recorded),
            Keep::Identity => {
                recorded.headers = Vec::new();
                Some(recorded)
            }
            Keep::Nothing => {
                worker.outbox.count_not_recorded();
                None
            }
        }
    }

    /// Whether a cheap look says that a request which was not sampled is not to be kept either.
    fn is_harmless<H: Host>(&self, worker: &Worker<H>) -> bool {
        // An attempt has numbers of its own, and without its headers nobody knows a gRPC call.
        if self.attempt.is_some() || self.headers.is_empty() {
            return false;
        }
        let is_grpc = is_grpc(RequestHeaders::scan(&self.headers).content_type);
        let number = |path: [&str; 2]| {
            let bytes = worker.host.property(&path).ok()?.try_into().ok()?;
            u64::try_from(i64::from_le_bytes(bytes)).ok()
        };
        worker.sampler.keep().is_harmless(is_grpc, number)
    }

    /// What this request holds.
    fn bytes(&self) -> usize {
        let parent = self.recording.parent.as_ref();
        let state = parent.map_or(0, |parent| parent.state.capacity());
        size_of::<Self>() + self.recording.root_state.capacity() + state + self.headers.len()
    }

    /// Makes the span of a request that is over, if it shall have one.
    fn make_span<H: Host>(mut self, worker: &mut Worker<H>) {
        let host = worker.host;
        if self.is_watched && self.is_harmless(worker) {
            return;
        }
        if self.recording.has_other_tracer {
            let upstream = host.request_headers().unwrap_or_default();
            self.recording.rejoin(&RequestHeaders::scan(&upstream));
        }
        let again;
        let headers = match self.headers.is_empty() {
            true => {
                again = host.request_headers().unwrap_or_default();
                &again
            }
            false => &self.headers,
        };
        let headers = RequestHeaders::scan(headers);
        let known = Known { is_rpc: is_grpc(headers.content_type), has_body: self.has_body };
        let values = worker.reads.read(host, known);
        let (mut properties, custom) = (values.properties(), values.custom());
        let own_status = self.attempt.as_ref().map(Attempt::status);
        let rare = Rare::read(host, &properties, own_status);
        rare.add_to(&mut properties);
        let now_ns = host.now_ns();
        let seen = self.attempt.as_ref().map(|attempt| attempt.values(now_ns));
        if let Some(seen) = &seen {
            properties = properties.with(seen);
        }
        let direction = properties.number(Property::Direction).or(worker.direction);
        let exchange = Exchange {
            kind: worker.config.span_kind.resolve(direction),
            context: self.recording.context,
            parent: self.recording.parent.as_ref(),
            headers: &headers,
            properties: &properties,
            custom: &custom,
            recipe: &worker.recipe,
            is_attempt: self.attempt.is_some(),
            answered_ns: self.answered_ns,
            now_ns,
        };
        let sampled_by = match self.is_watched {
            true => match kept(&exchange, &mut worker.sampler) {
                Some(kept) => Some(kept.name()),
                None => return,
            },
            false => self.recording.rule.and_then(|rule| worker.sampler.rule_name(rule)),
        };
        worker.scratch.clear();
        exchange.write(&mut worker.scratch);
        span::write_sampling(&mut worker.scratch, &self.recording.root_state, sampled_by);
        worker.hand_over();
    }
}

fn kept(exchange: &Exchange<'_>, sampler: &mut Sampler) -> Option<Kept> {
    let (start, end) = exchange.times();
    sampler.keeps(semconv::failure(exchange).is_some(), end.saturating_sub(start))
}

/// Without metadata the route says nothing.
fn route(host: impl Host) -> Route {
    host.property(&route::PATH).map(|raw| Route::read(&raw)).unwrap_or_default()
}

/// A request without a caller that is not sampled goes on with its new context: a `tracestate` that it may have belongs to no
/// trace. To look for one costs less than to remove none.
fn pass_anew(host: impl Host, context: &SpanContext) {
    let state = host.request_header("tracestate");
    write(host, HeaderEdit::Add("traceparent", &w3c::write_traceparent(context)));
    if !state.is_err_and(|error| error.is_not_found()) {
        write(host, HeaderEdit::Remove("tracestate"));
    }
}

/// A header that cannot be written is no reason to stop the request: the trace then ends here.
fn write(host: impl Host, edit: HeaderEdit<'_>) {
    let _ = match edit {
        HeaderEdit::Set(name, value) => host.set_request_header(name, value),
        HeaderEdit::Add(name, value) => host.add_request_header(name, value),
        HeaderEdit::Remove(name) => host.remove_request_header(name),
    };
}

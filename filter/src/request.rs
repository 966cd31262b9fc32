//! A request: at its headers it is admitted and its `traceparent` written; at its end, when status and
//! sizes are final, its span is made. No fault here ever stops or changes the request.

use crate::admission::{Admission, Recording, admit};
use crate::header_map::RequestHeaders;
use crate::host::Host;
use crate::properties::{self, Properties, Property};
use crate::room::Keep;
use crate::root::Worker;
use crate::sampling::Sampler;
use crate::span::Exchange;

/// One request, until its end.
#[derive(Default)]
pub struct Request {
    /// `None` until its headers are seen. One that is answered before it reaches this filter stays so.
    recorded: Option<Box<Recorded>>,
}

/// A request that will have a span.
struct Recorded {
    recording: Recording,
    /// The headers as they came; empty when there was no room to keep them.
    headers: Vec<u8>,
}

impl Request {
    /// The headers are there. False when no span will be made.
    pub fn begin<H: Host>(&mut self, worker: &mut Worker<H>) -> bool {
        if self.recorded.is_none() {
            self.recorded = Recorded::admit(worker, true);
        }
        self.recorded.is_some()
    }

    /// The end: makes the span.
    pub fn end<H: Host>(self, worker: &mut Worker<H>) {
        let Some(recorded) = self.recorded.or_else(|| Recorded::admit(worker, false)) else {
            return;
        };
        worker.room.give_back(recorded.bytes());
        recorded.make_span(worker);
    }

    /// The end without a span.
    pub fn forget<H: Host>(self, worker: &mut Worker<H>) {
        if let Some(recorded) = self.recorded {
            worker.room.give_back(recorded.bytes());
        }
    }
}

impl Recorded {
    /// Runs once a request, at its headers, or at its end when it never came so far.
    fn admit<H: Host>(worker: &mut Worker<H>, forwards: bool) -> Option<Box<Self>> {
        let host = worker.host;
        let raw = host.request_headers().ok()?;
        let headers = RequestHeaders::scan(&raw);
        let exclude = &worker.config.exclude_paths;
        match admit(&headers, exclude, Sampler::default(), &mut worker.ids) {
            Admission::Skip => None,
            Admission::CarryOn { remove_state } => {
                if forwards && remove_state {
                    let _ = host.remove_request_header("tracestate");
                }
                None
            }
            Admission::Record(recording) => {
                if forwards {
                    write_context(host, &recording, headers.traceparent.len());
                }
                Self::keep(worker, recording, raw)
            }
        }
    }

    /// Holds on to as much as there is room for.
    fn keep<H: Host>(
        worker: &mut Worker<H>,
        recording: Recording,
        headers: Vec<u8>,
    ) -> Option<Box<Self>> {
        let mut recorded = Box::new(Self { recording, headers });
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

    /// What this request holds.
    fn bytes(&self) -> usize {
        let parent = self.recording.parent.as_ref();
        let state = parent.map_or(0, |parent| parent.state.capacity());
        size_of::<Self>() + self.recording.traceparent.capacity() + state + self.headers.len()
    }

    /// Makes the span of a request that is over.
    fn make_span<H: Host>(&self, worker: &mut Worker<H>) {
        let host = worker.host;
        let again;
        let headers = match self.headers.is_empty() {
            true => {
                again = host.request_headers().unwrap_or_default();
                &again
            }
            false => &self.headers,
        };
        let list = worker.expression.and_then(|expression| host.evaluate(expression).ok());
        let single;
        let properties = match list.as_deref().and_then(Properties::from_list) {
            Some(properties) => properties,
            None => {
                single = properties::PATHS.map(|path| host.property(&path).unwrap_or_default());
                Properties::from_single(&single)
            }
        };
        let direction = properties.number(Property::Direction).or(worker.direction);
        let exchange = Exchange {
            kind: worker.config.span_kind.resolve(direction),
            context: self.recording.context,
            parent: self.recording.parent.as_ref(),
            headers: &RequestHeaders::scan(headers),
            properties: &properties,
            now_ns: host.now_ns(),
        };
        worker.scratch.clear();
        exchange.write(&mut worker.scratch);
        worker.hand_over();
    }
}

/// A header that cannot be written is no reason to stop the request: the trace then ends here.
fn write_context(host: impl Host, recording: &Recording, lines: usize) {
    if lines > 1 {
        let _ = host.remove_request_header("traceparent");
    }
    let _ = host.set_request_header("traceparent", &recording.traceparent);
    if recording.remove_state {
        let _ = host.remove_request_header("tracestate");
    }
}

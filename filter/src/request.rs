//! A request's context: at its headers it is admitted and its `traceparent` written; at its end, when
//! status and sizes are final, its span is made. No fault here ever stops or changes the request.

use crate::admission::{Admission, Recording, admit};
use crate::header_map::RequestHeaders;
use crate::host;
use crate::properties::{Properties, Property};
use crate::root::{Shared, Worker};
use crate::sampling::Sampler;
use crate::span::Exchange;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

/// Where a request stands.
enum Stage {
    /// Nothing seen yet. A request that is answered before it reaches this filter stays here.
    Unseen,
    /// No span will be made.
    Left,
    /// A span will be made: the headers as they came, and who the span is.
    Recording { headers: Vec<u8>, recording: Recording },
}

/// One request.
pub struct Request {
    worker: Option<Shared>,
    stage: Stage,
}

impl Request {
    /// A request; without a worker it is left alone.
    pub fn new(worker: Option<Shared>) -> Self {
        Self { worker, stage: Stage::Unseen }
    }

    /// Runs once a request, at its headers, or at its end when it never came so far.
    fn admit(worker: &mut Worker, forwards: bool) -> Stage {
        let Ok(raw) = host::request_headers() else { return Stage::Left };
        let headers = RequestHeaders::scan(&raw);
        let exclude = &worker.config.exclude_paths;
        match admit(&headers, exclude, Sampler::default(), &mut worker.ids) {
            Admission::Skip => Stage::Left,
            Admission::CarryOn { remove_state } => {
                if forwards && remove_state {
                    let _ = host::remove_request_header("tracestate");
                }
                Stage::Left
            }
            Admission::Record(recording) => {
                if forwards {
                    write_context(&recording, headers.traceparent.len());
                }
                Stage::Recording { headers: raw, recording }
            }
        }
    }
}

/// A header that cannot be written is no reason to stop the request: the trace then ends here.
fn write_context(recording: &Recording, lines: usize) {
    if lines > 1 {
        let _ = host::remove_request_header("traceparent");
    }
    let _ = host::set_request_header("traceparent", &recording.traceparent);
    if recording.remove_state {
        let _ = host::remove_request_header("tracestate");
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if let (Some(shared), Stage::Unseen) = (&self.worker, &self.stage)
            && let Ok(mut worker) = shared.try_borrow_mut()
        {
            self.stage = Self::admit(&mut worker, true);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let Some(shared) = self.worker.take() else { return };
        let Ok(mut worker) = shared.try_borrow_mut() else { return };
        if matches!(self.stage, Stage::Unseen) {
            self.stage = Self::admit(&mut worker, false);
        }
        if let Stage::Recording { headers, recording } =
            std::mem::replace(&mut self.stage, Stage::Left)
        {
            record(&mut worker, &headers, &recording);
        }
    }
}

/// Makes the span of a request that is over.
fn record(worker: &mut Worker, headers: &[u8], recording: &Recording) {
    let list = worker.expression.and_then(|expression| host::evaluate(expression).ok());
    let single;
    let properties = match list.as_deref().and_then(Properties::from_list) {
        Some(properties) => properties,
        None => {
            single = host::single_properties();
            Properties::from_single(&single)
        }
    };
    worker.scratch.clear();
    let direction = properties.number(Property::Direction).or(worker.direction);
    let exchange = Exchange {
        kind: worker.config.span_kind.resolve(direction),
        context: recording.context,
        parent: recording.parent.as_ref(),
        headers: &RequestHeaders::scan(headers),
        properties: &properties,
        now_ns: host::now_ns(),
    };
    exchange.write(&mut worker.scratch);
    worker.hand_over();
}

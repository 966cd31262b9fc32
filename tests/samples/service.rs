//! The sample service: any path answers 200, `/fail` answers 500, `/fail?status=400` answers 400.
//!
//! It joins the incoming `traceparent` and makes `process-request` → `validate-request`,
//! `process-business-logic`, `send-response`, with events, a link to the request before, and recorded errors.
//! A request that does not validate (400) has no business logic: three spans, else four.

use super::telemetry::Telemetry;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, Uri};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// The answer's header with the trace id as the service saw it (32 hex digits).
pub const TRACE_ID: &str = "x-trace-id";

/// The sample's spans in a trace whose request was answered with `status`.
pub fn spans_for(status: u16) -> usize {
    match status {
        400 => 3,
        _ => 4,
    }
}

/// Serves until `shutdown` resolves, then finishes the requests at hand.
pub async fn run(
    listener: TcpListener,
    telemetry: Telemetry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let tracer = telemetry.provider().tracer("sample");
    let service = Service { tracer, previous: Mutex::new(SpanContext::NONE), telemetry };
    let router = Router::new()
        .route("/telemetry", get(telemetry_so_far))
        .fallback(process)
        .with_state(Arc::new(service));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

struct Service {
    tracer: SdkTracer,
    previous: Mutex<SpanContext>,
    telemetry: Telemetry,
}

#[derive(Debug)]
enum Failure {
    Invalid(String),
    OutOfStock { wanted: i64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Invalid(path) => write!(f, "{path}: the order has no items"),
            Failure::OutOfStock { wanted } => write!(f, "out of stock: {wanted} wanted, 0 at hand"),
        }
    }
}

impl std::error::Error for Failure {}

/// `GET /telemetry`: what became of the spans so far.
async fn telemetry_so_far(State(service): State<Arc<Service>>) -> Response {
    Json(service.telemetry.spans()).into_response()
}

async fn process(State(service): State<Arc<Service>>, request: Request) -> Response {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
    let span = SpanBuilder::from_name("process-request")
        .with_kind(SpanKind::Server)
        .with_attributes(facts(&request));
    let span = service.tracer.build_with_context(span, &parent);
    let context = parent.with_span(span);
    context.span().add_event("request.received", size_of_headers(request.headers()));

    let result = service.handle(request.uri(), &context).await;
    let status = service.send_response(&result, &context);
    context.span().set_attribute(KeyValue::new("http.response.status_code", status_value(status)));
    if status.is_server_error() {
        context.span().set_status(Status::error(format!("answered {status}")));
    }
    let trace_id = context.span().span_context().trace_id().to_string();
    context.span().end();
    (status, [(TRACE_ID, trace_id)], format!("{status}\n")).into_response()
}

impl Service {
    async fn handle(&self, uri: &Uri, context: &Context) -> Result<(), Failure> {
        self.validate_request(uri, context)?;
        self.process_business_logic(uri, context).await
    }

    fn validate_request(&self, uri: &Uri, context: &Context) -> Result<(), Failure> {
        let mut span = self.tracer.start_with_context("validate-request", context);
        let rules = Array::String(vec![StringValue::from("items"), StringValue::from("address")]);
        span.set_attribute(KeyValue::new("validation.rules", Value::Array(rules)));
        let valid = !asks_for(uri, "400");
        span.set_attribute(KeyValue::new("validation.passed", valid));
        if valid {
            span.add_event("validation.passed", vec![KeyValue::new("validation.score", 0.75)]);
            return Ok(());
        }
        let failure = Failure::Invalid(uri.path().into());
        fail(&mut span, &failure);
        Err(failure)
    }

    async fn process_business_logic(&self, uri: &Uri, context: &Context) -> Result<(), Failure> {
        let mut span = self.tracer.start_with_context("process-business-logic", context);
        let previous = self.replace_previous(span.span_context().clone());
        if previous.is_valid() {
            span.add_link(previous, vec![KeyValue::new("link.reason", "the order before")]);
        }
        span.add_event("stock.reserved", vec![KeyValue::new("stock.left", 41)]);
        tokio::time::sleep(Duration::from_millis(2)).await;
        if !uri.path().starts_with("/fail") {
            return Ok(());
        }
        let failure = Failure::OutOfStock { wanted: 3 };
        fail(&mut span, &failure);
        Err(failure)
    }

    fn send_response(&self, result: &Result<(), Failure>, context: &Context) -> StatusCode {
        let mut span = self.tracer.start_with_context("send-response", context);
        let status = match result {
            Ok(()) => StatusCode::OK,
            Err(Failure::Invalid(_)) => StatusCode::BAD_REQUEST,
            Err(Failure::OutOfStock { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let fact = KeyValue::new("http.response.status_code", status_value(status));
        span.add_event("response.sent", vec![fact]);
        status
    }

    fn replace_previous(&self, current: SpanContext) -> SpanContext {
        let mut previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut previous, current)
    }
}

fn fail(span: &mut impl opentelemetry::trace::Span, failure: &Failure) {
    span.record_error(failure);
    span.set_status(Status::error(failure.to_string()));
}

/// Whether `/fail?status=…` asks for this status; `/fail` alone asks for 500.
fn asks_for(uri: &Uri, status: &str) -> bool {
    let wanted = uri.query().and_then(|query| query.strip_prefix("status=")).unwrap_or("500");
    uri.path().starts_with("/fail") && wanted == status
}

fn facts(request: &Request) -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", request.method().to_string()),
        KeyValue::new("url.path", request.uri().path().to_owned()),
        KeyValue::new("sample.note", "Grüße, 世界"),
    ]
}

fn size_of_headers(headers: &HeaderMap) -> Vec<KeyValue> {
    vec![KeyValue::new("http.request.headers", i64::try_from(headers.len()).unwrap_or(i64::MAX))]
}

fn status_value(status: StatusCode) -> i64 {
    i64::from(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{Behaviour, Sink, WireSpan};
    use crate::samples::driver::{Driver, Plan, Traceparent};
    use std::net::SocketAddr;

    async fn start(sink: &Sink) -> (SocketAddr, Telemetry) {
        let endpoint = format!("http://{}", sink.address());
        let telemetry = Telemetry::start(Some(&endpoint), None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(run(listener, telemetry.clone(), std::future::pending()));
        (address, telemetry)
    }

    fn of_trace(sink: &Sink, trace_id: &str) -> Vec<WireSpan> {
        sink.spans().into_iter().filter(|span| span.trace_id == trace_id).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_four_spans_join_the_clients_trace() {
        let sink = Sink::start().unwrap();
        let (address, telemetry) = start(&sink).await;

        let plan = Plan { failing_every: 2, ..Plan::of(20) };
        let answers = Driver::new(address).send_all(plan).await;
        let spans = telemetry.shutdown(Duration::from_secs(20)).await;

        assert!(answers.iter().all(|answer| answer.is_as_wanted()), "{answers:?}");
        assert_eq!(spans.held() + spans.failed, 0, "{spans:?}");
        for answer in &answers {
            let trace = of_trace(&sink, &answer.trace_id);
            assert_eq!(trace.len(), answer.spans() - 1, "{answer:?}");
            let root = trace.iter().find(|span| span.span.name == "process-request").unwrap();
            assert_eq!(Some(&root.parent_id), answer.client_span.as_ref());
            let children = trace.iter().filter(|span| span.parent_id == root.span_id);
            assert_eq!(children.count(), trace.len() - 1);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bridge_that_is_away_costs_no_request_and_no_span() {
        let mut sink = Sink::start().unwrap();
        let (address, telemetry) = start(&sink).await;
        sink.stop();

        let plan = Plan { traceparent: Traceparent::Never, ..Plan::of(40) };
        let answers = Driver::new(address).send_all(plan).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(telemetry.spans().exported, 0);
        sink.restart().unwrap();
        let spans = telemetry.shutdown(Duration::from_secs(20)).await;

        assert_eq!((spans.ended, spans.exported), (160, 160), "{spans:?}");
        assert_eq!(sink.counts().len(), 160);
        assert!(sink.counts().values().all(|times| *times == 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_final_refusal_is_counted_as_failed() {
        let sink = Sink::start().unwrap();
        sink.behave(Behaviour::Refuse(400));
        let (address, telemetry) = start(&sink).await;

        Driver::new(address).send_all(Plan::of(5)).await;
        let spans = telemetry.shutdown(Duration::from_secs(20)).await;

        assert_eq!((spans.ended, spans.failed), (20, 20), "{spans:?}");
        assert_eq!(sink.span_count(), 0);
    }
}

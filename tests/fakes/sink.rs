//! An OTLP destination in this process: it stores every span as it came, counts each id, and behaves as told.
//! One port speaks OTLP/HTTP protobuf and OTLP/gRPC. Stopping it closes the port and cuts every connection.

use super::grpc;
use super::wire::{WireSpan, spans_of};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use spanferry::otlp::count::count_spans;
use std::collections::HashMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const LARGEST_BODY_BYTES: usize = 64 << 20;

/// What the sink does with the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    /// Stores the spans and answers 200.
    Accept,
    /// Answers 200 and counts the spans, but keeps none: for loads that would fill the memory.
    Count,
    /// Waits, then accepts.
    Delay(Duration),
    /// Stores nothing; answers this HTTP status, or the gRPC code of the same meaning. 429 and 503 carry
    /// `Retry-After: 1` and are retryable, 400 is final.
    Refuse(u16),
    /// Stores the spans but the first `n`, and says so in `partial_success`.
    Partial(usize),
    /// Answers 200 without a word, and does not store the first `n` spans.
    LetFall(usize),
    /// Takes so many spans a second, and answers 429 to what is above.
    AtMost(u32),
    /// Stores nothing and never answers.
    Hang,
}

/// What takes a request behind the sink, and its HTTP status.
pub type Behind = Box<dyn Fn(Bytes) -> BoxFuture<'static, StatusCode> + Send + Sync>;

/// A destination that can be told how to behave, and be stopped and started on the same port.
pub struct Sink {
    address: SocketAddr,
    store: Arc<Store>,
    running: Option<Running>,
}

/// Tells a sink how to behave, from elsewhere.
#[derive(Clone)]
pub struct Control(Arc<Store>);

impl Control {
    /// Behaves so from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.0.behaviour) = behaviour;
    }

    /// Takes out the spans stored since the last time.
    pub fn take_spans(&self) -> Vec<WireSpan> {
        std::mem::take(&mut *lock(&self.0.spans))
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

struct Store {
    behaviour: Mutex<Behaviour>,
    spans: Mutex<Vec<WireSpan>>,
    counted: Mutex<u64>,
    requests: Mutex<u64>,
    pushed_back: Mutex<u64>,
    /// What may come now, and when that was reckoned.
    room: Mutex<(f64, Instant)>,
    behind: OnceLock<Behind>,
}

impl Sink {
    /// Starts one that accepts, on a free loopback port.
    pub fn start() -> Result<Sink> {
        let store = Store {
            behaviour: Mutex::new(Behaviour::Accept),
            spans: Mutex::default(),
            counted: Mutex::default(),
            requests: Mutex::default(),
            pushed_back: Mutex::default(),
            room: Mutex::new((0.0, Instant::now())),
            behind: OnceLock::new(),
        };
        let mut sink = Sink {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            store: Arc::new(store),
            running: None,
        };
        sink.restart()?;
        Ok(sink)
    }

    /// Opens the port again after `stop`; what was stored stays. Does nothing while it runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = listen(self.address)?;
        self.address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let store = self.store.clone();
        let thread = std::thread::spawn(move || serve(listener, store, stopped));
        self.running = Some(Running { stop, thread });
        Ok(())
    }

    /// Closes the port and cuts every connection, as a killed process does. Does nothing while stopped.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            let _ = running.thread.join();
        }
    }

    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for OTLP/gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL for OTLP/HTTP.
    pub fn http_url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// Behaves so from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.store.behaviour) = behaviour;
    }

    /// Hands what it takes on to `behind`, whose answer is its own: it stores what that took. Said once.
    pub fn stand_before(&self, behind: Behind) {
        let _ = self.store.behind.set(behind);
    }

    /// A handle by which another task says how it behaves.
    pub fn control(&self) -> Control {
        Control(self.store.clone())
    }

    /// Takes out the spans stored since the last time, so that a long run needs no room for all of them.
    pub fn take_spans(&self) -> Vec<WireSpan> {
        std::mem::take(&mut *lock(&self.store.spans))
    }

    /// Every span stored, repeats included, in order of arrival.
    pub fn spans(&self) -> Vec<WireSpan> {
        lock(&self.store.spans).clone()
    }

    /// How many spans were stored, repeats included.
    pub fn span_count(&self) -> usize {
        lock(&self.store.spans).len()
    }

    /// How many spans were counted and not stored.
    pub fn counted(&self) -> u64 {
        *lock(&self.store.counted)
    }

    /// How often each (trace id, span id) was stored.
    pub fn counts(&self) -> HashMap<(String, String), usize> {
        let mut counts = HashMap::new();
        for span in lock(&self.store.spans).iter() {
            *counts.entry((span.trace_id.clone(), span.span_id.clone())).or_default() += 1;
        }
        counts
    }

    /// How many requests were answered 429 since they were too much.
    pub fn pushed_back(&self) -> u64 {
        *lock(&self.store.pushed_back)
    }

    /// How many requests came in, whatever was answered.
    pub fn requests(&self) -> u64 {
        *lock(&self.store.requests)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A listener that may take a port again at once after its last owner closed it.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let listener =
        std::net::TcpListener::bind(address).with_context(|| format!("sink at {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Runs until told to stop. The runtime is the server's own: dropping it drops every connection.
fn serve(listener: std::net::TcpListener, store: Arc<Store>, stopped: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async move {
        let router = Router::new()
            .route("/v1/traces", post(over_http))
            .route(grpc::EXPORT, post(over_grpc))
            .with_state(store);
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn over_http(State(store): State<Arc<Store>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(body) = inflate(&head.headers, body) else {
        return (StatusCode::BAD_REQUEST, "bad gzip").into_response();
    };
    match store.take(body).await {
        Ok(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/x-protobuf")];
            (kind, answer.encode_to_vec()).into_response()
        }
        Err(status) => (status, [(header::RETRY_AFTER, "1")]).into_response(),
    }
}

async fn over_grpc(State(store): State<Arc<Store>>, request: Request) -> Response {
    let answer = |body| async move {
        let answer = store.take(body).await.map_err(grpc_status)?;
        Ok(Bytes::from(answer.encode_to_vec()))
    };
    grpc::unary(request, Box::new(move |body| Box::pin(answer(body)))).await
}

/// The gRPC code that means what the HTTP status means.
fn grpc_status(status: StatusCode) -> tonic::Status {
    let text = format!("told to answer {status}");
    match status.as_u16() {
        400 => tonic::Status::invalid_argument(text),
        429 => tonic::Status::resource_exhausted(text),
        502..=504 => tonic::Status::unavailable(text),
        _ => tonic::Status::internal(text),
    }
}

fn inflate(headers: &HeaderMap, body: Bytes) -> std::io::Result<Bytes> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding != "gzip") {
        return Ok(body);
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
    Ok(plain.into())
}

impl Store {
    /// Whether a request may come now; a large one is paid for afterwards.
    fn has_room(&self, rate: u32, spans: usize) -> bool {
        let mut room = lock(&self.room);
        let rate = f64::from(rate);
        let more = room.1.elapsed().as_secs_f64() * rate;
        *room = ((room.0 + more).min(rate), Instant::now());
        let has_room = room.0 > 0.0;
        if has_room {
            room.0 -= spans as f64;
        }
        has_room
    }

    async fn hand_on(&self, body: Bytes) -> Result<(), StatusCode> {
        let Some(behind) = self.behind.get() else { return Ok(()) };
        let status = behind(body).await;
        if status.is_success() { Ok(()) } else { Err(status) }
    }

    /// Does with one request what the behaviour says.
    async fn take(&self, body: Bytes) -> Result<ExportTraceServiceResponse, StatusCode> {
        *lock(&self.requests) += 1;
        let behaviour = *lock(&self.behaviour);
        if behaviour == Behaviour::Count {
            let spans = count_spans(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
            *lock(&self.counted) += spans;
            return Ok(ExportTraceServiceResponse::default());
        }
        let spans = spans_of(body.clone()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let (mut rejected, mut fallen) = (0, 0);
        match behaviour {
            Behaviour::Accept | Behaviour::Count => {}
            Behaviour::Delay(time) => tokio::time::sleep(time).await,
            Behaviour::Refuse(status) => {
                return Err(StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT));
            }
            Behaviour::Partial(n) => rejected = n.min(spans.len()),
            Behaviour::AtMost(rate) if !self.has_room(rate, spans.len()) => {
                *lock(&self.pushed_back) += 1;
                return Err(StatusCode::TOO_MANY_REQUESTS);
            }
            Behaviour::AtMost(_) => {}
            Behaviour::LetFall(n) => fallen = n.min(spans.len()),
            Behaviour::Hang => std::future::pending().await,
        }
        self.hand_on(body).await?;
        lock(&self.spans).extend(spans.into_iter().skip(rejected + fallen));
        let partial = ExportTracePartialSuccess {
            rejected_spans: rejected as i64,
            error_message: "told to reject".into(),
        };
        Ok(ExportTraceServiceResponse { partial_success: (rejected > 0).then_some(partial) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

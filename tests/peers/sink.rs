//! A destination that is never the bottleneck: it walks each request to its trace ids, and notes when the last span of each
//! request of a load has come. OTLP/HTTP and OTLP/gRPC on one port, in a thread of its own.

use crate::corpus::{Corpus, Extent, number_of};
use crate::walk::trace_ids;
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{StatusCode, header};
use spanferry_tests::fakes::grpc;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const LARGEST_BODY_BYTES: usize = 64 << 20;
/// For a process to join its group, and for a backlog to be drained.
const LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(2);

/// A running sink. Dropping it ends it.
pub struct Sink {
    address: SocketAddr,
    held: Arc<Held>,
    end: CancellationToken,
}

#[derive(Default)]
struct Held(Mutex<Arrivals>);

#[derive(Default)]
struct Arrivals {
    first: u64,
    /// By place in the load: spans that have not come yet.
    left: Vec<i64>,
    whole_at: Vec<Option<Instant>>,
    seen: Seen,
}

/// What has come of the load that is awaited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Spans, repeats included.
    pub spans: u64,
    /// Requests of the load whose spans have all come.
    pub whole: u64,
    /// Spans beyond those that were sent: repeats, or of no request of this load.
    pub extra: u64,
    /// Bodies that were no OTLP.
    pub broken: u64,
    /// When the first span came, and how many came with it.
    pub first: Option<(Instant, u64)>,
    /// When the last span came.
    pub last: Option<Instant>,
}

impl Sink {
    /// Starts one on a free loopback port.
    pub fn start() -> Result<Sink> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (held, end) = (Arc::new(Held::default()), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (state, ended) = (held.clone(), end.clone());
        let name = "sink".to_owned();
        std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = serve(listener, state) => {}
                    () = ended.cancelled() => {}
                }
            });
        })?;
        Ok(Sink { address, held, end })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on notes the requests of this load, whose first has this number, and nothing of what came before.
    pub fn await_load(&self, first: u64, corpus: &Corpus, extent: &Extent) {
        let places = 0..extent.requests;
        let left: Vec<i64> = places.map(|place| corpus.body(place).spans() as i64).collect();
        let whole_at = vec![None; left.len()];
        *self.held.lock() = Arrivals { first, left, whole_at, seen: Seen::default() };
    }

    /// When the last span of a request had come; `None` while one is missing.
    pub fn whole_at(&self, place: u64) -> Option<Instant> {
        self.held.lock().whole_at.get(place as usize).copied().flatten()
    }

    /// Waits until what has come is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let begin = Instant::now();
        loop {
            let seen = self.seen();
            if holds(&seen) {
                return Ok(seen);
            }
            ensure!(begin.elapsed() < LIMIT, "waited {LIMIT:?} in vain for {what}: {seen:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What has come so far.
    pub fn seen(&self) -> Seen {
        self.held.lock().seen
    }
}

impl Seen {
    /// An error unless each span of the load came once, and nothing else.
    pub fn exactly(&self, extent: &Extent) -> Result<()> {
        let clean = self.extra == 0 && self.broken == 0;
        ensure!(clean && self.spans == extent.spans, "{self:?} of {extent:?}");
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, body: &[u8]) -> Result<()> {
        let mut arrivals = self.lock();
        let now = Instant::now();
        let before = arrivals.seen.spans;
        let walked = trace_ids(body, |id| arrivals.note(number_of(&body[id]), now));
        arrivals.seen.last = Some(now);
        let came = arrivals.seen.spans - before;
        arrivals.seen.first.get_or_insert((now, came));
        if walked.is_err() {
            arrivals.seen.broken += 1;
        }
        walked
    }
}

impl Arrivals {
    fn note(&mut self, number: u64, now: Instant) {
        self.seen.spans += 1;
        let place = number.wrapping_sub(self.first) as usize;
        let Some(left) = self.left.get_mut(place) else {
            self.seen.extra += 1;
            return;
        };
        *left -= 1;
        match *left {
            0 => {
                self.whole_at[place] = Some(now);
                self.seen.whole += 1;
            }
            ..0 => self.seen.extra += 1,
            _ => {}
        }
    }
}

async fn serve(listener: std::net::TcpListener, held: Arc<Held>) -> Result<()> {
    let router = Router::new()
        .route("/v1/traces", post(over_http))
        .route(grpc::EXPORT, post(over_grpc))
        .with_state(held);
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
        // A loopback connection that is gone already needs no delay either.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.context("the sink")
}

async fn over_http(State(held): State<Arc<Held>>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), LARGEST_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match held.take(&body) {
        Ok(()) => [(header::CONTENT_TYPE, "application/x-protobuf")].into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}

async fn over_grpc(State(held): State<Arc<Held>>, request: Request) -> Response {
    let answer = move |body: Bytes| async move {
        let taken = held.take(&body);
        taken.map_err(|error| tonic::Status::invalid_argument(format!("{error:#}")))?;
        Ok(Bytes::new())
    };
    grpc::unary(request, Box::new(move |body| Box::pin(answer(body)))).await
}

//! The bridge's sockets: connections within their bound, and an end that answers what was begun.

use super::intake::Intake;
use super::metrics::Metrics;
use super::receive::router;
use super::settings::Settings;
use super::spool::{self, Spool};
use crate::log::{Log, LogError};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// After a failed accept (too many open files), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest frame of HTTP/2 that a sender may write. The default of 16 KiB would cut a request into a hundred, each with its
/// own turn through the connection's state.
const FRAME_BYTES: u32 = 256 << 10;

/// What is read of a connection of HTTP/1 at a time. By default it grows to 400 KiB, which each connection keeps.
const READ_BYTES: usize = 64 << 10;

/// A connection that is silent for so long is closed, or asked whether it lives; longer than senders' pauses.
const IDLE: Duration = Duration::from_secs(75);

/// Where the bridge listens; bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// OTLP/HTTP.
    pub http: Option<TcpListener>,
    /// OTLP/gRPC.
    pub grpc: Option<TcpListener>,
}

/// Why the bridge did not end well.
#[derive(Debug, Error)]
pub enum BridgeError {
    /// What the log had taken was not acknowledged in time.
    #[error(
        "{records} records ({bytes} bytes) were not acknowledged within {seconds} s; their senders were told to retry"
    )]
    NotFlushed {
        /// Records.
        records: usize,
        /// Bytes.
        bytes: usize,
        /// The time given.
        seconds: u64,
    },
    /// The spool cannot be read any more.
    #[error("spool: {0}")]
    Spool(#[from] LogError),
}

/// Serves until `shutdown`; then takes no more, answers what was begun, and waits for the log's acknowledgements, each
/// within `drain_timeout`. With a spool, what the log has not acknowledged by then waits there.
pub async fn run(
    listeners: Listeners,
    log: Arc<dyn Log>,
    dead_letters: Arc<dyn Log>,
    settings: Settings,
    metrics: Arc<Metrics>,
    spool: Option<Arc<Spool>>,
    shutdown: CancellationToken,
) -> Result<(), BridgeError> {
    let pump = spool.as_ref().map(|spool| Pumping::start(spool, &shutdown));
    let drain_timeout = settings.drain_timeout;
    let connections =
        Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let intake = Arc::new(Intake::new(log.clone(), dead_letters, settings, metrics, spool));
    let graceful = Arc::new(GracefulShutdown::new());
    let app = router(intake.clone());
    let listen = |listener: Option<TcpListener>| {
        let door = Door {
            app: app.clone(),
            connections: connections.clone(),
            intake: intake.clone(),
            graceful: graceful.clone(),
        };
        let shutdown = shutdown.clone();
        async move {
            if let Some(listener) = listener {
                tokio::select! { () = door.serve(listener) => (), () = shutdown.cancelled() => () }
            }
        }
    };
    tokio::join!(listen(listeners.http), listen(listeners.grpc));
    shutdown.cancelled().await;
    // The listeners are gone, and with them every other holder.
    if let Some(graceful) = Arc::into_inner(graceful)
        && tokio::time::timeout(drain_timeout, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("connections were still open at the end of the drain time-out");
    }
    if let Some(pump) = pump {
        return Ok(pump.end(drain_timeout).await?);
    }
    match tokio::time::timeout(drain_timeout, intake.flush()).await {
        Ok(Ok(())) => Ok(()),
        _ => {
            let queue = log.queue();
            let seconds = drain_timeout.as_secs();
            Err(BridgeError::NotFlushed { records: queue.records, bytes: queue.bytes, seconds })
        }
    }
}

/// The spool's pump while the bridge runs.
struct Pumping {
    spool: Arc<Spool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), LogError>>,
}

impl Pumping {
    /// Pumps until `end`. A pump that fails ends the bridge.
    fn start(spool: &Arc<Spool>, shutdown: &CancellationToken) -> Self {
        let (stop, shutdown) = (CancellationToken::new(), shutdown.clone());
        let pump = spool::pump(spool.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let ended = pump.await;
            if let Err(error) = &ended {
                tracing::error!(%error, "the spool cannot be read: the bridge ends");
                shutdown.cancel();
            }
            ended
        });
        Self { spool: spool.clone(), stop, task }
    }

    /// Lets what is on its way come to its place, and ends.
    async fn end(self, limit: Duration) -> Result<(), LogError> {
        let _ = tokio::time::timeout(limit, self.spool.landed()).await;
        self.stop.cancel();
        let ended = self.task.await;
        tracing::info!(waiting = self.spool.waiting(), "the spool is closed");
        ended.unwrap_or_else(|error| {
            let what = "the pump".to_owned();
            Err(LogError::Fatal { what, detail: error.to_string() })
        })
    }
}

/// What a listener needs for its connections.
struct Door {
    app: Router,
    connections: Arc<Semaphore>,
    intake: Arc<Intake>,
    graceful: Arc<GracefulShutdown>,
}

impl Door {
    async fn serve(&self, listener: TcpListener) {
        loop {
            // Never closed, so this cannot fail; if it did, nobody more would be let in.
            let Ok(place) = self.connections.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => self.connect(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connect(&self, stream: TcpStream, place: tokio::sync::OwnedSemaphorePermit) {
        let _ = stream.set_nodelay(true);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(READ_BYTES);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).keep_alive_interval(Some(IDLE));
        http2.max_frame_size(FRAME_BYTES);
        let service = TowerToHyperService::new(self.app.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let watched = self.graceful.watch(connection);
        let open = self.intake.metrics.connections.clone();
        open.inc();
        tokio::spawn(async move {
            // Whatever ended it, the sender knows which of its requests were answered.
            if let Err(error) = watched.await {
                tracing::debug!(error, "a connection ended");
            }
            open.dec();
            drop(place);
        });
    }
}

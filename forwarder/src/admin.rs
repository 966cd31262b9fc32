//! The operators' port: `/livez`, `/readyz`, `/metrics`, `/ledger` and `/written`. It serves no telemetry and asks nothing of the
//! data path.

use crate::audit::Report;
use crate::ledger::Written;
use crate::log::LogError;
use async_trait::async_trait;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A probe waits this long for the answer of what it asks.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The content type that Prometheus asks for (OpenMetrics 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a role can do its work now.
#[async_trait]
pub trait Ready: Send + Sync {
    /// `Err` says what is missing, in a line.
    async fn ready(&self) -> Result<(), String>;

    /// What somebody should know of a part that is ready all the same, a line each.
    fn note(&self) -> Option<String> {
        None
    }
}

/// The ledger of a role that reads the log.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The report, with the table of sources if it is asked for.
    async fn report(&self, with_sources: bool) -> Result<Report, LogError>;
}

/// What the port shows.
#[derive(Clone)]
pub struct Admin {
    /// The metrics of every part of this process.
    pub registry: Arc<Registry>,
    /// The probe behind `/readyz`.
    pub ready: Arc<dyn Ready>,
    /// Called before each `/metrics` answer, for gauges that are computed.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// Behind `/ledger`; a bridge has none, since it does not know what becomes of its records.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Behind `/written`; a forwarder has none, since it writes nothing.
    pub written: Option<Arc<Said>>,
}

/// What a bridge says of its writers now.
pub type Said = dyn Fn() -> Written + Send + Sync;

/// Serves until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/ledger", get(ledger))
        .route("/written", get(written))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let missing = match tokio::time::timeout(READY_WITHIN, admin.ready.ready()).await {
        Ok(Ok(())) => {
            let note = admin.ready.note().map(|note| format!(": {note}")).unwrap_or_default();
            return format!("ok{note}\n").into_response();
        }
        Ok(Err(missing)) => missing,
        Err(_) => format!("no answer within {} s", READY_WITHIN.as_secs()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, missing + "\n").into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    (admin.refresh)();
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ledger(State(admin): State<Admin>, uri: Uri) -> Response {
    let Some(ledger) = &admin.ledger else {
        let text = "a bridge has no ledger: ask a forwarder, or `spanferry ledger --log …`\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let with_sources = uri.query() == Some("sources=true");
    match ledger.report(with_sources).await {
        Ok(report) => json(&report),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn written(State(admin): State<Admin>) -> Response {
    match &admin.written {
        Some(said) => json(&said()),
        None => (StatusCode::NOT_FOUND, "this role writes no records\n").into_response(),
    }
}

fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    struct AlwaysReady;

    #[async_trait]
    impl Ready for AlwaysReady {
        async fn ready(&self) -> Result<(), String> {
            Ok(())
        }
    }

    struct Missing;

    #[async_trait]
    impl Ready for Missing {
        async fn ready(&self) -> Result<(), String> {
            Err("kafka:9092 is out of reach".into())
        }
    }

    async fn get(ready: Arc<dyn Ready>, path: &str) -> (StatusCode, String) {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        registry.register("traces_sent", "Records acknowledged", counter.clone());
        let refresh = Arc::new(move || {
            counter.inc();
        });
        let app = router(Admin {
            registry: Arc::new(registry),
            ready,
            refresh,
            ledger: None,
            written: None,
        });
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(app, request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_missing_is_said_by_readyz_and_does_not_end_livez() {
        let (status, text) = get(Arc::new(Missing), "/readyz").await;
        assert_eq!((status.as_u16(), text.as_str()), (503, "kafka:9092 is out of reach\n"));
        assert_eq!(get(Arc::new(Missing), "/livez").await.0, StatusCode::OK);
        assert_eq!(get(Arc::new(AlwaysReady), "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_fresh_and_named_as_counters() {
        let (status, text) = get(Arc::new(AlwaysReady), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("traces_sent_total 1"), "{text}");
    }
}

//! The sample's OpenTelemetry SDK: OTLP/HTTP protobuf, small batches, and a retry that outlasts an outage.
//!
//! The SDK keeps a batch only as long as its exporter retries, and drops spans when its queue is full; by
//! default that is three retries. Here the exporter retries for `PATIENCE`, and every span is counted:
//! ended = exported + failed + still waiting or dropped. A request never waits for any of it.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, SpanExporter as OtlpExporter};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
    SpanProcessor,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the exporter keeps one batch before it gives up.
const PATIENCE: Duration = Duration::from_secs(300);
/// One attempt's deadline.
const ATTEMPT: Duration = Duration::from_secs(10);
const SPANS_IN_QUEUE: usize = 65_536;
const SPANS_IN_BATCH: usize = 512;
const BATCH_DELAY: Duration = Duration::from_millis(100);

/// The SDK's provider and what became of its spans.
#[derive(Clone)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
}

/// What became of the spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spans {
    /// Spans that ended and were sampled.
    pub ended: u64,
    /// Spans in batches that the bridge answered 200 for.
    pub exported: u64,
    /// Spans in batches that the exporter gave up.
    pub failed: u64,
}

impl Spans {
    /// Spans neither exported nor given up: waiting in the SDK, or, after its end, dropped by it.
    pub fn held(&self) -> u64 {
        self.ended.saturating_sub(self.exported + self.failed)
    }
}

/// Bodies that were answered with 200, for tests that compare them with what arrived.
pub type Kept = Arc<Mutex<Vec<Bytes>>>;

impl Telemetry {
    /// Starts the SDK. `endpoint` is the bridge's base URL; without it `OTEL_EXPORTER_OTLP_ENDPOINT` counts. Must be
    /// called inside a Tokio runtime, which then carries the exporter's connections.
    pub fn start(endpoint: Option<&str>, kept: Option<Kept>) -> Result<Telemetry> {
        let client = HyperClient::with_default_connector(ATTEMPT, None);
        let outlet = Outlet { client, runtime: Handle::current(), kept };
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(outlet)
            .with_retry_policy(patient())
            .with_timeout(PATIENCE);
        if let Some(endpoint) = endpoint {
            exporter = exporter.with_endpoint(format!("{endpoint}/v1/traces"));
        }
        let exporter = exporter.build().context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        let counts = Arc::new(Counts::default());
        let counted = CountedExporter { exporter, counts: counts.clone() };
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(service_name()).build())
            .with_span_processor(CountEnded(counts.clone()))
            .with_span_processor(batches(counted))
            .build();
        Ok(Telemetry { provider, counts })
    }

    /// The provider, for tracers.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// What became of the spans so far.
    pub fn spans(&self) -> Spans {
        Spans {
            ended: self.counts.ended.load(Ordering::Acquire),
            exported: self.counts.exported.load(Ordering::Acquire),
            failed: self.counts.failed.load(Ordering::Acquire),
        }
    }

    /// Sends what waits and ends the SDK, for at most `limit`. Says what became of the spans.
    pub async fn shutdown(self, limit: Duration) -> Spans {
        let provider = self.provider.clone();
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        let _ = tokio::time::timeout(limit, ended).await;
        self.spans()
    }
}

/// `OTEL_SERVICE_NAME`, else `sample`.
fn service_name() -> String {
    std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "sample".into())
}

fn patient() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(usize::MAX)
        .with_initial_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1))
}

fn batches(exporter: CountedExporter) -> BatchSpanProcessor {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_IN_QUEUE)
        .with_max_export_batch_size(SPANS_IN_BATCH)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    BatchSpanProcessor::builder(exporter).with_batch_config(config).build()
}

/// The exporter's way out: the SDK calls it on a thread of its own, the connection lives on the runtime.
#[derive(Debug)]
struct Outlet {
    client: HyperClient,
    runtime: Handle,
    kept: Option<Kept>,
}

#[async_trait]
impl HttpClient for Outlet {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let body = request.body().clone();
        let client = self.client.clone();
        let answer = self.runtime.spawn(async move { client.send_bytes(request).await }).await??;
        if let Some(kept) = self.kept.as_ref().filter(|_| answer.status().is_success()) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        }
        Ok(answer)
    }
}

#[derive(Debug)]
struct CountedExporter {
    exporter: OtlpExporter,
    counts: Arc<Counts>,
}

impl SpanExporter for CountedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        let counter = if result.is_ok() { &self.counts.exported } else { &self.counts.failed };
        counter.fetch_add(spans, Ordering::AcqRel);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[derive(Debug)]
struct CountEnded(Arc<Counts>);

impl SpanProcessor for CountEnded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.ended.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

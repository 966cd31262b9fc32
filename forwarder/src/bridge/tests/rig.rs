//! A bridge on a real socket, before a log that does as it is told.

use super::super::*;
use crate::forward::{Destination, ExportSettings, Outcome, Request, connect};
use crate::ledger::{STAMP_HEADER, Stamp};
use crate::log::double::Double;
use crate::otlp::rpc_status::RpcStatus;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::Client;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// Spans, each of the trace of its number; 0 makes a span without a trace id.
pub fn request(traces: &[u8]) -> Vec<u8> {
    let span = |trace: &u8| Span {
        trace_id: if *trace == 0 { Vec::new() } else { vec![*trace; 16] },
        name: "x".repeat(20),
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: traces.iter().map(span).collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
    .encode_to_vec()
}

pub struct Rig {
    pub log: Arc<Double>,
    pub letters: Arc<Double>,
    pub metrics: Arc<Metrics>,
    pub address: SocketAddr,
    pub client: Client,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), BridgeError>>,
}

pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

impl Answer {
    pub fn message(&self) -> String {
        RpcStatus::decode(self.body.clone()).unwrap().message
    }
}

impl Rig {
    pub async fn start(settings: Settings) -> Self {
        Self::start_on(settings, Double::new("traces", 8)).await
    }

    pub async fn start_on(settings: Settings, log: Arc<Double>) -> Self {
        Self::start_before(settings, log, None).await
    }

    /// With a spool of so many bytes in this directory.
    pub async fn start_with_spool(
        settings: Settings,
        log: Arc<Double>,
        path: &Path,
        bytes: u64,
    ) -> Self {
        let spool = SpoolSettings {
            path: path.into(),
            bytes,
            after: Duration::from_millis(50),
            max_request_bytes: settings.max_request_bytes,
            record: settings.record,
            max_bytes_in_flight: settings.max_bytes_in_flight,
        };
        Self::start_before(settings, log, Some(spool)).await
    }

    async fn start_before(
        settings: Settings,
        log: Arc<Double>,
        spool: Option<SpoolSettings>,
    ) -> Self {
        let letters = Double::new("traces.dlq", 1);
        let metrics =
            Arc::new(Metrics::register(&mut prometheus_client::registry::Registry::default()));
        let open = |spool: SpoolSettings| {
            Spool::open(&spool, log.clone(), letters.clone(), metrics.clone()).unwrap()
        };
        let spool = spool.map(open);
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = http.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let listeners = Listeners { http: Some(http), grpc: None };
        let (running_log, token) = (log.clone(), shutdown.clone());
        let running =
            run(listeners, running_log, letters.clone(), settings, metrics.clone(), spool, token);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { log, letters, metrics, address, client, shutdown, task: tokio::spawn(running) }
    }

    pub async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request =
            self.client.post(format!("http://{}/v1/traces", self.address)).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let retry_after =
            answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        Answer { status, retry_after, body: answer.bytes().await.unwrap() }
    }

    pub async fn grpc(&self, body: Vec<u8>) -> Outcome {
        let destination = Destination::parse(&format!("http://{}", self.address), "grpc").unwrap();
        let settings = ExportSettings { request_timeout: Duration::from_secs(30) };
        let request = Request { bytes: body.len(), spans: 0, chunks: vec![body.into()] };
        connect(&destination, &settings).unwrap().export(&request).await
    }

    pub fn stamps(&self) -> Vec<Stamp> {
        let stamp = |placed: &crate::log::Placed| {
            Stamp::decode(placed.record.header(STAMP_HEADER).unwrap().clone()).unwrap()
        };
        self.log.records().iter().map(stamp).collect()
    }
}

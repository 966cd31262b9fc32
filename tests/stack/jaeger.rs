//! Real Jaeger v2: OTLP in, its query API out. The same ports and the same storage after a restart.

mod answer;

use super::process::Process;
use super::wait::eventually;
use super::{http, parts, ports};
use crate::traces::Seen;
use ::http::StatusCode;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Where Jaeger keeps its spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    /// In memory: a repeat shows as a second span. Gone with the process.
    Memory,
    /// On disk (badger), written before the answer: survives the process. A repeat overwrites.
    Disk,
    /// On disk, with the settings that we ship: deploy/jaeger.yaml.
    Shipped,
}

/// What we ship.
const SHIPPED: &str = include_str!("../../deploy/jaeger.yaml");

/// A Jaeger, running or stopped.
pub struct Jaeger {
    directory: PathBuf,
    storage: Storage,
    otlp_grpc: u16,
    otlp_http: u16,
    query: u16,
    telemetry: u16,
    topic: Option<Topic>,
    process: Option<Process>,
}

/// What an ingester reads.
struct Topic {
    brokers: String,
    name: String,
}

impl Jaeger {
    fn prepare(directory: &Path, storage: Storage, topic: Option<Topic>) -> Result<Jaeger> {
        let directory = directory.join("jaeger");
        std::fs::create_dir_all(&directory)?;
        let jaeger = Jaeger {
            directory,
            storage,
            otlp_grpc: ports::free()?,
            otlp_http: ports::free()?,
            query: ports::free()?,
            telemetry: ports::free()?,
            topic,
            process: None,
        };
        let settings = match storage {
            Storage::Shipped => SHIPPED.to_owned(),
            _ => jaeger.settings()?.to_string(),
        };
        std::fs::write(jaeger.configuration(), settings)?;
        Ok(jaeger)
    }

    /// Starts one on free ports; its configuration, log and data go to `directory`.
    pub async fn start(directory: &Path, storage: Storage) -> Result<Jaeger> {
        let mut jaeger = Jaeger::prepare(directory, storage, None)?;
        jaeger.restart().await?;
        Ok(jaeger)
    }

    /// Starts one that reads OTLP protobuf from a Kafka topic too, as the OpenTelemetry Collector does: the receiver
    /// is the collector's own.
    pub async fn ingester(directory: &Path, brokers: &str, topic: &str) -> Result<Jaeger> {
        let topic = Topic { brokers: brokers.into(), name: topic.into() };
        let mut jaeger = Jaeger::prepare(directory, Storage::Memory, Some(topic))?;
        jaeger.restart().await?;
        Ok(jaeger)
    }

    /// Starts it and waits until its query API answers. Does nothing while it runs.
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = Command::new(parts::jaeger()?);
        command.arg("--config").arg(self.configuration()).current_dir(&self.directory);
        // The shipped settings are told their places so; the others do not ask.
        command.env("JAEGER_DATA", &self.directory);
        for (variable, port) in [
            ("JAEGER_OTLP_GRPC_PORT", self.otlp_grpc),
            ("JAEGER_OTLP_HTTP_PORT", self.otlp_http),
            ("JAEGER_QUERY_PORT", self.query),
            ("JAEGER_HEALTH_PORT", self.telemetry),
        ] {
            command.env(variable, port.to_string());
        }
        let mut process = Process::start("jaeger", &mut command, &self.directory)?;
        let url = format!("{}/api/services", self.query_url());
        let up = eventually("Jaeger's query API", START, async || {
            ensure!(process.is_running(), "it ended");
            Ok((http::get(&url).await?.0 == StatusCode::OK).then_some(()))
        });
        up.await.with_context(|| process.tail())?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<Option<ExitStatus>> {
        match self.process.take() {
            Some(mut process) => Ok(Some(process.terminate(STOP).await?)),
            None => Ok(None),
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// The URL for OTLP/gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp_grpc)
    }

    /// The URL for OTLP/HTTP.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/traces", self.otlp_http)
    }

    /// The query API's base, which is also the page for a browser.
    pub fn query_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.query)
    }

    /// The spans of a trace, repeats included; none when Jaeger does not know the trace.
    pub async fn trace(&self, trace_id: &str) -> Result<Vec<Seen>> {
        // raw_traces: without it Jaeger drops repeats before it answers.
        let url = format!("{}/api/v3/traces/{trace_id}?raw_traces=true", self.query_url());
        let (status, body) = http::get(&url).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        ensure!(status == StatusCode::OK, "{url}: {status}: {}", String::from_utf8_lossy(&body));
        answer::spans(&body).with_context(|| url)
    }

    /// Spans that this process took in over OTLP since its start, repeats included.
    pub async fn received_spans(&self) -> Result<u64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.telemetry);
        let (_, body) = http::get(&url).await?;
        let metrics = super::metrics::Metrics::parse(&String::from_utf8_lossy(&body));
        Ok(metrics.sum("otelcol_receiver_accepted_spans") as u64)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join(match self.storage {
            Storage::Shipped => "jaeger.yaml",
            _ => "jaeger.json",
        })
    }

    /// No batch processor and no queue: Jaeger's 200 means stored.
    fn settings(&self) -> Result<serde_json::Value> {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let backend = match self.storage {
            Storage::Memory => json!({"memory": {"max_traces": 100_000}}),
            Storage::Disk | Storage::Shipped => json!({"badger": {
                "directories": {"keys": self.directory.join("keys"), "values": self.directory.join("values")},
                "ephemeral": false,
                "consistency": true,
                "ttl": {"spans": "48h"},
            }}),
        };
        let reader = json!({"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": self.telemetry}}}});
        let mut receivers = json!({"otlp": {"protocols": {
            "grpc": {"endpoint": at(self.otlp_grpc)}, "http": {"endpoint": at(self.otlp_http)},
        }}});
        let mut sources = vec!["otlp"];
        if let Some(topic) = &self.topic {
            sources.push("kafka");
            receivers["kafka"] = json!({
                "brokers": [topic.brokers],
                "group_id": "ingester",
                "initial_offset": "earliest",
                "traces": {"topic": topic.name, "encoding": "otlp_proto"},
            });
        }
        Ok(json!({
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {
                    "receivers": sources, "processors": [], "exporters": ["jaeger_storage_exporter"],
                }},
                "telemetry": {"metrics": {"level": "normal", "readers": [reader]}, "logs": {"level": "warn"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {"spans": backend}},
                "jaeger_query": {
                    "storage": {"traces": "spans"},
                    "http": {"endpoint": at(self.query)},
                    "grpc": {"endpoint": at(ports::free()?)},
                },
            },
            "receivers": receivers,
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "spans"}},
        }))
    }
}

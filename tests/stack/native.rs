//! Envoy's own OpenTelemetry tracer in the place of the filter: same binary, same routes, same cluster for the spans.

use super::bootstrap::Bootstrap;
use anyhow::Result;
use serde_json::{Value, json};

/// The cluster of the collector, which is the bridge's in the shared configuration.
const CLUSTER: &str = "spanferry_bridge";

/// How the tracer exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exporter {
    /// OTLP/gRPC, Envoy's default in its own examples.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// Takes the filter out and puts the tracer in, tracing every request. `provider` and `tracing` are merged into
/// `envoy.config.trace.v3.OpenTelemetryConfig` and into `HttpConnectionManager.Tracing`.
pub fn trace(
    bootstrap: &mut Bootstrap,
    exporter: Exporter,
    provider: Value,
    tracing: Value,
) -> Result<()> {
    bootstrap.http_filters()?.remove(0);
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "gateway",
    });
    match exporter {
        Exporter::Grpc => {
            bootstrap.speak_http2(CLUSTER)?;
            config["grpc_service"] =
                json!({ "envoy_grpc": { "cluster_name": CLUSTER }, "timeout": "10s" });
        }
        Exporter::Http => {
            let uri = "http://collector.internal/v1/traces";
            config["http_service"] =
                json!({ "http_uri": { "uri": uri, "cluster": CLUSTER, "timeout": "10s" } });
        }
    }
    merge(&mut config, provider);
    let mut block = json!({
        "provider": { "name": "envoy.tracers.opentelemetry", "typed_config": config },
    });
    merge(&mut block, tracing);
    bootstrap.connection_manager()?["tracing"] = block;
    Ok(())
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

//! Real Envoy with the filter, between a client and the sample; made from `envoy/envoy.yaml`.

use super::process::Process;
use super::spanferry::Metrics;
use super::wait::eventually;
use super::{http, parts, ports};
use ::http::StatusCode;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(60);
const PREFIX: &str = "wasmcustom.spanferry_";
const BRIDGE: &str = "spanferry-bridge";

/// What differs from one Envoy of the tests to another.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The service behind it.
    pub upstream: SocketAddr,
    /// The bridge; `None` leaves the cluster out of Envoy's configuration.
    pub bridge: Option<SocketAddr>,
    /// The plugin's configuration, as text, so that it can be broken.
    pub plugin: String,
    /// Inbound makes SERVER spans, outbound CLIENT spans.
    pub direction: Direction,
}

/// Envoy's `traffic_direction` of the listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    /// A gateway or an inbound sidecar.
    Inbound,
    /// An outbound sidecar.
    Outbound,
}

impl Setup {
    /// A gateway before `upstream` whose filter hands its spans to `bridge`.
    pub fn new(upstream: SocketAddr, bridge: SocketAddr) -> Setup {
        Setup {
            upstream,
            bridge: Some(bridge),
            plugin: json!({"cluster": BRIDGE, "service_name": "gateway"}).to_string(),
            direction: Direction::Inbound,
        }
    }
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    process: Process,
    listener: SocketAddr,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts one on free ports and waits until it takes requests. Its files go to `directory`.
    pub async fn start(directory: &Path, setup: &Setup) -> Result<Envoy> {
        let listener = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let configuration = directory.join(format!("envoy-{}.json", listener.port()));
        let settings = settings(setup, listener, admin)?;
        std::fs::write(&configuration, serde_json::to_vec_pretty(&settings)?)?;

        let mut command = Command::new(parts::envoy()?);
        command.arg("--config-path").arg(&configuration).current_dir(directory);
        command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"]);
        let process = Process::start("envoy", &mut command, directory)?;
        let mut envoy = Envoy { process, listener, admin };
        envoy.ready().await?;
        Ok(envoy)
    }

    async fn ready(&mut self) -> Result<()> {
        let url = format!("http://{}/ready", self.admin);
        let process = &mut self.process;
        let up = eventually("Envoy to be ready", START, async || {
            ensure!(process.is_running(), "it ended");
            Ok((http::get(&url).await?.0 == StatusCode::OK).then_some(()))
        });
        up.await.with_context(|| self.process.tail())
    }

    /// Where clients send their requests.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Every counter and gauge; the filter's are `wasmcustom.spanferry_…`.
    pub async fn stats(&self) -> Result<Metrics> {
        let (_, body) = http::get(&format!("http://{}/stats", self.admin)).await?;
        // `name: value` becomes `name value`; histograms have no number there and are passed over.
        Ok(Metrics::parse(&String::from_utf8_lossy(&body).replace(": ", " ")))
    }

    /// The filter's counter or gauge `spanferry_NAME`, 0 before its first value.
    pub async fn filter_stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats().await?.count(&format!("{PREFIX}{name}")))
    }

    /// Spans that the filter dropped, for whatever reason.
    pub async fn dropped_spans(&self) -> Result<u64> {
        let stats = self.stats().await?;
        let reasons = ["buffer_full", "refused"];
        Ok(reasons.map(|why| stats.count(&format!("{PREFIX}spans_dropped_{why}"))).iter().sum())
    }

    /// Envoy's log.
    pub fn log(&self) -> String {
        self.process.output()
    }
}

/// The shared configuration with this test's ports, clusters and plugin.
fn settings(setup: &Setup, listener: SocketAddr, admin: SocketAddr) -> Result<Value> {
    let filter = parts::filter()?;
    let wasm = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "spanferry",
            "root_id": "spanferry",
            "failure_policy": "FAIL_OPEN",
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": setup.plugin,
            },
            "vm_config": {
                "vm_id": "spanferry",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": filter.to_str().context("path of the filter")?}},
            },
        },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "sample"}}],
        }]},
        "http_filters": [
            {"name": "spanferry", "typed_config": wasm},
            {"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
        ],
    });
    let direction = match setup.direction {
        Direction::Inbound => "INBOUND",
        Direction::Outbound => "OUTBOUND",
    };
    let mut clusters = vec![cluster("sample", setup.upstream)];
    clusters.extend(setup.bridge.map(|bridge| cluster(BRIDGE, bridge)));
    Ok(json!({
        "node": {"id": "gateway-1", "cluster": "gateway"},
        "admin": {"address": socket(admin)},
        "static_resources": {
            "listeners": [{
                "name": "http",
                "traffic_direction": direction,
                "address": socket(listener),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
                }]}],
            }],
            "clusters": clusters,
        },
    }))
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket(address)}}]}]},
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

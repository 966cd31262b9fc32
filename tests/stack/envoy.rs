//! Real Envoy with the filter, between a client and the sample; made from `envoy/envoy.yaml`.

use super::bootstrap::Bootstrap;
use super::metrics::Metrics;
use super::process::Process;
use super::wait::eventually;
use super::{http, parts, ports};
use ::http::StatusCode;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(60);
const PREFIX: &str = "wasmcustom.spanferry_";
/// Where the cluster of the bridge begins in the shared configuration; it is the last.
const BRIDGE_CLUSTER: &str = "    # Where the filter's batches go.";

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
    /// Envoy's worker threads.
    pub concurrency: u32,
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
            plugin: r#"{"cluster": "spanferry_bridge", "service_name": "gateway"}"#.into(),
            direction: Direction::Inbound,
            concurrency: 2,
        }
    }
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    process: Process,
    directory: PathBuf,
    configuration: PathBuf,
    concurrency: u32,
    listener: SocketAddr,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts one on free ports and waits until it takes requests. Its files go to `directory`.
    pub async fn start(directory: &Path, setup: &Setup) -> Result<Envoy> {
        let (listener, admin) = (loopback()?, loopback()?);
        let text = settings(setup, listener, admin)?;
        Envoy::with(directory, setup.concurrency, &text, listener, admin).await
    }

    /// The same, with the configuration changed in a way that the setup does not know.
    pub async fn start_changed(
        directory: &Path,
        setup: &Setup,
        change: impl FnOnce(&mut Bootstrap) -> Result<()>,
    ) -> Result<Envoy> {
        let (listener, admin) = (loopback()?, loopback()?);
        let mut bootstrap = Bootstrap::parse(&settings(setup, listener, admin)?)?;
        change(&mut bootstrap)?;
        Envoy::with(directory, setup.concurrency, &bootstrap.text(), listener, admin).await
    }

    /// Starts an example of `envoy/`, its clusters' hosts at these addresses.
    pub async fn start_example(
        directory: &Path,
        name: &str,
        hosts: &[(&str, SocketAddr)],
    ) -> Result<Envoy> {
        let (listener, admin) = (loopback()?, loopback()?);
        let mut bootstrap = Bootstrap::example(name)?;
        bootstrap.listen(listener, admin)?;
        for (cluster, host) in hosts {
            bootstrap.resolve(cluster, *host)?;
        }
        Envoy::with(directory, 2, &bootstrap.text(), listener, admin).await
    }

    async fn with(
        directory: &Path,
        concurrency: u32,
        text: &str,
        listener: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Envoy> {
        let configuration = directory.join(format!("envoy-{}.yaml", listener.port()));
        std::fs::write(&configuration, text)?;
        let process = launch(directory, &configuration, concurrency)?;
        let directory = directory.to_owned();
        let mut envoy = Envoy { process, directory, configuration, concurrency, listener, admin };
        envoy.ready().await?;
        Ok(envoy)
    }

    /// kill -9: what its filter held is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after its end, with its configuration and on its ports.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = launch(&self.directory, &self.configuration, self.concurrency)?;
        self.ready().await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
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

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
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
        let reasons = ["buffer_full", "refused", "at_end"];
        Ok(reasons.map(|why| stats.count(&format!("{PREFIX}spans_dropped_{why}"))).iter().sum())
    }

    /// Envoy's log.
    pub fn log(&self) -> String {
        self.process.output()
    }
}

fn launch(directory: &Path, configuration: &Path, concurrency: u32) -> Result<Process> {
    let mut command = Command::new(parts::envoy()?);
    command.arg("--config-path").arg(configuration).current_dir(directory);
    command.args(["--concurrency", &concurrency.to_string()]);
    command.args(["--disable-hot-restart", "--log-level", "info"]);
    // A listener that is replaced lets go of its connections at once.
    command.args(["--drain-strategy", "immediate", "--drain-time-s", "1"]);
    Process::start("envoy", &mut command, directory)
}

/// The configuration that compose and the tests share, with this test's ports, clusters and plugin in it.
fn settings(setup: &Setup, listener: SocketAddr, admin: SocketAddr) -> Result<String> {
    let shared = include_str!("../../envoy/envoy.yaml");
    // The file's comments name the strings that are rewritten; what counts stands below them.
    let mut text: String = shared
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    if setup.bridge.is_none() {
        let begin = text.find(BRIDGE_CLUSTER).context("envoy.yaml: no cluster of the bridge")?;
        text.truncate(begin);
    }
    let filter = parts::filter()?.display().to_string();
    let plugin = format!("value: '{}'", setup.plugin.replace('\'', "''"));
    let direction = match setup.direction {
        Direction::Inbound => "traffic_direction: INBOUND",
        Direction::Outbound => "traffic_direction: OUTBOUND",
    };
    let mut rewrites = vec![
        ("address: 0.0.0.0, port_value: 10000", socket(listener)),
        ("address: 0.0.0.0, port_value: 9901", socket(admin)),
        ("address: sample, port_value: 8080", socket(setup.upstream)),
        ("/etc/envoy/spanferry_filter.wasm", filter),
        ("value: '{\"cluster\": \"spanferry_bridge\", \"service_name\": \"gateway\"}'", plugin),
        ("traffic_direction: INBOUND", direction.to_owned()),
    ];
    if let Some(bridge) = setup.bridge {
        rewrites.push(("address: bridge, port_value: 4318", socket(bridge)));
    }
    for (from, to) in rewrites {
        let times = text.matches(from).count();
        ensure!(times == 1, "envoy.yaml: `{from}` stands there {times} times, not once");
        text = text.replace(from, &to);
    }
    Ok(text)
}

fn loopback() -> Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], ports::free()?)))
}

fn socket(address: SocketAddr) -> String {
    format!("address: {}, port_value: {}", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into())
    }

    #[test]
    fn the_plugin_of_the_tests_is_that_of_the_shared_configuration() {
        let plugin = format!("value: '{}'", setup().plugin);
        assert!(include_str!("../../envoy/envoy.yaml").contains(&plugin), "{plugin}");
    }

    #[test]
    fn a_cluster_cut_out_by_the_tests_is_the_last() {
        let shared = include_str!("../../envoy/envoy.yaml");
        let cut = &shared[shared.find(BRIDGE_CLUSTER).unwrap()..];
        assert_eq!(cut.matches("- name:").count(), 1);
    }
}

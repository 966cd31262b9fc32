//! The OpenTelemetry Collector as a process, with one of the configurations beside this file. Jaeger's binary is one, with the
//! receivers and exporters that are compared (docs/parts.md).

use anyhow::{Context, Result, ensure};
use spanferry_tests::stack::process::Process;
use spanferry_tests::stack::wait::eventually;
use spanferry_tests::stack::{parts, ports};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;

const START: Duration = Duration::from_secs(60);

/// OTLP in, Kafka out.
pub const TO_KAFKA: &str = "collector-to-kafka.yaml";
/// Kafka in, OTLP out.
pub const FROM_KAFKA: &str = "collector-from-kafka.yaml";

/// Jaeger as a forwarder's destination.
pub const JAEGER: &str = "destination-jaeger.yaml";
/// Jaeger's ingester.
pub const INGESTER: &str = "jaeger-ingester.yaml";

/// A running Collector, or Jaeger, which is one. Dropping it kills it.
pub struct Collector {
    process: Process,
    http: SocketAddr,
    grpc: SocketAddr,
    query: SocketAddr,
}

impl Collector {
    /// Starts one with this configuration, a file beside this one, and its variables. It listens then, if it has a port.
    pub async fn start(
        directory: &Path,
        configuration: &str,
        variables: &[(&str, String)],
    ) -> Result<Collector> {
        let path = parts::root().join("tests/peers").join(configuration);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let (http, grpc, query) = (free()?, free()?, free()?);
        let mut command = Command::new(parts::jaeger()?);
        command.arg("--config").arg(&path).current_dir(directory);
        command.env("COLLECTOR_HTTP", http.to_string()).env("COLLECTOR_GRPC", grpc.to_string());
        command.env("JAEGER_QUERY", query.to_string());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("collector", &mut command, directory)?;
        let ports = [("COLLECTOR_HTTP", http), ("JAEGER_QUERY", query)];
        let own = ports.into_iter().filter(|(variable, _)| text.contains(variable));
        let own: Vec<SocketAddr> = own.map(|(_, port)| port).collect();
        let up = eventually("the Collector", START, async || {
            ensure!(process.is_running(), "it ended");
            for port in &own {
                TcpStream::connect(port).await?;
            }
            Ok(Some(()))
        });
        up.await.with_context(|| process.tail())?;
        Ok(Collector { process, http, grpc, query })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where OTLP/HTTP comes in.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where Jaeger's query API is.
    pub fn query(&self) -> SocketAddr {
        self.query
    }

    /// Where OTLP/gRPC comes in.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }
}

fn free() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, ports::free()?).into())
}

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
pub const TO_KAFKA: &str = include_str!("collector-to-kafka.yaml");
/// Kafka in, OTLP out.
pub const FROM_KAFKA: &str = include_str!("collector-from-kafka.yaml");

/// A running Collector. Dropping it kills it.
pub struct Collector {
    process: Process,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Collector {
    /// Starts one with this configuration and its variables. One that receives OTLP listens then.
    pub async fn start(
        directory: &Path,
        configuration: &str,
        variables: &[(&str, String)],
    ) -> Result<Collector> {
        let path = directory.join("collector.yaml");
        std::fs::write(&path, configuration)?;
        let (http, grpc) = (free()?, free()?);
        let mut command = Command::new(parts::jaeger()?);
        command.arg("--config").arg(&path).current_dir(directory);
        command.env("COLLECTOR_HTTP", http.to_string()).env("COLLECTOR_GRPC", grpc.to_string());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("collector", &mut command, directory)?;
        let listens = configuration.contains("COLLECTOR_HTTP");
        let up = eventually("the Collector", START, async || {
            ensure!(process.is_running(), "it ended");
            let open = !listens || TcpStream::connect(http).await.is_ok();
            Ok(open.then_some(()))
        });
        up.await.with_context(|| process.tail())?;
        Ok(Collector { process, http, grpc })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where OTLP/HTTP comes in.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where OTLP/gRPC comes in.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }
}

fn free() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, ports::free()?).into())
}

//! The sample service as a process, exporting to a bridge.

use super::process::Process;
use super::wait::eventually;
use super::{http, parts};
use crate::samples::telemetry::Spans;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

const START: Duration = Duration::from_secs(30);

/// A running sample service. Dropping it kills it.
pub struct Sample {
    process: Process,
    address: SocketAddr,
}

impl Sample {
    /// Starts one whose spans go to `bridge`, the address of OTLP/HTTP.
    pub async fn start(directory: &Path, bridge: SocketAddr) -> Result<Sample> {
        let mut command = Command::new(parts::sample()?);
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{bridge}"));
        let mut process = Process::start("sample", &mut command, directory)?;
        let found = eventually("the sample's address", START, async || {
            ensure!(process.is_running(), "it ended");
            Ok(process.output_of_this_run().lines().find_map(address))
        });
        let address = found.await.with_context(|| process.tail())?;
        Ok(Sample { process, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What became of its spans so far.
    pub async fn spans(&self) -> Result<Spans> {
        http::get_json(&format!("http://{}/telemetry", self.address)).await
    }

    /// Waits until every span that ended was exported or given up.
    pub async fn flushed(&self, limit: Duration) -> Result<Spans> {
        eventually("the sample to hold no span", limit, async || {
            let spans = self.spans().await?;
            Ok((spans.held() == 0).then_some(spans))
        })
        .await
    }

    /// SIGTERM: it sends its spans and ends.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.terminate(limit).await
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("sample: listening http=")?.trim().parse().ok()
}

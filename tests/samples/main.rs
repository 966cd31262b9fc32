//! The sample service as a process: prints where it listens, ends on SIGTERM or SIGINT with its spans sent.

use anyhow::{Context, Result};
use clap::Parser;
use spanferry_tests::samples::{service, telemetry::Telemetry};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long the last spans may take.
const FLUSH: Duration = Duration::from_secs(5);

/// A service with OpenTelemetry's SDK. OTEL_EXPORTER_OTLP_ENDPOINT says where its spans go.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("--listen {}", arguments.listen))?;
    let telemetry = Telemetry::start(None, None)?;
    println!("sample: listening http={}", listener.local_addr()?);

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ended = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // Envoy keeps its connections open: the spans are flushed at the signal, whoever still holds one.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let served = tokio::spawn(service::run(listener, telemetry.clone(), async {
        let _ = stopped.await;
    }));
    ended.await;
    let _ = stop.send(());
    let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
    let spans = telemetry.shutdown(FLUSH).await;
    println!(
        "sample: spans ended={} exported={} failed={} dropped={}",
        spans.ended,
        spans.exported,
        spans.failed,
        spans.held()
    );
    Ok(())
}

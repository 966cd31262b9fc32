//! `spanferry bridge`: OTLP in, records into the log.

use super::RoleError;
use super::open::{LogReachable, Logs, announce, bridge_settings, listen, logs, serve_admin};
use crate::admin::Admin;
use crate::args::BridgeArgs;
use crate::bridge::{Listeners, Metrics, run};
use crate::shutdown;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Runs until the first signal; what was taken by then is answered for.
pub async fn bridge(args: BridgeArgs) -> Result<(), RoleError> {
    let stop =
        shutdown::on_signals().map_err(|source| RoleError::Process { what: "signals", source })?;
    let location = args.log.location()?;
    let Logs { log, dead_letters } = logs(&location, &args.log.settings(&location), None)?;
    let http = listen("listen-http", args.receive.listen_http).await?;
    let grpc = listen("listen-grpc", args.receive.listen_grpc).await?;
    let admin = listen("admin", args.process.admin).await?;
    announce(&[("http", &http), ("grpc", &grpc), ("admin", &admin)]);
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let ready = Arc::new(LogReachable(log.clone()));
    let admin_stop = stop.child_token();
    serve_admin(
        admin,
        Admin { registry: Arc::new(registry), ready, refresh: Arc::new(|| ()), ledger: None },
        admin_stop,
    );
    tracing::info!(log = %location, "bridge started");
    let settings = bridge_settings(&args.receive, &args.process);
    let listeners = Listeners { http: Some(http), grpc: Some(grpc) };
    // What is left unacknowledged was promised to nobody: no reason for a bad exit status.
    if let Err(left) = run(listeners, log, dead_letters, settings, metrics, stop).await {
        tracing::warn!(%left, "ending all the same");
    }
    tracing::info!("bridge ended");
    Ok(())
}

//! `spanferry bridge`: OTLP in, records into the log.

use super::RoleError;
use super::open::{
    LogReachable, Logs, announce, bridge_settings, listen, logs, serve_admin, written_to,
};
use crate::admin::{Admin, Ready};
use crate::args::{ArgsError, BridgeArgs, SpoolArgs};
use crate::bridge::{BridgeError, Listeners, Metrics, Settings, Spool, SpoolSettings, run};
use crate::log::LogLocation;
use crate::shutdown;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Runs until the first signal; what was taken by then is answered for.
pub async fn bridge(args: BridgeArgs) -> Result<(), RoleError> {
    let stop =
        shutdown::on_signals().map_err(|source| RoleError::Process { what: "signals", source })?;
    let location = args.log.location()?;
    let Logs { log, dead_letters } = logs(&location, &args.log.settings(&location), None)?;
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let settings = bridge_settings(&args.receive, &args.process);
    let spool = match spool_settings(&args.spool, &settings, &location)? {
        None => None,
        Some(spool) => {
            let spool = Spool::open(&spool, log.clone(), dead_letters.clone(), metrics.clone());
            Some(spool.map_err(RoleError::Spool)?)
        }
    };
    let http = listen("listen-http", args.receive.listen_http).await?;
    let grpc = listen("listen-grpc", args.receive.listen_grpc).await?;
    let admin = listen("admin", args.process.admin).await?;
    announce(&[("http", &http), ("grpc", &grpc), ("admin", &admin)]);
    let ready: Arc<dyn Ready> = match &spool {
        Some(spool) => spool.clone(),
        None => Arc::new(LogReachable(log.clone())),
    };
    let admin_stop = stop.child_token();
    serve_admin(
        admin,
        Admin {
            registry: Arc::new(registry),
            ready,
            refresh: Arc::new(|| ()),
            ledger: None,
            written: Some(written_to(log.topic(), &metrics)),
        },
        admin_stop,
    );
    let waiting = spool.as_ref().map(|spool| spool.waiting());
    tracing::info!(log = %location, spool = waiting, "bridge started");
    let listeners = Listeners { http: Some(http), grpc: Some(grpc) };
    match run(listeners, log, dead_letters, settings, metrics, spool, stop).await {
        // What is left unacknowledged was promised to nobody: no reason for a bad exit status.
        Err(left @ BridgeError::NotFlushed { .. }) => tracing::warn!(%left, "ending all the same"),
        ended => ended?,
    }
    tracing::info!("bridge ended");
    Ok(())
}

fn spool_settings(
    args: &SpoolArgs,
    settings: &Settings,
    location: &LogLocation,
) -> Result<Option<SpoolSettings>, ArgsError> {
    let Some(path) = &args.spool else { return Ok(None) };
    if !matches!(location, LogLocation::Kafka { .. }) {
        return Err(ArgsError::Spool);
    }
    Ok(Some(SpoolSettings {
        path: path.clone(),
        bytes: args.spool_bytes as u64,
        after: args.spool_after,
        max_request_bytes: settings.max_request_bytes,
        record: settings.record,
        max_bytes_in_flight: settings.max_bytes_in_flight,
    }))
}

//! `spanferry forward`: records out of the log, into the destination.

use super::RoleError;
use super::open::{
    Forwarding, Logs, OwnLedger, announce, destination, forward_settings, listen, logs, serve_admin,
};
use crate::admin::Admin;
use crate::args::ForwardArgs;
use crate::audit::{Audit, Peer};
use crate::forward::{Metrics, run};
use crate::shutdown;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Runs until the first signal; what was delivered by then is committed.
pub async fn forward(args: ForwardArgs) -> Result<(), RoleError> {
    let stop =
        shutdown::on_signals().map_err(|source| RoleError::Process { what: "signals", source })?;
    let location = args.log.location()?;
    let destination = destination(&args.send)?;
    let settings = args.log.settings(&location);
    let Logs { log, dead_letters } =
        logs(&location, &settings, args.send.dead_letter_topic.as_deref())?;
    let admin = listen("admin", args.process.admin).await?;
    announce(&[("admin", &admin)]);
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let (refreshed, counted) = (metrics.clone(), metrics.clone());
    let ledger = OwnLedger {
        audit: Audit {
            log: log.clone(),
            dead_letters: dead_letters.clone(),
            group: args.send.group.clone(),
        },
        written: Box::new(Vec::new),
        own: Box::new(move || Peer { in_flight: counted.in_flight_spans(), ..Peer::default() }),
        turn: tokio::sync::Mutex::default(),
    };
    let shown = Admin {
        registry: Arc::new(registry),
        ready: Arc::new(Forwarding(metrics.clone())),
        refresh: Arc::new(move || refreshed.refresh()),
        ledger: Some(Arc::new(ledger)),
        written: None,
    };
    serve_admin(admin, shown, stop.child_token());
    tracing::info!(log = %location, group = args.send.group, "forwarder started");
    run(log, dead_letters, destination, forward_settings(&args.send, &args.process), metrics, stop)
        .await?;
    tracing::info!("forwarder ended");
    Ok(())
}

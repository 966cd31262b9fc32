//! `spanferry all-in-one`: bridge, a log in a directory and forwarder in one process; nothing else is needed.

use super::RoleError;
use super::open::{
    Both, Forwarding, LogReachable, Logs, OwnLedger, announce, bridge_settings, destination,
    forward_settings, listen, logs, serve_admin, written_to,
};
use crate::admin::Admin;
use crate::args::AllInOneArgs;
use crate::audit::{Audit, Peer};
use crate::log::LogLocation;
use crate::{bridge, forward, shutdown};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs until the first signal: the bridge ends first, so the forwarder may still deliver what it took.
pub async fn all_in_one(args: AllInOneArgs) -> Result<(), RoleError> {
    let stop =
        shutdown::on_signals().map_err(|source| RoleError::Process { what: "signals", source })?;
    let location = location(&args)?;
    let destination = destination(&args.send)?;
    let settings = args.log.settings(&location);
    let Logs { log, dead_letters } =
        logs(&location, &settings, args.send.dead_letter_topic.as_deref())?;
    let http = listen("listen-http", args.receive.listen_http).await?;
    let grpc = listen("listen-grpc", args.receive.listen_grpc).await?;
    let admin = listen("admin", args.process.admin).await?;
    announce(&[("http", &http), ("grpc", &grpc), ("admin", &admin)]);
    let audit = Audit {
        log: log.clone(),
        dead_letters: dead_letters.clone(),
        group: args.send.group.clone(),
    };
    let (received, sent) = metrics_and_admin(admin, audit, stop.child_token());
    tracing::info!(log = %location, "all in one started");
    let receive = bridge_settings(&args.receive, &args.process);
    let listeners = bridge::Listeners { http: Some(http), grpc: Some(grpc) };
    let bridge_done = CancellationToken::new();
    let receiving = async {
        let ended = bridge::run(
            listeners,
            log.clone(),
            dead_letters.clone(),
            receive,
            received,
            None,
            stop.clone(),
        )
        .await;
        bridge_done.cancel();
        ended
    };
    let send = forward_settings(&args.send, &args.process);
    let sending = async {
        let ended = forward::run(
            log.clone(),
            dead_letters.clone(),
            destination,
            send,
            sent,
            bridge_done.clone(),
        )
        .await;
        stop.cancel();
        ended
    };
    let (received, sent) = tokio::join!(receiving, sending);
    // What is left unacknowledged was promised to nobody: no reason for a bad exit status.
    if let Err(left) = received {
        tracing::warn!(%left, "ending all the same");
    }
    sent?;
    tracing::info!("all in one ended");
    Ok(())
}

fn location(args: &AllInOneArgs) -> Result<LogLocation, RoleError> {
    match &args.log.log {
        Some(_) => Ok(args.log.location()?),
        None => Ok(LogLocation::Directory {
            path: args.data.clone(),
            topic: args.log.kafka_topic.clone(),
        }),
    }
}

/// The metrics of both sides in one registry, with what waits between them, on the admin port.
fn metrics_and_admin(
    listener: TcpListener,
    audit: Audit,
    stop: CancellationToken,
) -> (Arc<bridge::Metrics>, Arc<forward::Metrics>) {
    let mut registry = Registry::default();
    let received = Arc::new(bridge::Metrics::register(&mut registry));
    let sent = Arc::new(forward::Metrics::register(&mut registry));
    let waiting = Gauge::<i64>::default();
    registry.register(
        "spanferry_waiting_spans",
        "Spans accepted by this process and neither delivered nor dead-lettered yet",
        waiting.clone(),
    );
    let (counted_in, counted_out) = (received.clone(), sent.clone());
    let refresh = move || {
        counted_out.refresh();
        let dead_lettered = counted_in.dead_lettered_spans() + counted_out.dead_lettered_spans();
        let done = counted_out.sent_spans() + counted_out.suppressed_spans() + dead_lettered;
        waiting.set(counted_in.accepted_spans().saturating_sub(done) as i64);
    };
    let ready = Arc::new(Both(LogReachable(audit.log.clone()), Forwarding(sent.clone())));
    let (counted_in, counted_out) = (received.clone(), sent.clone());
    let own = move || Peer {
        in_flight: counted_out.in_flight_spans(),
        dropped_by_filter: counted_in.filter_dropped_spans(),
        ..Peer::default()
    };
    let written = written_to(audit.log.topic(), &received);
    let known = written.clone();
    let ledger = OwnLedger {
        audit,
        own: Box::new(own),
        written: Box::new(move || vec![known()]),
        turn: tokio::sync::Mutex::default(),
    };
    let shown = Admin {
        registry: Arc::new(registry),
        ready,
        refresh: Arc::new(refresh),
        ledger: Some(Arc::new(ledger)),
        written: Some(written),
    };
    serve_admin(listener, shown, stop);
    (received, sent)
}

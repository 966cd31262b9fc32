//! What every role opens alike: sockets, the log with its dead letters, the admin port.

use super::RoleError;
use crate::admin::{self, Admin, Ledger, Ready, Said};
use crate::args::{ArgsError, SendArgs};
use crate::audit::{Audit, Claims, Peer, Report};
use crate::bridge::{self, RecordOf};
use crate::forward::{self, Destination, Export};
use crate::ledger::Written;
use crate::log::{Log, LogError, LogLocation, LogSettings, TopicSettings};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Listens on the address that `flag` gave.
pub async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, RoleError> {
    TcpListener::bind(address).await.map_err(|source| RoleError::Listen { flag, address, source })
}

/// The one line on standard output: where this process listens, so that port 0 can be used.
pub fn announce(listeners: &[(&str, &TcpListener)]) {
    let place = |(name, listener): &(&str, &TcpListener)| match listener.local_addr() {
        Ok(address) => format!(" {name}={address}"),
        Err(error) => format!(" {name}=?({error})"),
    };
    println!("spanferry: listening{}", listeners.iter().map(place).collect::<String>());
}

/// The log, and beside it the log of its dead letters.
pub struct Logs {
    /// Where records wait.
    pub log: Arc<dyn Log>,
    /// Where those are kept that are never taken.
    pub dead_letters: Arc<dyn Log>,
}

/// The largest dead letter: a span as large as a request of the bridge may be by default, and what comes with it.
const DEAD_LETTER_BYTES: usize = 20 << 20;

/// Opens both. Dead letters are few, so a topic of theirs that we create has one partition; and some of them are there for
/// their size.
pub fn logs(
    location: &LogLocation,
    settings: &LogSettings,
    dead_letters: Option<&str>,
) -> Result<Logs, RoleError> {
    let log = crate::log::open(location, settings)?;
    let default = format!("{}.dlq", location.topic());
    let max_record_bytes = settings.topic.max_record_bytes.max(DEAD_LETTER_BYTES);
    let topic = TopicSettings { partitions: 1, max_record_bytes, ..settings.topic.clone() };
    let dead_letters = log.sibling(dead_letters.unwrap_or(&default), &topic)?;
    Ok(Logs { log, dead_letters })
}

/// The destination, connected when it is needed.
pub fn destination(args: &SendArgs) -> Result<Arc<dyn Export>, RoleError> {
    let to = args.to.as_ref().or(args.jaeger_endpoint.as_ref()).ok_or(ArgsError::NoDestination)?;
    let bad = |error: forward::DestinationError| {
        RoleError::Args(ArgsError::Destination(error.to_string()))
    };
    let destination = Destination::parse(to, &args.protocol).map_err(bad)?;
    tracing::info!(%destination, "delivering");
    let settings = forward::ExportSettings { request_timeout: args.request_timeout };
    forward::connect(&destination, &settings).map_err(bad)
}

/// Serves the admin port until `shutdown`; its failure is logged, since telemetry goes on without it.
pub fn serve_admin(listener: TcpListener, admin: Admin, shutdown: CancellationToken) {
    tokio::spawn(async move {
        if let Err(error) = admin::serve(listener, admin, shutdown).await {
            tracing::error!(%error, "the admin port ended");
        }
    });
}

/// Ready while the log can be reached and written to.
pub struct LogReachable(pub Arc<dyn Log>);

#[async_trait]
impl Ready for LogReachable {
    async fn ready(&self) -> Result<(), String> {
        self.0.writable().await.map_err(|error| error.to_string())
    }
}

/// Ready as soon as it runs, since a restart would not help a forwarder whose destination is away; with its troubles.
pub struct Forwarding(pub Arc<forward::Metrics>);

#[async_trait]
impl Ready for Forwarding {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn note(&self) -> Option<String> {
        let lines = self.0.trouble.lines();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Both in one process.
pub struct Both(pub LogReachable, pub Forwarding);

#[async_trait]
impl Ready for Both {
    async fn ready(&self) -> Result<(), String> {
        self.0.ready().await
    }

    fn note(&self) -> Option<String> {
        self.1.note()
    }
}

/// The ledger as a process knows it that reads the log itself.
pub struct OwnLedger {
    /// The log and the group.
    pub audit: Audit,
    /// What this process knows beyond the log.
    pub own: Box<dyn Fn() -> Peer + Send + Sync>,
    /// What this process knows to be in the log, before it is read.
    pub written: Box<dyn Fn() -> Vec<Written> + Send + Sync>,
    /// One at a time: each reads what waits.
    pub turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Ledger for OwnLedger {
    async fn report(&self, with_sources: bool) -> Result<Report, LogError> {
        let _turn = self.turn.lock().await;
        let mut report = self.audit.report(with_sources, &(self.written)()).await?;
        report.hold_against(&Claims { peers: vec![(self.own)()], ..Claims::default() });
        Ok(report)
    }
}

/// What a bridge that writes to this topic knows to be there.
pub fn written_to(topic: &str, metrics: &Arc<bridge::Metrics>) -> Arc<Said> {
    let (topic, metrics) = (topic.to_owned(), metrics.clone());
    Arc::new(move || metrics.acknowledged.written(&topic))
}

/// The bridge's settings from its flags.
pub fn bridge_settings(
    args: &crate::args::ReceiveArgs,
    process: &crate::args::ProcessArgs,
) -> bridge::Settings {
    bridge::Settings {
        max_request_bytes: args.max_request_bytes,
        max_bytes_in_flight: args.max_bytes_in_flight,
        max_connections: args.max_connections,
        ack_timeout: args.ack_timeout,
        read_timeout: args.read_timeout,
        retry_after: args.retry_after,
        record: if args.record == "batch" { RecordOf::Batch } else { RecordOf::Trace },
        drain_timeout: process.drain_timeout,
    }
}

/// The forwarder's settings from its flags.
pub fn forward_settings(args: &SendArgs, process: &crate::args::ProcessArgs) -> forward::Settings {
    forward::Settings {
        group: args.group.clone(),
        headroom_warning: args.headroom_warning,
        requests_in_flight: args.requests_in_flight,
        fresh_share: args.fresh_share,
        max_request_bytes: args.send_request_bytes,
        backoff_min: args.backoff_min,
        backoff_max: args.backoff_max,
        slow_answer: args.request_timeout / 2,
        drain_timeout: process.drain_timeout,
        ..forward::Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::EmbeddedLog;
    use crate::log::embedded::faults::{Disk, Hands};
    use crate::log::{Placed, Record};

    #[tokio::test]
    async fn a_bridge_with_a_log_on_disk_is_not_ready_while_that_cannot_be_fsynced() {
        let (directory, hands) = (tempfile::tempdir().unwrap(), Hands::default());
        let settings = LogSettings::default();
        let log = EmbeddedLog::open_in_hands(directory.path(), "t", &settings, |_| 0, &hands);
        let log: Arc<dyn Log> = log.unwrap();
        let append = || log.append(vec![Placed { partition: 0, record: Record::default() }]);
        let ready = LogReachable(log.clone());
        append().unwrap().await.unwrap();
        ready.ready().await.unwrap();
        hands.disk(Disk::FailsToSync);
        append().unwrap().await.unwrap_err();
        let missing = ready.ready().await.unwrap_err();
        assert!(missing.contains("Input/output error") && missing.contains("disk"), "{missing}");
        hands.disk(Disk::Works);
        ready.ready().await.unwrap();
    }
}

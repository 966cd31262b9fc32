//! The whole ledger while the storm rages: once a second, as far as Kafka answers, the sum over all partitions is made as
//! `spanferry ledger` makes it, with what the bridges know to be written.

use super::watch::Seen;
use crate::stack::http;
use anyhow::Result;
use spanferry::audit::Audit;
use spanferry::ledger::Written;
use spanferry::log::{LogLocation, LogSettings, open};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// A process that is stopped does not answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Kafka may be killed in the middle of it.
const REPORT: Duration = Duration::from_secs(8);

/// The audit of a topic and a group.
pub fn audit(log: &str, group: &str) -> Result<Audit> {
    let location: LogLocation = log.parse()?;
    let mut settings = LogSettings::default();
    settings.topic.create = false;
    let log = open(&location, &settings)?;
    let dead_letters = log.sibling(&format!("{}.dlq", log.topic()), &settings.topic)?;
    Ok(Audit { log, dead_letters, group: group.into() })
}

/// Looks until told to end.
pub async fn look(audit: Audit, bridges: Vec<SocketAddr>, over: CancellationToken) -> Seen {
    let (mut seen, start) = (Seen::default(), Instant::now());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !over.is_cancelled() {
        tokio::select! { _ = ticks.tick() => (), () = over.cancelled() => break }
        // Before the log is read: what a bridge knows then must be there.
        let mut written = Vec::new();
        for bridge in &bridges {
            written.extend(told_by(*bridge).await);
        }
        let Ok(Ok(report)) = timeout(REPORT, audit.report(false, &written)).await else { continue };
        seen.samples += 1;
        if !report.holds {
            seen.faults.push(format!("the whole ledger: {report}"));
        }
    }
    seen.seconds = start.elapsed().as_secs();
    seen
}

async fn told_by(bridge: SocketAddr) -> Option<Written> {
    let url = format!("http://{bridge}/written");
    timeout(PATIENCE, http::get_json(&url)).await.ok()?.ok()
}

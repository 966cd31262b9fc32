//! What only running roles know: what waits in a spool, what is in a request now, what filters say they dropped.

use super::report::Report;
use crate::ask::{self, AskError};
use crate::ledger::Written;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A role answers at once, but for a report: that reads what waits.
const SOON: Duration = Duration::from_secs(5);
const REPORT: Duration = Duration::from_secs(60);

/// A running role, in spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Safe in its spool, and not in the log yet.
    pub in_spool: u64,
    /// Kept beside its spool, since they could not be read or written: as dead letters are.
    pub set_aside: u64,
    /// Gone from its spool.
    pub lost_in_spool: u64,
    /// In requests to the destination.
    pub in_flight: u64,
    /// What filters told it that they dropped.
    pub dropped_by_filter: u64,
}

impl Peer {
    /// Asks the role at this admin address.
    pub async fn ask(address: &str) -> Result<Self, AskError> {
        let (status, text) = ask::get(address, "/metrics", SOON).await?;
        if status != 200 {
            return Err(refused(address, "/metrics", status, &text));
        }
        Ok(Self {
            in_spool: number(&text, "spanferry_spool_queue_size_spans"),
            set_aside: number(&text, "spanferry_spool_set_aside_spans_total"),
            lost_in_spool: number(&text, "spanferry_spool_lost_spans_total"),
            in_flight: number(&text, "spanferry_in_flight_spans"),
            dropped_by_filter: number(&text, "spanferry_filter_dropped_spans_total"),
        })
    }
}

/// What the bridge at this admin address knows to be in the log; nothing if it is no bridge. To be asked before the log.
pub async fn written(address: &str) -> Result<Option<Written>, AskError> {
    const PATH: &str = "/written";
    let (status, text) = ask::get(address, PATH, SOON).await?;
    match status {
        200 => json(address, PATH, &text).map(Some),
        404 => Ok(None),
        _ => Err(refused(address, PATH, status, &text)),
    }
}

/// The report of a role that has the log open itself.
pub async fn report_of(address: &str, with_sources: bool) -> Result<Report, AskError> {
    let path = if with_sources { "/ledger?sources=true" } else { "/ledger" };
    let (status, text) = ask::get(address, path, REPORT).await?;
    if status != 200 {
        return Err(refused(address, path, status, &text));
    }
    json(address, path, &text)
}

fn json<T: DeserializeOwned>(address: &str, path: &str, text: &str) -> Result<T, AskError> {
    serde_json::from_str(text).map_err(|error| AskError {
        address: address.into(),
        path: path.into(),
        detail: error.to_string(),
    })
}

fn refused(address: &str, path: &str, status: u16, text: &str) -> AskError {
    let detail = format!("status {status}: {}", text.trim());
    AskError { address: address.into(), path: path.into(), detail }
}

/// The sum over the series of this name, in Prometheus' text; 0 if there is none.
fn number(text: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let of_this_name = series.split('{').next() == Some(name);
        of_this_name.then(|| value.parse::<f64>().ok()).flatten()
    };
    text.lines().filter_map(value).sum::<f64>().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_sum_of_its_series() {
        let text = "# HELP a b\na 1\na{p=\"0\"} 2\nab 9\n# EOF\n";
        assert_eq!((number(text, "a"), number(text, "c")), (3, 0));
    }
}

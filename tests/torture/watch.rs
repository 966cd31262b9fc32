//! A look at every process once a second: the ledger's equation must hold in each, and nothing may be called lost.

use crate::stack::http;
use crate::stack::metrics::Metrics;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// A process that is stopped does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Seconds that it went on.
    pub seconds: u64,
    /// Looks that showed something.
    pub samples: u64,
    /// What did not hold, a line each.
    pub faults: Vec<String>,
}

/// Looks until told to end.
pub async fn watch(forwarders: Vec<SocketAddr>, over: CancellationToken) -> Seen {
    let (mut seen, start) = (Seen::default(), Instant::now());
    while !over.is_cancelled() {
        for forwarder in &forwarders {
            let url = format!("http://{forwarder}/metrics");
            let page = tokio::time::timeout(PATIENCE, http::get(&url)).await;
            if let Ok(Ok((_, body))) = page {
                seen.look(&Metrics::parse(&String::from_utf8_lossy(&body)));
            }
        }
        tokio::select! { () = tokio::time::sleep(EVERY) => (), () = over.cancelled() => () }
    }
    seen.seconds = start.elapsed().as_secs();
    seen
}

impl Seen {
    fn look(&mut self, metrics: &Metrics) {
        let spans = |state: &str| {
            metrics.sum_where("spanferry_ledger_spans", &format!("state=\"{state}\""))
        };
        let accepted = spans("accepted");
        let [delivered, dead_lettered, suppressed, lost] =
            ["delivered", "dead_lettered", "suppressed", "lost"].map(spans);
        if accepted > 0.0 {
            self.samples += 1;
        }
        if accepted != delivered + dead_lettered + suppressed + lost {
            self.faults.push(format!(
                "accepted {accepted} is not delivered {delivered} + dead-lettered {dead_lettered} + suppressed {suppressed} + lost {lost}"
            ));
        }
        let told = metrics.sum("spanferry_lost_spans") + metrics.sum("spanferry_overrun_records");
        if lost > 0.0 || told > 0.0 {
            self.faults.push(format!("{} spans are called lost", lost.max(told)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(accepted: u64, delivered: u64, lost: u64) -> Seen {
        let line = |state, spans| {
            format!("spanferry_ledger_spans{{partition=\"0\",state=\"{state}\"}} {spans}\n")
        };
        let text = [line("accepted", accepted), line("delivered", delivered), line("lost", lost)];
        let mut seen = Seen::default();
        seen.look(&Metrics::parse(&text.concat()));
        seen
    }

    #[test]
    fn an_equation_that_does_not_hold_and_a_loss_that_holds_are_faults() {
        assert!(look(5, 5, 0).faults.is_empty());
        assert_eq!(look(5, 4, 0).faults.len(), 1);
        assert_eq!(look(5, 4, 1).faults, ["1 spans are called lost"]);
    }
}

//! The accounts as metrics: of each partition that is ours, what became of its spans up to the committed offset. Unlike
//! the counters of a process they go on where the last forwarder stopped, and their sum over all forwarders is the group's.

use crate::ledger::Totals;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Which number of which partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    partition: u32,
    state: &'static str,
}

/// See the module.
#[derive(Debug, Default)]
pub struct LedgerMetrics {
    spans: Family<Of, Gauge>,
}

impl LedgerMetrics {
    /// Declares them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "ledger_spans",
            "Spans up to the committed offset, by partition and what became of them",
            self.spans.clone(),
        );
    }

    /// Shows a partition's numbers.
    pub fn show(&self, partition: u32, totals: &Totals) {
        for (state, spans) in states(totals) {
            self.spans.get_or_create(&Of { partition, state }).set(spans as i64);
        }
    }

    /// Shows a partition no more: it is another forwarder's.
    pub fn forget(&self, partition: u32) {
        for (state, _) in states(&Totals::default()) {
            self.spans.remove(&Of { partition, state });
        }
    }
}

fn states(totals: &Totals) -> [(&'static str, u64); 5] {
    [
        ("accepted", totals.accepted),
        ("delivered", totals.delivered),
        ("dead_lettered", totals.dead_lettered),
        ("suppressed", totals.suppressed),
        ("lost", totals.gone()),
    ]
}

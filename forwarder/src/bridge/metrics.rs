//! The bridge's numbers, declared where they are counted.

use super::refusal::Refusal;
use super::spool::SpoolMetrics;
use crate::ledger::Acknowledged;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Because {
    /// One of a few words.
    pub reason: &'static str,
}

/// See the help text of each in [`Metrics::register`].
#[derive(Debug)]
#[allow(missing_docs, reason = "each has its help text where it is registered")]
pub struct Metrics {
    pub sent_records: Counter,
    pub written_spans: Counter,
    pub accepted_spans: Counter,
    pub accepted_requests: Counter,
    pub rejected_spans: Counter,
    pub refused_requests: Family<Because, Counter>,
    pub repeated_requests: Counter,
    pub filter_dropped_spans: Counter,
    pub dead_lettered_spans: Counter,
    pub bytes_in_flight: Gauge,
    pub connections: Gauge,
    pub queue_records: Gauge,
    pub queue_bytes: Gauge,
    pub acknowledge_seconds: Histogram,
    pub spool: SpoolMetrics,
    /// Too many numbers for `/metrics`: shown at `/written`.
    pub acknowledged: Acknowledged,
}

impl Metrics {
    /// Declares the bridge's metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let own = Self {
            spool: SpoolMetrics::default(),
            acknowledged: Acknowledged::default(),
            sent_records: Counter::default(),
            written_spans: Counter::default(),
            accepted_spans: Counter::default(),
            accepted_requests: Counter::default(),
            rejected_spans: Counter::default(),
            refused_requests: Family::default(),
            repeated_requests: Counter::default(),
            filter_dropped_spans: Counter::default(),
            dead_lettered_spans: Counter::default(),
            bytes_in_flight: Gauge::default(),
            connections: Gauge::default(),
            queue_records: Gauge::default(),
            queue_bytes: Gauge::default(),
            acknowledge_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        };
        // A counter that is there from the start shows its first step.
        for reason in Refusal::WORDS {
            drop(own.refused_requests.get_or_create(&Because { reason }));
        }
        registry.register(
            "traces_sent",
            "Records acknowledged by the log",
            own.sent_records.clone(),
        );
        let registry = registry.sub_registry_with_prefix("spanferry");
        own.register_requests(registry);
        own.register_log(registry);
        own.spool.register(registry);
        own
    }

    /// What comes in, and its answer.
    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "accepted_spans",
            "Spans answered with 200: they are safe, in the log or in the spool",
            self.accepted_spans.clone(),
        );
        registry.register(
            "accepted_requests",
            "Requests answered with 200",
            self.accepted_requests.clone(),
        );
        registry.register(
            "refused_spans",
            "Spans without a usable trace id, told to their senders by partial success",
            self.rejected_spans.clone(),
        );
        registry.register(
            "refused_requests",
            "Requests not answered with 200, by reason",
            self.refused_requests.clone(),
        );
        registry.register(
            "repeated_requests",
            "Requests that had come before and were not written again",
            self.repeated_requests.clone(),
        );
        registry.register(
            "filter_dropped_spans",
            "Spans that filters say they dropped",
            self.filter_dropped_spans.clone(),
        );
        registry.register(
            "bytes_in_flight",
            "Bytes of requests that are read or not acknowledged yet",
            self.bytes_in_flight.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
    }

    /// What is handed to the log.
    fn register_log(&self, registry: &mut Registry) {
        registry.register(
            "written_spans",
            "Spans acknowledged by the log, directly or out of the spool",
            self.written_spans.clone(),
        );
        registry.register(
            "bridge_dead_lettered_spans",
            "Spans larger than a record may be, kept as dead letters",
            self.dead_lettered_spans.clone(),
        );
        registry.register(
            "queue_size_records",
            "Records handed to the log and not acknowledged yet",
            self.queue_records.clone(),
        );
        registry.register(
            "queue_size_bytes",
            "Bytes handed to the log and not acknowledged yet",
            self.queue_bytes.clone(),
        );
        registry.register(
            "acknowledge_seconds",
            "From a batch's append to its acknowledgement, by the log or the spool",
            self.acknowledge_seconds.clone(),
        );
    }

    /// Spans answered with 200 by this process, those that went to the dead letters included.
    pub fn accepted_spans(&self) -> u64 {
        self.accepted_spans.get()
    }

    /// Spans that filters say they dropped.
    pub fn filter_dropped_spans(&self) -> u64 {
        self.filter_dropped_spans.get()
    }

    /// Spans that went to the dead letters.
    pub fn dead_lettered_spans(&self) -> u64 {
        self.dead_lettered_spans.get()
    }
}

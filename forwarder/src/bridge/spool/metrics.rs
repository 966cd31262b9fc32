//! The spool's numbers. At all times: spooled + waiting at the start = drained + waiting + set aside.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// See the help text of each in [`SpoolMetrics::register`].
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each has its help text where it is registered")]
pub struct SpoolMetrics {
    pub waiting_records: Gauge,
    pub waiting_spans: Gauge,
    pub waiting_bytes: Gauge,
    pub limit_bytes: Gauge,
    pub is_in_use: Gauge,
    pub spooled_records: Counter,
    pub spooled_spans: Counter,
    pub drained_records: Counter,
    pub drained_spans: Counter,
    pub set_aside_records: Counter,
    pub set_aside_spans: Counter,
    pub set_aside_bytes: Counter,
    pub lost_records: Counter,
    pub lost_spans: Counter,
}

impl SpoolMetrics {
    /// Declares them below `spanferry_`.
    pub fn register(&self, registry: &mut Registry) {
        let own = self;
        let registry = registry.sub_registry_with_prefix("spool");
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("queue_size_records", "Batches in the spool", &own.waiting_records);
        gauge("queue_size_spans", "Spans in the spool", &own.waiting_spans);
        gauge("queue_size_bytes", "Bytes that the spool takes on disk", &own.waiting_bytes);
        gauge("queue_capacity_bytes", "Bytes that the spool may take on disk", &own.limit_bytes);
        gauge(
            "in_use",
            "1 while batches go to the spool, 0 while they go to the log",
            &own.is_in_use,
        );
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("spooled_records", "Batches fsynced in the spool", &own.spooled_records);
        counter("spooled_spans", "Spans fsynced in the spool", &own.spooled_spans);
        counter("drained_records", "Batches of the spool that the log has", &own.drained_records);
        counter("drained_spans", "Spans of the spool that the log has", &own.drained_spans);
        let damaged = "that could not be read, or not be written to the log: kept in set-aside/";
        counter("set_aside_records", &format!("Batches {damaged}"), &own.set_aside_records);
        counter("set_aside_spans", &format!("Spans {damaged}"), &own.set_aside_spans);
        counter("set_aside_bytes", &format!("Bytes {damaged}"), &own.set_aside_bytes);
        counter("lost_records", "Batches that are gone from the spool", &own.lost_records);
        counter("lost_spans", "Spans that are gone from the spool", &own.lost_spans);
    }

    /// More (or fewer) wait.
    pub fn waits(&self, records: i64, spans: i64) {
        self.waiting_records.inc_by(records);
        self.waiting_spans.inc_by(spans);
    }

    /// A batch is safe here.
    pub fn spooled(&self, spans: u64) {
        self.spooled_records.inc();
        self.spooled_spans.inc_by(spans);
    }

    /// A batch is committed.
    pub fn drained(&self, spans: u64) {
        self.drained_records.inc();
        self.drained_spans.inc_by(spans);
        self.waits(-1, -(spans as i64));
    }

    /// Batches are kept, but not by the log.
    pub fn set_aside(&self, records: u64, spans: u64, bytes: u64) {
        self.set_aside_records.inc_by(records);
        self.set_aside_spans.inc_by(spans);
        self.set_aside_bytes.inc_by(bytes);
        self.waits(-(records as i64), -(spans as i64));
    }
}

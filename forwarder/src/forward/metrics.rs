//! The forwarder's numbers, declared where they are counted.

use super::dead_letter::Fault;
use super::format::Format;
use super::ledger_metrics::LedgerMetrics;
use super::trouble::Trouble;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfPartition {
    /// Its number.
    pub partition: u32,
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Because {
    /// One of a few words.
    pub reason: &'static str,
}

/// Which topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTopic {
    /// Its name.
    pub topic: String,
}

/// How a record was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct As {
    /// The format.
    pub format: Format,
}

impl EncodeLabelValue for Format {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        encoder.write_str(match self {
            Self::Protobuf => "otlp_proto",
            Self::Json => "otlp_json",
            Self::Plain => "plain_json",
        })
    }
}

/// Records read, by format. The counters are at hand: each record counts in one.
#[derive(Debug)]
pub struct ReadRecords {
    shown: Family<As, Counter>,
    counters: [(Format, Counter); 3],
}

impl Default for ReadRecords {
    fn default() -> Self {
        let shown = Family::<As, Counter>::default();
        let counter = |format| (format, shown.get_or_create(&As { format }).clone());
        Self { counters: [Format::Protobuf, Format::Json, Format::Plain].map(counter), shown }
    }
}

impl ReadRecords {
    /// Counts one.
    pub fn count(&self, format: Format) {
        if let Some((_, counter)) = self.counters.iter().find(|(of, _)| *of == format) {
            counter.inc();
        }
    }
}

/// See the help text of each in [`Metrics::register`].
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each has its help text where it is registered")]
pub struct Metrics {
    pub delivered_records: Counter,
    pub sent_spans: Counter,
    pub sent_requests: Counter,
    pub send_failed_requests: Counter,
    pub rejected_spans: Counter,
    pub dead_lettered_spans: Counter,
    pub dead_lettered_records: Family<Because, Counter>,
    pub read_records: ReadRecords,
    lag: Family<OfPartition, Gauge>,
    pub in_flight_requests: Gauge,
    pub in_flight_spans: Gauge,
    pub send_rate_limit: Gauge,
    pub held_bytes: Gauge,
    pub fresh_held_bytes: Gauge,
    pub fresh_settled_records: Counter,
    pub fresh_let_go_records: Counter,
    pub window_records: Gauge,
    pub commits: Counter,
    pub commit_failed: Counter,
    pub rebalances: Counter,
    pub overrun_records: Counter,
    pub lost_records: Counter,
    pub lost_spans: Counter,
    pub suppressed_records: Counter,
    pub suppressed_spans: Counter,
    /// The accounts of the partitions that are ours.
    pub ledger: LedgerMetrics,
    /// What `/readyz` says beside that.
    pub trouble: Trouble,
    pub dead_letters_waiting: Gauge,
    headroom_seconds: Family<OfTopic, Gauge>,
    pub destination_up: Gauge,
    oldest_age_seconds: Gauge,
    since_delivery_seconds: Gauge,
    /// When the oldest record that waits was appended, ms since 1970; 0: none waits.
    pub oldest_ms: AtomicI64,
    /// When something was delivered last (or this began), ms since 1970.
    pub delivered_ms: AtomicI64,
}

impl Metrics {
    /// Declares the forwarder's metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let own = Self::default();
        own.destination_up.set(1);
        // A counter that is there from the start shows its first step.
        for reason in Fault::ALL.map(Fault::word) {
            drop(own.dead_lettered_records.get_or_create(&Because { reason }));
        }
        own.delivered_ms.store(now_ms(), Ordering::Relaxed);
        registry.register("traces_processed", "Records delivered", own.delivered_records.clone());
        let registry = registry.sub_registry_with_prefix("spanferry");
        own.ledger.register(registry);
        own.register_sending(registry);
        own.register_reading(registry);
        own.register_fresh(registry);
        own.register_account(registry);
        own
    }

    /// What goes out.
    fn register_sending(&self, registry: &mut Registry) {
        registry.register("sent_spans", "Spans that the destination took", self.sent_spans.clone());
        registry.register(
            "sent_requests",
            "Requests that the destination took",
            self.sent_requests.clone(),
        );
        registry.register(
            "send_failed_requests",
            "Requests that failed and are tried again",
            self.send_failed_requests.clone(),
        );
        registry.register(
            "rejected_spans",
            "Spans that the destination left out of a request that it took",
            self.rejected_spans.clone(),
        );
        registry.register(
            "in_flight_requests",
            "Requests to the destination now",
            self.in_flight_requests.clone(),
        );
        registry.register(
            "in_flight_spans",
            "Spans in requests to the destination now",
            self.in_flight_spans.clone(),
        );
        registry.register(
            "send_rate_limit_spans",
            "Spans a second that the destination is given at most, since it pushed back; 0: no limit",
            self.send_rate_limit.clone(),
        );
        registry.register(
            "destination_up",
            "1 while the destination answers",
            self.destination_up.clone(),
        );
        registry.register(
            "seconds_since_last_delivery",
            "Seconds since a delivery, or since the start",
            self.since_delivery_seconds.clone(),
        );
    }

    /// What is read and waits.
    fn register_reading(&self, registry: &mut Registry) {
        registry.register(
            "read_records",
            "Records read, by format",
            self.read_records.shown.clone(),
        );
        registry.register(
            "group_lag_records",
            "Records behind the end of the log",
            self.lag.clone(),
        );
        registry.register(
            "held_bytes",
            "Bytes read and not delivered yet",
            self.held_bytes.clone(),
        );
        registry.register(
            "window_records",
            "Records read and not committed yet",
            self.window_records.clone(),
        );
        registry.register(
            "oldest_unforwarded_age_seconds",
            "Age of the oldest record read and not forwarded; 0 if none",
            self.oldest_age_seconds.clone(),
        );
        registry.register(
            "retention_headroom_seconds",
            "Until the log may drop the oldest record that waits; all of the retention if none waits",
            self.headroom_seconds.clone(),
        );
        registry.register("commits", "Commits of offsets", self.commits.clone());
        registry.register(
            "commit_failed",
            "Commits that failed and are tried again",
            self.commit_failed.clone(),
        );
        registry.register("rebalances", "Partitions given or taken", self.rebalances.clone());
    }

    /// What overtakes a backlog.
    fn register_fresh(&self, registry: &mut Registry) {
        registry.register(
            "fresh_held_bytes",
            "Bytes of records that overtake a backlog, and are not delivered yet",
            self.fresh_held_bytes.clone(),
        );
        registry.register(
            "fresh_settled_records",
            "Records that were delivered or dead-lettered before older ones that waited",
            self.fresh_settled_records.clone(),
        );
        registry.register(
            "fresh_let_go_records",
            "Fresh records that were left to their turn: more came than their share of the way",
            self.fresh_let_go_records.clone(),
        );
    }

    /// What will not be delivered, or not again.
    fn register_account(&self, registry: &mut Registry) {
        registry.register(
            "dead_lettered_spans",
            "Spans in dead letters",
            self.dead_lettered_spans.clone(),
        );
        registry.register(
            "dead_lettered_records",
            "Dead letters",
            self.dead_lettered_records.clone(),
        );
        registry.register(
            "dead_letters_waiting",
            "Records whose dead letter cannot be written: their partitions wait",
            self.dead_letters_waiting.clone(),
        );
        registry.register(
            "suppressed_records",
            "Records not delivered again: repeats of a filter's batch, or delivered before the last start",
            self.suppressed_records.clone(),
        );
        registry.register(
            "suppressed_spans",
            "Spans of repeats: accepted twice and delivered once",
            self.suppressed_spans.clone(),
        );
        registry.register(
            "lost_records",
            "Records that a writer's totals say are missing from the log",
            self.lost_records.clone(),
        );
        registry.register(
            "lost_spans",
            "Spans in records that are missing from the log",
            self.lost_spans.clone(),
        );
        registry.register(
            "overrun_records",
            "Offsets that the log dropped before they were forwarded",
            self.overrun_records.clone(),
        );
    }

    /// Shows how far a partition is behind, in records.
    pub fn set_lag(&self, partition: u32, records: i64) {
        self.lag.get_or_create(&OfPartition { partition }).set(records);
    }

    /// Shows a partition no more: it is another forwarder's.
    pub fn forget_lag(&self, partition: u32) {
        self.lag.remove(&OfPartition { partition });
    }

    /// Shows how long the oldest record that waits will still be there.
    pub fn set_headroom(&self, topic: &str, seconds: i64) {
        self.headroom_seconds.get_or_create(&OfTopic { topic: topic.into() }).set(seconds);
    }

    /// Brings the ages up to now.
    pub fn refresh(&self) {
        let now = now_ms();
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        self.oldest_age_seconds.set(if oldest == 0 { 0 } else { (now - oldest).max(0) / 1000 });
        let delivered = self.delivered_ms.load(Ordering::Relaxed);
        self.since_delivery_seconds.set((now - delivered).max(0) / 1000);
    }

    /// Whether something was delivered within these ms.
    pub fn is_delivering(&self, within_ms: i64) -> bool {
        now_ms().saturating_sub(self.delivered_ms.load(Ordering::Relaxed)) < within_ms
    }

    /// Spans delivered by this process.
    pub fn sent_spans(&self) -> u64 {
        self.sent_spans.get()
    }

    /// Spans in requests to the destination now.
    pub fn in_flight_spans(&self) -> u64 {
        self.in_flight_spans.get().unsigned_abs()
    }

    /// Spans dead-lettered by this process.
    pub fn dead_lettered_spans(&self) -> u64 {
        self.dead_lettered_spans.get()
    }

    /// Spans that were accepted twice and are delivered once.
    pub fn suppressed_spans(&self) -> u64 {
        self.suppressed_spans.get()
    }

    /// Counts what was delivered.
    pub fn delivered(&self, records: u64, spans: u64) {
        self.delivered_records.inc_by(records);
        self.sent_spans.inc_by(spans);
        self.sent_requests.inc();
        self.delivered_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// ms since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

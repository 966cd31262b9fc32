//! Records that the destination will never take: kept in a topic of their own, with where they came from and why.

use super::letter_headers::{FAULT, LEFT_OUT, OFFSET, PARTITION, REASON, TOPIC};
use super::metrics::{Because, Metrics};
use crate::log::{Log, Placed, Record, StoredRecord, partition_of};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries to write a dead letter.
const PAUSE: Duration = Duration::from_secs(2);

/// What kind of fault a dead letter has, for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None of the formats that we read.
    NotUnderstood,
    /// The destination refused it for good.
    Refused,
    /// The destination refused this part of a record, and was given the others.
    Part {
        /// Spans in it.
        left_out: u64,
    },
    /// The destination left out so many of its spans.
    Partial {
        /// Spans; of those that its request lost, as many as may be in this record.
        left_out: u64,
    },
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::NotUnderstood, Self::Refused, Self::Partial { left_out: 0 }];

    /// The metric's label.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotUnderstood => "not_understood",
            Self::Refused | Self::Part { .. } => "refused",
            Self::Partial { .. } => "partial",
        }
    }
}

/// The topic of dead letters.
pub struct DeadLetters {
    log: Arc<dyn Log>,
    source: String,
    metrics: Arc<Metrics>,
}

impl DeadLetters {
    /// Dead letters of the topic `source` go to `log`.
    pub fn new(log: Arc<dyn Log>, source: &str, metrics: Arc<Metrics>) -> Self {
        Self { log, source: source.into(), metrics }
    }

    /// Keeps the record; returns when it is acknowledged, however long that takes: a record that is in neither place
    /// would be lost, so its partition waits instead.
    pub async fn put(&self, stored: &StoredRecord, fault: Fault, reason: &str) {
        let letter = self.letter(stored, fault, reason);
        let (partition, offset) = (stored.partition, stored.offset);
        let mut failures = 0_u32;
        while let Err(error) = self.append(letter.clone()).await {
            // The first, then about once a minute.
            if failures.is_multiple_of(30) {
                tracing::error!(
                    error,
                    partition,
                    offset,
                    "a dead letter cannot be written: its partition waits"
                );
            }
            if failures == 0 {
                self.metrics.dead_letters_waiting.inc();
            }
            self.metrics.trouble.blocked(partition, Some(&error));
            failures += 1;
            tokio::time::sleep(PAUSE).await;
        }
        if failures > 0 {
            self.metrics.dead_letters_waiting.dec();
            self.metrics.trouble.blocked(partition, None);
        }
        let fault = fault.word();
        tracing::warn!(partition, offset, fault, reason, topic = self.log.topic(), "dead-lettered");
        self.metrics.dead_lettered_records.get_or_create(&Because { reason: fault }).inc();
    }

    fn letter(&self, stored: &StoredRecord, fault: Fault, reason: &str) -> Record {
        let mut letter = stored.record.clone();
        let mut add = |name: &'static str, value: String| {
            letter.headers.push((name.into(), Bytes::from(value)))
        };
        add(REASON, reason.into());
        add(FAULT, fault.word().into());
        if let Fault::Partial { left_out } | Fault::Part { left_out } = fault {
            add(LEFT_OUT, left_out.to_string());
        }
        add(TOPIC, self.source.clone());
        add(PARTITION, stored.partition.to_string());
        add(OFFSET, stored.offset.to_string());
        letter
    }

    async fn append(&self, record: Record) -> Result<(), String> {
        let partitions = self.log.partitions().await.map_err(|error| error.to_string())?;
        let partition = partition_of(record.key.as_deref().unwrap_or_default(), partitions);
        let taken = self.log.append(vec![Placed { partition, record }]);
        let acknowledged = taken.map_err(|error| error.to_string())?.await;
        acknowledged.map(|_| ()).map_err(|error| error.to_string())
    }
}

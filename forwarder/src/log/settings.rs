//! What a log is opened with. Every bound is in bytes or ms.

use std::collections::BTreeMap;
use std::time::Duration;

/// For a topic that we create, and the limits that hold for one that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Create the topic when it is missing.
    pub create: bool,
    /// Partitions of a new topic (1 to 10,000).
    pub partitions: u32,
    /// Replicas of a new Kafka topic; `None`: the broker's default.
    pub replication: Option<u16>,
    /// How long and how much is kept.
    pub retention: Retention,
    /// The largest record in bytes (`max.message.bytes` of a new Kafka topic).
    pub max_record_bytes: usize,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            create: true,
            partitions: 8,
            replication: None,
            retention: Retention::default(),
            max_record_bytes: 1_000_000,
        }
    }
}

/// How long and how much a topic keeps; what is beyond may go, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age of the oldest record; `None`: no bound.
    pub age: Option<Duration>,
    /// Bytes: of a partition in Kafka (`retention.bytes`), of the whole topic in a directory; `None`: no bound.
    pub bytes: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Some(Duration::from_secs(7 * 24 * 3600)), bytes: None }
    }
}

/// Everything that a log is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The topic.
    pub topic: TopicSettings,
    /// Bytes taken and not acknowledged yet, at most.
    pub queue_bytes: usize,
    /// Bytes of memory that hold what a reader fetches ahead, about.
    pub fetch_ahead_bytes: usize,
    /// librdkafka's own properties (`security.protocol`, `sasl.*`, `ssl.*`, `linger.ms`, …), set last.
    pub kafka_properties: BTreeMap<String, String>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            topic: TopicSettings::default(),
            queue_bytes: 32 << 20,
            fetch_ahead_bytes: 8 << 20,
            kafka_properties: BTreeMap::new(),
        }
    }
}

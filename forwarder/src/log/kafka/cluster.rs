//! What librdkafka is told: the brokers, the user's properties, and the properties that our promises rest on.

use crate::log::LogError;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a record may be larger on the wire than its key, headers and value: the batch's header (61 bytes), the
/// record's own (36), and the lengths of `FRAMED_HEADERS`.
pub(super) const FRAMING_BYTES: usize = 1024;
/// So many headers are within `FRAMING_BYTES`; each of those beyond counts `HEADER_BYTES` of the record's size.
pub(super) const FRAMED_HEADERS: usize = 90;
/// What librdkafka reckons for the two lengths of a header.
pub(super) const HEADER_BYTES: usize = 10;
/// The largest request that librdkafka can be set to send.
pub(super) const REQUEST_BYTES: usize = 1_000_000_000;

/// Properties that are not the user's to set, and what to use instead or why.
const RESERVED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "the brokers are those of --log kafka://…"),
    (&["group.id"], "the group is named by --group"),
    (
        &[
            "acks",
            "request.required.acks",
            "enable.idempotence",
            "enable.gapless.guarantee",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "retries",
            "message.send.max.retries",
            "transactional.id",
        ],
        "fixed: an answer of 200 means that all replicas have the record, and records have no gaps",
    ),
    (
        &["enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "group.protocol"],
        "fixed: offsets are committed when their records were delivered, and none is skipped",
    ),
    (
        &[
            "message.max.bytes",
            "queue.buffering.max.kbytes",
            "queue.buffering.max.messages",
            "queued.max.messages.kbytes",
            "enable.partition.eof",
            "allow.auto.create.topics",
        ],
        "derived from spanferry's own settings of sizes and topics",
    ),
];

/// librdkafka has two names for some properties; the last one set must win whichever is used.
const ALIASES: &[(&str, &str)] = &[
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
];

/// A cluster and how to speak to it.
pub(super) struct Cluster {
    brokers: String,
    properties: BTreeMap<String, String>,
}

impl Cluster {
    /// Checks the properties' names and values; asks no broker.
    pub(super) fn new(
        brokers: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self, LogError> {
        for (name, value) in properties {
            let reserved = RESERVED.iter().find(|(names, _)| names.contains(&name.as_str()));
            if let Some((_, why)) = reserved {
                return Err(setting(name, value, why));
            }
        }
        let properties = properties.iter().map(|(name, value)| (usual(name), value.clone()));
        let cluster = Self { brokers: brokers.into(), properties: properties.collect() };
        cluster.plain().create_native_config().map_err(|error| refused(&error))?;
        Ok(cluster)
    }

    /// `HOST:PORT[,HOST:PORT…]`.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// For a client that asks and appends nothing.
    pub(super) fn plain(&self) -> ClientConfig {
        self.with(&[])
    }

    /// For a producer of records up to `record_bytes` that holds up to `queue_bytes`.
    pub(super) fn producer(&self, record_bytes: usize, queue_bytes: usize) -> ClientConfig {
        let request = record_bytes.saturating_add(FRAMING_BYTES).clamp(1_000, REQUEST_BYTES);
        // A batch of many records may never outgrow what the broker takes for one.
        let batch = request.min(1_000_000);
        // Ours is the bound that holds: librdkafka's stands well above it.
        let kbytes = (queue_bytes / 512).saturating_add(65_536).min(i32::MAX as usize);
        let mut config = self.with(&[
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            ("batch.size", &batch.to_string()),
        ]);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", request.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", kbytes.to_string());
        config
    }

    /// For a member of `group` whose librdkafka fetches ahead about `fetch_bytes`.
    pub(super) fn consumer(&self, group: &str, fetch_bytes: usize) -> ClientConfig {
        let kbytes = (fetch_bytes / 1024).clamp(1, 2_000_000);
        let of_a_partition = fetch_bytes.clamp(1, 256 << 10);
        let mut config = self.with(&[
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("fetch.message.max.bytes", &of_a_partition.to_string()),
            // One answer of a broker, which comes whole into memory and is five times as large there, uncompressed.
            ("fetch.max.bytes", "1048576"),
            // How long it waits when what is fetched ahead is enough. With a small bound that comes with each answer, and a
            // long wait (by default 1 s) is when nothing is fetched at all.
            ("fetch.queue.backoff.ms", "5"),
            ("topic.metadata.refresh.interval.ms", "30000"),
        ]);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", kbytes.to_string());
        config
    }

    /// A property in ms as the user set it, else `default_ms`.
    pub(super) fn duration(&self, property: &str, default_ms: u64) -> Duration {
        let set = self.properties.get(property).and_then(|value| value.parse().ok());
        Duration::from_millis(set.unwrap_or(default_ms))
    }

    /// Our defaults, `more` of them, and then the user's properties.
    fn with(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("client.id", "spanferry")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true");
        for (name, value) in more {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("allow.auto.create.topics", "false");
        config
    }
}

fn usual(name: &str) -> String {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, usual)| usual).to_string()
}

fn setting(name: &str, value: &str, detail: &str) -> LogError {
    LogError::Setting { setting: name.into(), value: value.into(), detail: detail.into() }
}

/// A client that librdkafka would not make.
pub(super) fn refused(error: &KafkaError) -> LogError {
    match error {
        KafkaError::ClientConfig(_, detail, name, value) => setting(name, value, detail),
        KafkaError::ClientCreation(detail) => {
            LogError::Fatal { what: "the Kafka client".into(), detail: detail.clone() }
        }
        other => LogError::Fatal { what: "the Kafka client".into(), detail: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, value: &str) -> Result<Cluster, LogError> {
        Cluster::new("127.0.0.1:1", &BTreeMap::from([(name.into(), value.into())]))
    }

    #[test]
    fn a_property_that_a_promise_rests_on_is_refused_by_name() {
        for (names, _) in RESERVED {
            for name in *names {
                let error = cluster(name, "1").err().expect("refused").to_string();
                assert!(error.starts_with(&format!("{name}=1: ")), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_property_or_value_is_refused_at_once() {
        for (name, value) in [("no.such.property", "1"), ("session.timeout.ms", "soon")] {
            let error = cluster(name, value).err().expect("refused");
            assert!(matches!(&error, LogError::Setting { setting, .. } if setting == name));
        }
    }

    #[test]
    fn the_users_property_wins_over_our_default_under_either_name() {
        let config = cluster("queue.buffering.max.ms", "77").unwrap().producer(1_000, 1_000);
        assert_eq!(config.get("linger.ms"), Some("77"));
        assert_eq!(config.get("queue.buffering.max.ms"), None);
    }

    #[test]
    fn librdkafka_takes_every_size() {
        let cluster = cluster("linger.ms", "1").unwrap();
        for bytes in [0, 1, 1_000, 16 << 20, 1 << 40] {
            let made = cluster.producer(bytes, bytes).create_native_config();
            assert!(made.is_ok(), "producer, {bytes}");
            let made = cluster.consumer("g", bytes).create_native_config();
            assert!(made.is_ok(), "consumer, {bytes}");
        }
    }
}

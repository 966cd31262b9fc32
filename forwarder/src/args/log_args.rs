//! The flags that say where the log is and what it may hold.

use super::units::{duration, property, size};
use crate::log::{LocationError, LogLocation, LogSettings, Retention, TopicSettings};
use clap::{ArgAction, Args};
use std::time::Duration;
use thiserror::Error;

/// Why flags do not go together.
#[derive(Debug, Error)]
pub enum ArgsError {
    /// No place for the log.
    #[error(
        "no log: give --log kafka://HOST:PORT/TOPIC or --log dir:PATH, or set KAFKA_BROKERS (and KAFKA_TOPIC)"
    )]
    NoLog,
    /// The place is not understood.
    #[error("--log: {0}")]
    Location(#[from] LocationError),
    /// A spool before a log that needs none.
    #[error("--spool is for a log in Kafka; one in a directory is on this machine's disk already")]
    Spool,
    /// No destination.
    #[error("no destination: give --to http://HOST:4317, or set JAEGER_ENDPOINT")]
    NoDestination,
    /// The destination is not understood.
    #[error("--to: {0}")]
    Destination(String),
    /// Letters that are named in no way, or in two.
    #[error("name the letters by their numbers, or --all for every open one")]
    WhichLetters,
}

/// The log and its topic.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// Where the log is: kafka://HOST:PORT[,HOST:PORT…]/TOPIC, or dir:PATH.
    #[arg(long, env = "SPANFERRY_LOG", value_name = "LOCATION")]
    pub log: Option<String>,
    /// Kafka's bootstrap brokers, HOST:PORT with commas between; used when --log is not given.
    #[arg(long, env = "KAFKA_BROKERS", value_name = "LIST")]
    pub kafka_brokers: Option<String>,
    /// Kafka's topic; used with --kafka-brokers.
    #[arg(long, env = "KAFKA_TOPIC", default_value = "traces", value_name = "NAME")]
    pub kafka_topic: String,
    /// Create the topic when it is missing.
    #[arg(long, env = "SPANFERRY_TOPIC_CREATE", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub topic_create: bool,
    /// Partitions of a topic that we create.
    #[arg(long, env = "SPANFERRY_TOPIC_PARTITIONS", default_value_t = 8, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub topic_partitions: u32,
    /// Replicas of a Kafka topic that we create; without it, the broker's default.
    #[arg(long, env = "SPANFERRY_TOPIC_REPLICATION", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub topic_replication: Option<u16>,
    /// How long records are kept in a topic that we create.
    #[arg(long, env = "SPANFERRY_RETENTION", default_value = "7d", value_name = "DURATION", value_parser = duration)]
    pub retention: Duration,
    /// Bytes kept: of each partition in Kafka, of the whole topic in a directory (default there: 4GiB).
    #[arg(long, env = "SPANFERRY_RETENTION_BYTES", value_name = "SIZE", value_parser = size)]
    pub retention_bytes: Option<usize>,
    /// The largest record.
    #[arg(long, env = "SPANFERRY_MAX_RECORD_BYTES", default_value = "1000000", value_name = "SIZE", value_parser = size)]
    pub max_record_bytes: usize,
    /// Bytes handed to the log and not acknowledged yet, at most; beyond it senders are told to retry.
    #[arg(long, env = "SPANFERRY_QUEUE_BYTES", default_value = "32MiB", value_name = "SIZE", value_parser = size)]
    pub queue_bytes: usize,
    /// Bytes that a reader fetches ahead, at most.
    #[arg(long, env = "SPANFERRY_FETCH_AHEAD_BYTES", default_value = "8MiB", value_name = "SIZE", value_parser = size)]
    pub fetch_ahead_bytes: usize,
    /// A property of librdkafka (security.protocol=SASL_SSL, linger.ms=5, …); repeat for more.
    #[arg(long, env = "SPANFERRY_KAFKA_PROPERTY", value_name = "NAME=VALUE", value_parser = property, value_delimiter = ' ')]
    pub kafka_property: Vec<(String, String)>,
}

/// The bound of a directory's topic when none is given.
const DIRECTORY_BYTES: u64 = 4 << 30;

impl LogArgs {
    /// Where the log is.
    pub fn location(&self) -> Result<LogLocation, ArgsError> {
        match (&self.log, &self.kafka_brokers) {
            (Some(location), _) => Ok(location.parse()?),
            (None, Some(brokers)) => Ok(format!("kafka://{brokers}/{}", self.kafka_topic).parse()?),
            (None, None) => Err(ArgsError::NoLog),
        }
    }

    /// What the log at `location` is opened with.
    pub fn settings(&self, location: &LogLocation) -> LogSettings {
        let default_bytes = match location {
            LogLocation::Kafka { .. } => None,
            LogLocation::Directory { .. } => Some(DIRECTORY_BYTES),
        };
        LogSettings {
            topic: TopicSettings {
                create: self.topic_create,
                partitions: self.topic_partitions,
                replication: self.topic_replication,
                retention: Retention {
                    age: Some(self.retention),
                    bytes: self.retention_bytes.map(|bytes| bytes as u64).or(default_bytes),
                },
                max_record_bytes: self.max_record_bytes,
            },
            queue_bytes: self.queue_bytes,
            fetch_ahead_bytes: self.fetch_ahead_bytes,
            kafka_properties: self.kafka_property.iter().cloned().collect(),
        }
    }
}

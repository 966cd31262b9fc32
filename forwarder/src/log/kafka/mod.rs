//! The log in Kafka: every librdkafka call of the project stands in this folder.
//!
//! `cluster` holds what is told to librdkafka and `reach` what it tells about brokers that are away; `topic` learns and
//! makes the topic; `producer` appends through one `writer` at a time; `reader` is a group's member, whose thread
//! (`membership`, `rebalance`) fills `fetched` and keeps `positions`. `look` asks and reads without a group, `recent` from the
//! log's end. `native` holds the few unsafe lines.

mod acknowledge;
mod cluster;
mod fetched;
mod look;
mod membership;
mod native;
mod pages;
mod positions;
mod producer;
mod queue;
mod reach;
mod reader;
mod rebalance;
mod recent;
mod topic;
mod writer;

#[cfg(test)]
mod tests;

use super::{
    Acknowledgement, AppendError, Commit, Log, LogError, LogSettings, Placed, QueueSize, Reader,
    Scan, Standing, Stretch, TopicSettings,
};
use async_trait::async_trait;
use cluster::Cluster;
use producer::Producer;
use reader::KafkaReader;
use std::sync::Arc;
use std::time::Duration;
use topic::Topic;

pub use producer::producers_replaced;

/// Opens `topic` at `brokers`; they need not be reachable now.
/// `LogError::Setting` when librdkafka knows no such property, or when it is one that our promises rest on.
pub fn open(brokers: &str, topic: &str, settings: &LogSettings) -> Result<Arc<dyn Log>, LogError> {
    let cluster = Arc::new(Cluster::new(brokers, &settings.kafka_properties)?);
    Ok(KafkaLog::open(cluster, topic, settings.clone()))
}

/// A topic of a Kafka cluster.
struct KafkaLog {
    cluster: Arc<Cluster>,
    topic: Arc<Topic>,
    producer: Producer,
    settings: LogSettings,
}

impl KafkaLog {
    fn open(cluster: Arc<Cluster>, topic: &str, settings: LogSettings) -> Arc<dyn Log> {
        let topic = Arc::new(Topic::new(topic, cluster.clone(), settings.topic.clone()));
        let producer = Producer::new(cluster.clone(), topic.clone(), settings.queue_bytes);
        Arc::new(Self { cluster, topic, producer, settings })
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn topic(&self) -> &str {
        self.topic.name()
    }

    async fn partitions(&self) -> Result<u32, LogError> {
        self.topic.partitions().await
    }

    fn max_record_bytes(&self) -> usize {
        self.topic.record_bytes()
    }

    fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError> {
        self.producer.append(records)
    }

    fn queue(&self) -> QueueSize {
        self.producer.queue()
    }

    async fn reader(&self, group: &str) -> Result<Box<dyn Reader>, LogError> {
        let ahead = self.settings.fetch_ahead_bytes;
        Ok(Box::new(KafkaReader::join(&self.cluster, &self.topic, group, ahead)?))
    }

    async fn standing(&self, group: &str) -> Result<Vec<Standing>, LogError> {
        look::standing(&self.cluster, &self.topic, group).await
    }

    async fn scan(&self, stretches: Vec<Stretch>) -> Result<Box<dyn Scan>, LogError> {
        look::scan(&self.cluster, &self.topic, stretches, self.settings.fetch_ahead_bytes).await
    }

    fn recent(&self, partitions: &[u32], since_ms: i64) -> Box<dyn Scan> {
        let ahead = self.settings.fetch_ahead_bytes;
        recent::recent(&self.cluster, &self.topic, partitions, since_ms, ahead)
    }

    async fn store(&self, group: &str, commits: Vec<Commit>) -> Result<(), LogError> {
        look::store(&self.cluster, &self.topic, group, commits).await
    }

    fn retention(&self) -> Option<Duration> {
        self.topic.retention()
    }

    fn sibling(&self, topic: &str, settings: &TopicSettings) -> Result<Arc<dyn Log>, LogError> {
        let settings = LogSettings { topic: settings.clone(), ..self.settings.clone() };
        Ok(Self::open(self.cluster.clone(), topic, settings))
    }

    async fn flush(&self) -> Result<(), LogError> {
        self.producer.flush().await;
        Ok(())
    }
}

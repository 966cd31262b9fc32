//! The processes that are compared: on each side one that takes OTLP and writes to Kafka, and one that reads Kafka and sends OTLP.

use crate::collector::{Collector, FROM_KAFKA, TO_KAFKA};
use crate::figures::Side;
use crate::ground::Ground;
use crate::load::Protocol;
use crate::records::Records;
use crate::topic::Topic;
use anyhow::Result;
use spanferry_tests::stack::spanferry::Spanferry;
use std::net::SocketAddr;

/// Who stands between the load and Kafka.
pub enum Bridge {
    /// Ours.
    Spanferry(Spanferry),
    /// The peer.
    Collector(Collector),
}

/// Who stands between Kafka and the destination.
pub enum Forwarder {
    /// Ours.
    Spanferry(Spanferry),
    /// The peer.
    Collector(Collector),
}

impl Bridge {
    /// Starts one that writes to `topic`.
    pub async fn start(
        ground: &Ground,
        side: Side,
        topic: &Topic,
        records: Records,
    ) -> Result<Bridge> {
        Ok(match side {
            Side::Spanferry => {
                Bridge::own(ground, &topic.location(&ground.kafka), records.flags()).await?
            }
            Side::Collector => {
                let (directory, _) = ground.place("bridge")?;
                let variables = [
                    ("KAFKA_BROKERS", ground.kafka.address()),
                    ("KAFKA_TOPIC", topic.name.clone()),
                ];
                Bridge::Collector(Collector::start(&directory, TO_KAFKA, &variables).await?)
            }
        })
    }

    /// Starts ours before any log, with these flags.
    pub async fn own(ground: &Ground, log: &str, flags: &[&str]) -> Result<Bridge> {
        let (directory, _) = ground.place("bridge")?;
        let bridge = Spanferry::bridge(&directory, log, flags).await?;
        bridge.ready().await?;
        Ok(Bridge::Spanferry(bridge))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Bridge::Spanferry(bridge) => bridge.id(),
            Bridge::Collector(collector) => collector.id(),
        }
    }

    /// Where it takes OTLP.
    pub fn address(&self, protocol: Protocol) -> Result<SocketAddr> {
        match (self, protocol) {
            (Bridge::Spanferry(bridge), Protocol::Http) => bridge.http(),
            (Bridge::Spanferry(bridge), Protocol::Grpc) => bridge.grpc(),
            (Bridge::Collector(collector), Protocol::Http) => Ok(collector.http()),
            (Bridge::Collector(collector), Protocol::Grpc) => Ok(collector.grpc()),
        }
    }
}

impl Forwarder {
    /// Starts one that reads `topic`, with these records in it, as `group` and sends over this protocol to this address.
    pub async fn start(
        ground: &Ground,
        side: Side,
        (topic, records): (&Topic, Records),
        group: &str,
        (protocol, to): (Protocol, SocketAddr),
    ) -> Result<Forwarder> {
        let (directory, _) = ground.place("forwarder")?;
        Ok(match side {
            Side::Spanferry => {
                let (log, to) = (topic.location(&ground.kafka), format!("http://{to}"));
                let spoken = match protocol {
                    Protocol::Http => "http",
                    Protocol::Grpc => "grpc",
                };
                let more = ["--group", group, "--protocol", spoken];
                let started = Spanferry::forward("forward", &directory, &log, &to, &more);
                Forwarder::Spanferry(started.await?)
            }
            Side::Collector => {
                let queue = records.queue(ground.arguments.partitions);
                let exporter = match protocol {
                    Protocol::Http => "otlphttp",
                    Protocol::Grpc => "otlp",
                };
                let variables = [
                    ("KAFKA_BROKERS", ground.kafka.address()),
                    ("KAFKA_TOPIC", topic.name.clone()),
                    ("KAFKA_GROUP", group.to_owned()),
                    ("EXPORTER", exporter.to_owned()),
                    ("DESTINATION", to.to_string()),
                    ("QUEUE", queue.is_some().to_string()),
                    ("QUEUE_SPANS", queue.unwrap_or(1).to_string()),
                ];
                Forwarder::Collector(Collector::start(&directory, FROM_KAFKA, &variables).await?)
            }
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        match self {
            Forwarder::Spanferry(forwarder) => forwarder.id(),
            Forwarder::Collector(collector) => collector.id(),
        }
    }
}

//! Everything that runs: two bridges with a spool, two forwarders, Kafka and a destination, with a network between them that can fail.

use super::front::Front;
use super::numbered::Numbered;
use super::plan::{End, Plan};
use crate::fakes::Sink;
use crate::fakes::proxy::Proxy;
use crate::stack::destination::Destination;
use crate::stack::jaeger::{Jaeger, Storage};
use crate::stack::kafka::Kafka;
use crate::stack::ports;
use crate::stack::spanferry::Spanferry;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A dead member of the group is noticed soon; waits are short, so that much happens.
const FORWARD: [&str; 10] = [
    "--group",
    GROUP,
    "--backoff-max",
    "1s",
    "--drain-timeout",
    "3s",
    "--kafka-property",
    "session.timeout.ms=1500",
    "--kafka-property",
    "heartbeat.interval.ms=300",
];
/// The forwarders'.
pub const GROUP: &str = "torture";
const FREE: &str = "127.0.0.1:0";

/// See the module. Senders reach the bridges, and everybody reaches Kafka and the destination, through the networks.
pub struct Stage {
    /// One node, with its data on disk.
    pub kafka: Kafka,
    /// Before it: its own clients are told this address.
    pub kafka_network: Proxy,
    /// Two of them.
    pub bridges: Vec<Spanferry>,
    /// Before each.
    pub bridge_networks: Vec<Proxy>,
    /// Two of them, the first a static member of the group.
    pub forwarders: Vec<Spanferry>,
    /// Where the spans end.
    pub destination: Destination,
    /// Before it.
    pub destination_network: Proxy,
    /// Before the bridges, if it is wanted.
    pub front: Option<Front>,
    /// How the spans are numbered.
    pub numbered: Numbered,
    /// Logs and data.
    pub directory: PathBuf,
}

impl Stage {
    /// Starts it all and waits until it is ready.
    pub async fn start(directory: &Path, plan: &Plan) -> Result<Stage> {
        let port = ports::free()?;
        let kafka = Kafka::start_quickly(directory, port).await?;
        let kafka_network = Proxy::start(port, kafka.address().parse()?).await?;
        let destination = match plan.destination {
            End::Sink => Destination::Sink(Sink::start()?),
            End::Jaeger => Destination::Jaeger(Jaeger::start(directory, Storage::Disk).await?),
        };
        let end: SocketAddr = destination.url().trim_start_matches("http://").parse()?;
        let destination_network = Proxy::start(ports::free()?, end).await?;
        let mut stage = Stage {
            kafka,
            kafka_network,
            bridges: Vec::new(),
            bridge_networks: Vec::new(),
            forwarders: Vec::new(),
            destination,
            destination_network,
            front: None,
            numbered: Numbered::from_now(),
            directory: directory.to_owned(),
        };
        for place in 0..2 {
            stage.start_bridge(place).await?;
            stage.start_forwarder(place, plan.request_bytes().as_deref()).await?;
        }
        if plan.envoy {
            stage.front = Some(Front::start(directory, stage.doors()).await?);
        }
        Ok(stage)
    }

    /// Where senders find the bridges.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.bridge_networks.iter().map(Proxy::address).collect()
    }

    /// The log as all its clients name it.
    pub fn log(&self) -> String {
        format!("kafka://{}/torture", self.kafka_network.address())
    }

    async fn start_bridge(&mut self, place: usize) -> Result<()> {
        let log = self.log();
        let spool = self.directory.join(format!("spool-{place}")).display().to_string();
        let arguments = [
            &["bridge", "--log", &log, "--spool", &spool][..],
            &["--ack-timeout", "3s", "--drain-timeout", "3s"],
            &["--listen-http", FREE, "--listen-grpc", FREE, "--admin", FREE][..],
        ];
        let name = format!("bridge-{place}");
        let bridge = Spanferry::start(&name, &self.directory, &arguments.concat()).await?;
        self.bridge_networks.push(Proxy::start(ports::free()?, bridge.http()?).await?);
        bridge.ready().await?;
        self.bridges.push(bridge);
        Ok(())
    }

    async fn start_forwarder(&mut self, place: usize, request_bytes: Option<&str>) -> Result<()> {
        let log = self.log();
        let to = format!("http://{}", self.destination_network.address());
        let is_static = ["--kafka-property", "group.instance.id=torture-0"];
        let more = if place == 0 { &is_static[..] } else { &[] };
        let request_bytes = request_bytes.map(|bytes| ["--send-request-bytes", bytes]);
        let request_bytes = request_bytes.as_ref().map_or(&[][..], |flag| &flag[..]);
        let arguments = [
            &["forward", "--log", &log, "--to", &to, "--protocol", "grpc", "--admin", FREE][..],
            &FORWARD[..],
            request_bytes,
            more,
        ];
        let name = format!("forward-{place}");
        self.forwarders.push(Spanferry::start(&name, &self.directory, &arguments.concat()).await?);
        Ok(())
    }
}

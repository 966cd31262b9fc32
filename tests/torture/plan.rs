//! What is to be done: how many kills, how long at most, from which seed, with which destination.

use crate::stack::parts;
use clap::{ArgAction, Parser, ValueEnum};
use std::time::Duration;

/// `make torture`.
#[derive(Clone, Debug, Parser)]
pub struct Plan {
    /// kill -9 of bridges and of forwarders until the storm ends, each.
    #[arg(long, default_value_t = 100)]
    pub cycles: u64,
    /// The storm ends after so many minutes, however many kills there were.
    #[arg(long, default_value_t = 30)]
    pub minutes: u64,
    /// Where the faults come from; a random one when not given.
    #[arg(long, default_value_t = rand::random::<u32>().into())]
    pub seed: u64,
    /// Where the spans end.
    #[arg(long, value_enum, default_value_t = End::Sink)]
    pub destination: End,
    /// Who sends at a time; every third does as an SDK does, the others as filters do.
    #[arg(long, default_value_t = 12)]
    pub senders: u64,
    /// A sender's pause between two batches, ms.
    #[arg(long, default_value_t = 60)]
    pub pause_ms: u64,
    /// Whether an Envoy with the filter stands in front; without a word, if both are at hand.
    #[arg(long, action = ArgAction::Set, default_value_t = parts::envoy().is_ok() && parts::filter().is_ok())]
    pub envoy: bool,
    /// A forwarder's requests, at most; without a word 64KiB to Jaeger, and what the product has by default to the sink.
    #[arg(long, value_name = "SIZE")]
    pub request_bytes: Option<String>,
    /// How long a bridge or a forwarder is up between two blows, ms, on average (but for a long spell now and then).
    #[arg(long, default_value_t = 450)]
    pub role_up_ms: u64,
    /// The same for Kafka, which takes 3 s and more to start.
    #[arg(long, default_value_t = 3_000)]
    pub kafka_up_ms: u64,
    /// The same for the destination.
    #[arg(long, default_value_t = 1_450)]
    pub destination_up_ms: u64,
    /// The same for Envoy.
    #[arg(long, default_value_t = 3_000)]
    pub envoy_up_ms: u64,
}

/// Where the spans end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// A destination in this process: it remembers each span, and its bytes are compared.
    Sink,
    /// Real Jaeger with its storage on disk, asked through its query API.
    Jaeger,
}

impl Plan {
    /// A plan of so many kills, as long as it takes up to a limit.
    pub fn of(cycles: u64, minutes: u64, seed: u64) -> Plan {
        let [cycles, minutes, seed] = [cycles, minutes, seed].map(|number| number.to_string());
        let arguments = ["torture", "--cycles", &cycles, "--minutes", &minutes, "--seed", &seed];
        Plan::parse_from(arguments)
    }

    /// Jaeger on disk syncs each span: a request must be done with before the next kill.
    pub fn request_bytes(&self) -> Option<String> {
        let to_jaeger = (self.destination == End::Jaeger).then(|| "64KiB".to_owned());
        self.request_bytes.clone().or(to_jaeger)
    }

    /// How long the storm lasts at most.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }
}

//! The flags of the operators' commands: they run, print and end.

use super::log_args::LogArgs;
use super::units::duration;
use crate::dlq::Number;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// `spanferry ledger`.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    /// The log. Without it, the first of --admin is asked for its ledger: so for a running all-in-one.
    #[command(flatten)]
    pub log: LogArgs,
    /// The consumer group.
    #[arg(
        long,
        env = "SPANFERRY_GROUP",
        default_value = "trace-consumer-group",
        value_name = "NAME"
    )]
    pub group: String,
    /// Where dead letters are; without it, the topic's name with .dlq behind it.
    #[arg(long, env = "SPANFERRY_DEAD_LETTER_TOPIC", value_name = "NAME")]
    pub dead_letter_topic: Option<String>,
    /// The admin address of a running bridge or forwarder, HOST:PORT; repeat for more. They know what is in spools and in requests.
    #[arg(long, env = "SPANFERRY_LEDGER_ADMIN", value_name = "ADDRESS", value_delimiter = ',')]
    pub admin: Vec<String>,
    /// Show each filter, too: reads all that the log holds.
    #[arg(long, env = "SPANFERRY_LEDGER_SOURCES")]
    pub sources: bool,
    /// Spans that the destination holds, by its own count: fewer than were delivered are lost there.
    #[arg(long, env = "SPANFERRY_LEDGER_AT_DESTINATION", value_name = "SPANS")]
    pub at_destination: Option<u64>,
    /// Lost spans that are known of already: as many are no failure.
    #[arg(long, env = "SPANFERRY_LEDGER_KNOWN_LOST", default_value_t = 0, value_name = "SPANS")]
    pub known_lost: u64,
    /// One JSON object instead of a table.
    #[arg(long, env = "SPANFERRY_JSON")]
    pub json: bool,
}

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DlqAction {
    /// Show a line for each open letter.
    List,
    /// Show letters with their headers and spans.
    Show,
    /// Send letters again: into the topic, or with --to straight to a destination.
    Replay,
    /// Let letters go: they are shown as open no more.
    Discard,
}

/// `spanferry dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// What is to be done.
    #[arg(value_name = "ACTION")]
    pub action: DlqAction,
    /// Letters, by the numbers that `list` shows.
    #[arg(value_name = "NUMBER")]
    pub numbers: Vec<Number>,
    /// Every letter for `list`, every open one for the others.
    #[arg(long, env = "SPANFERRY_DLQ_ALL")]
    pub all: bool,
    /// One JSON object a line.
    #[arg(long, env = "SPANFERRY_JSON")]
    pub json: bool,
    /// Replay to this destination instead of into the topic.
    #[arg(long, env = "SPANFERRY_DLQ_TO", value_name = "URL")]
    pub to: Option<String>,
    /// The destination's protocol, when its port does not tell.
    #[arg(long, env = "SPANFERRY_PROTOCOL", value_name = "NAME", value_parser = ["auto", "grpc", "http"], default_value = "auto")]
    pub protocol: String,
    /// How long the destination may take to answer.
    #[arg(long, env = "SPANFERRY_REQUEST_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Duration,
    /// Where dead letters are; without it, the topic's name with .dlq behind it.
    #[arg(long, env = "SPANFERRY_DEAD_LETTER_TOPIC", value_name = "NAME")]
    pub dead_letter_topic: Option<String>,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

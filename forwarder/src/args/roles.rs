//! The flags of each role, made of groups that the roles share.

use super::log_args::LogArgs;
use super::units::{duration, size};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `spanferry bridge`.
#[derive(Debug, Args)]
pub struct BridgeArgs {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What comes in.
    #[command(flatten)]
    pub receive: ReceiveArgs,
    /// What is kept while Kafka is away.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// `spanferry forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What goes out.
    #[command(flatten)]
    pub send: SendArgs,
    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// `spanferry all-in-one`.
#[derive(Debug, Args)]
pub struct AllInOneArgs {
    /// The directory of the log; made when it is missing. The same as --log dir:PATH.
    #[arg(long, env = "SPANFERRY_DATA", default_value = "spanferry-data", value_name = "DIR")]
    pub data: PathBuf,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What comes in.
    #[command(flatten)]
    pub receive: ReceiveArgs,
    /// What goes out.
    #[command(flatten)]
    pub send: SendArgs,
    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// `spanferry health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The admin address of the role that is asked.
    #[arg(long, env = "SPANFERRY_ADMIN", default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    pub admin: SocketAddr,
}

/// How the process shows itself and how it ends.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "SPANFERRY_ADMIN", default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// After SIGTERM or SIGINT, how long what was taken may take to finish.
    #[arg(long, env = "SPANFERRY_DRAIN_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// The receiving side.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Receive")]
pub struct ReceiveArgs {
    /// OTLP/HTTP.
    #[arg(
        long,
        env = "SPANFERRY_LISTEN_HTTP",
        default_value = "127.0.0.1:4318",
        value_name = "ADDRESS"
    )]
    pub listen_http: SocketAddr,
    /// OTLP/gRPC.
    #[arg(
        long,
        env = "SPANFERRY_LISTEN_GRPC",
        default_value = "127.0.0.1:4317",
        value_name = "ADDRESS"
    )]
    pub listen_grpc: SocketAddr,
    /// The largest request, after decompression.
    #[arg(long, env = "SPANFERRY_MAX_REQUEST_BYTES", default_value = "16MiB", value_name = "SIZE", value_parser = size)]
    pub max_request_bytes: usize,
    /// Bytes of requests in progress, at most; beyond it senders are told to retry.
    #[arg(long, env = "SPANFERRY_MAX_BYTES_IN_FLIGHT", default_value = "64MiB", value_name = "SIZE", value_parser = size)]
    pub max_bytes_in_flight: usize,
    /// Connections at a time.
    #[arg(long, env = "SPANFERRY_MAX_CONNECTIONS", default_value_t = 4096, value_name = "N",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: usize,
    /// How long a request waits for the log's acknowledgement before it is told to retry.
    #[arg(long, env = "SPANFERRY_ACK_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = duration)]
    pub ack_timeout: Duration,
    /// How long a request may take to arrive.
    #[arg(long, env = "SPANFERRY_READ_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub read_timeout: Duration,
    /// What a record holds: the spans of one trace, or those of all traces of a batch that are of one partition. The
    /// second costs less where traces are short; each partition has the same traces either way.
    #[arg(long, env = "SPANFERRY_RECORD", value_name = "OF", value_parser = ["trace", "batch"], default_value = "trace")]
    pub record: String,
    /// What Retry-After says to a sender that is to come again.
    #[arg(long, env = "SPANFERRY_RETRY_AFTER", default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub retry_after: Duration,
}

/// The spool.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Spool")]
pub struct SpoolArgs {
    /// A directory for what Kafka does not take now: fsynced there, answered with 200, brought to Kafka in order when it
    /// is back. Made when it is missing. Without it, senders are told to retry while Kafka is away.
    #[arg(long, env = "SPANFERRY_SPOOL", value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Bytes that the spool takes on disk, at most; when it is full, senders are told to retry.
    #[arg(long, env = "SPANFERRY_SPOOL_BYTES", default_value = "1GiB", value_name = "SIZE", value_parser = size)]
    pub spool_bytes: usize,
    /// How long a batch waits for Kafka before it goes to the spool as well, with all that comes after it.
    #[arg(long, env = "SPANFERRY_SPOOL_AFTER", default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub spool_after: Duration,
}

/// The sending side.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Send")]
pub struct SendArgs {
    /// The destination: http://HOST:4317 is OTLP/gRPC, http://HOST:4318 or one with a path is OTLP/HTTP.
    #[arg(long, env = "SPANFERRY_TO", value_name = "URL")]
    pub to: Option<String>,
    /// The same as --to, under the name that Jaeger's users know.
    #[arg(long, env = "JAEGER_ENDPOINT", value_name = "URL")]
    pub jaeger_endpoint: Option<String>,
    /// The protocol, when the destination's port does not tell.
    #[arg(long, env = "SPANFERRY_PROTOCOL", value_name = "NAME", value_parser = ["auto", "grpc", "http"], default_value = "auto")]
    pub protocol: String,
    /// The consumer group.
    #[arg(
        long,
        env = "SPANFERRY_GROUP",
        default_value = "trace-consumer-group",
        value_name = "NAME"
    )]
    pub group: String,
    /// Where records go that the destination will never take; without it, the topic's name with .dlq behind it.
    #[arg(long, env = "SPANFERRY_DEAD_LETTER_TOPIC", value_name = "NAME")]
    pub dead_letter_topic: Option<String>,
    /// Warn when the oldest record that waits has less than this share of the topic's retention left, in percent.
    #[arg(long, env = "SPANFERRY_HEADROOM_WARNING", default_value_t = 20, value_name = "PERCENT",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub headroom_warning: u8,
    /// While a backlog waits, the share of the spans that is for records appended now, in percent: they overtake the old ones.
    /// 0: every record waits for its turn.
    #[arg(long, env = "SPANFERRY_FRESH_SHARE", default_value_t = 25, value_name = "PERCENT",
          value_parser = clap::value_parser!(u8).range(0..=90))]
    pub fresh_share: u8,
    /// Requests to the destination at a time.
    #[arg(long, env = "SPANFERRY_REQUESTS_IN_FLIGHT", default_value_t = 8, value_name = "N",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub requests_in_flight: usize,
    /// The size up to which records are joined into one request.
    #[arg(long, env = "SPANFERRY_SEND_REQUEST_BYTES", default_value = "2MiB", value_name = "SIZE", value_parser = size)]
    pub send_request_bytes: usize,
    /// How long the destination may take to answer.
    #[arg(long, env = "SPANFERRY_REQUEST_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Duration,
    /// The first pause after a failure.
    #[arg(long, env = "SPANFERRY_BACKOFF_MIN", default_value = "500ms", value_name = "DURATION", value_parser = duration)]
    pub backoff_min: Duration,
    /// The longest pause between two tries.
    #[arg(long, env = "SPANFERRY_BACKOFF_MAX", default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub backoff_max: Duration,
}

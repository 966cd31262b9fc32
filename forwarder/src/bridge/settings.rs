//! What the bridge is run with. Every bound is in bytes or time.

use std::time::Duration;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordOf {
    /// The spans of one trace of a batch.
    #[default]
    Trace,
    /// The spans of all traces of a batch that are of one partition: less per span where traces are short.
    Batch,
}

/// See each field; `Default` is what the flags default to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest request after decompression, bytes.
    pub max_request_bytes: usize,
    /// Bytes of requests that are read or not acknowledged yet, at most.
    pub max_bytes_in_flight: usize,
    /// Connections at a time; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a request waits for the log's acknowledgement.
    pub ack_timeout: Duration,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// What a sender is told to wait before it comes again.
    pub retry_after: Duration,
    /// What a record holds.
    pub record: RecordOf,
    /// How long requests in progress may take at the end.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_request_bytes: 16 << 20,
            max_bytes_in_flight: 64 << 20,
            max_connections: 4096,
            ack_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            record: RecordOf::Trace,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

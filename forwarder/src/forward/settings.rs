//! What the forwarder is run with. Every bound is in bytes, spans or time.

use std::time::Duration;

/// See each field; `Default` is what the flags default to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The consumer group.
    pub group: String,
    /// Requests to the destination at a time (at least 1).
    pub requests_in_flight: usize,
    /// Records are joined up to this many bytes; a larger record goes alone.
    pub max_request_bytes: usize,
    /// Records are joined up to this many spans.
    pub max_request_spans: u64,
    /// Bytes of memory that hold what is read and not delivered yet, about; beyond it nothing is read.
    pub max_held_bytes: usize,
    /// Records that are read and that no commit can pass, since one before them is not settled: 100 bytes each, about. Beyond it
    /// nothing is read; six times what is in flight when a record has one span.
    pub max_window_records: usize,
    /// The share of fresh records while a backlog waits, in percent of the spans (0 to 90); 0: all wait for their turn.
    pub fresh_share: u8,
    /// Bytes of fresh records that wait beside that, at most.
    pub max_fresh_bytes: usize,
    /// The first pause after a failure; it doubles from there.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// An answer of the destination that takes longer is a sign to go slower.
    pub slow_answer: Duration,
    /// How often offsets are committed, at most: a kill -9 repeats what was delivered since.
    pub commit_interval: Duration,
    /// How long requests in flight may take when partitions are revoked.
    pub revoke_timeout: Duration,
    /// Below so much of the log's retention, in percent, there is a warning.
    pub headroom_warning: u8,
    /// How long requests in flight may take at the end.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            group: "trace-consumer-group".into(),
            requests_in_flight: 8,
            max_request_bytes: 2 << 20,
            max_request_spans: 8192,
            max_held_bytes: 24 << 20,
            max_window_records: 400_000,
            fresh_share: 25,
            max_fresh_bytes: 4 << 20,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            slow_answer: Duration::from_secs(5),
            commit_interval: Duration::from_millis(50),
            revoke_timeout: Duration::from_secs(5),
            headroom_warning: 20,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

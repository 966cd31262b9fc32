//! What the spool is run with.

use crate::bridge::settings::RecordOf;
use std::path::PathBuf;
use std::time::Duration;

/// See each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory.
    pub path: PathBuf,
    /// Bytes on disk, at most.
    pub bytes: u64,
    /// How long a batch waits for the log before it goes to the spool as well.
    pub after: Duration,
    /// The largest request, bytes.
    pub max_request_bytes: usize,
    /// What a record of the log holds.
    pub record: RecordOf,
    /// Bytes of requests in progress, at most.
    pub max_bytes_in_flight: usize,
}

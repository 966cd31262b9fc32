//! A bridge's disk: what was not synced when the bridge crashed is there, or not, or in part.

use super::chance::Chance;
use crate::bridge::{Metrics, RecordOf, Spool, SpoolSettings};
use crate::log::Log;
use crate::log::embedded::faults::Hands;
use crate::log::embedded::platter::Platter;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// See the module. The directory holds the lock and nothing else.
pub struct SpoolDisk {
    directory: TempDir,
    pub platter: Platter,
}

impl SpoolDisk {
    pub fn new(chance: &Chance) -> Self {
        let platter = Platter::of(chance.below(u64::MAX));
        Self { directory: TempDir::new().unwrap(), platter }
    }

    /// What the bridge finds of its spool.
    pub fn open(
        &self,
        log: Arc<dyn Log>,
        letters: Arc<dyn Log>,
        metrics: Arc<Metrics>,
    ) -> Arc<Spool> {
        let settings = SpoolSettings {
            path: self.directory.path().into(),
            bytes: 1 << 20,
            after: Duration::from_millis(100),
            max_request_bytes: 1 << 20,
            record: RecordOf::Trace,
            max_bytes_in_flight: 8 << 20,
        };
        Spool::open_in_hands(&settings, &Hands::on(&self.platter), log, letters, metrics).unwrap()
    }
}

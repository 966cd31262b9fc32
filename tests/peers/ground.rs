//! What all comparisons of a run stand on: one Kafka, a directory and a name for each part, and the numbers of the requests.

use crate::Arguments;
use anyhow::Result;
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::leash;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of one load.
const LOAD: u64 = 1 << 32;

/// Shared by all.
pub struct Ground {
    /// How much of everything.
    pub arguments: Arguments,
    /// The broker.
    pub kafka: Kafka,
    directory: tempfile::TempDir,
    places: AtomicU64,
    loads: AtomicU64,
}

impl Ground {
    /// Starts Kafka.
    pub async fn new(arguments: Arguments) -> Result<Ground> {
        let directory = tempfile::Builder::new().prefix("spanferry-bench-").tempdir()?;
        leash::remove_at_end(directory.path())?;
        let kafka = Kafka::start(directory.path()).await?;
        let (places, loads) = (AtomicU64::new(0), AtomicU64::new(1));
        Ok(Ground { arguments, kafka, directory, places, loads })
    }

    /// Whether the arguments ask for the part of this name.
    pub fn wants(&self, name: &str) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.iter().any(|one| name.contains(one))
    }

    /// A directory and a name that nobody has used in this run.
    pub fn place(&self, what: &str) -> Result<(PathBuf, String)> {
        let name = format!("{what}-{}", self.places.fetch_add(1, Ordering::Relaxed));
        let directory = self.directory.path().join(&name);
        std::fs::create_dir_all(&directory)?;
        Ok((directory, name))
    }

    /// The number of a load's first request; no other load of this run has one of its numbers.
    pub fn number(&self) -> u64 {
        self.loads.fetch_add(1, Ordering::Relaxed) * LOAD
    }
}

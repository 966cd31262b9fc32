//! What all comparisons of a run stand on: one Kafka, places and names, the numbers of the requests, and
//! the order of the rounds.

use crate::Arguments;
use crate::corpus::{Corpus, Extent};
use crate::figures::{SIDES, Side, Slice};
use crate::load::{Load, Protocol};
use crate::topic::Topic;
use anyhow::{Context, Result};
use spanferry_tests::stack::kafka::Kafka;
use spanferry_tests::stack::leash;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
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

    /// All of them, or in a quick run the first.
    pub fn some_of<T: Copy>(&self, all: &[T]) -> Vec<T> {
        let count = if self.arguments.quick { 1 } else { all.len() };
        all.iter().take(count).copied().collect()
    }

    /// A directory and a name that nobody has used in this run.
    pub fn place(&self, what: &str) -> Result<(PathBuf, String)> {
        let name = format!("{what}-{}", self.places.fetch_add(1, Ordering::Relaxed));
        let directory = self.directory.path().join(&name);
        std::fs::create_dir_all(&directory)?;
        Ok((directory, name))
    }

    /// A new topic of so many partitions.
    pub async fn topic(&self, partitions: u32) -> Result<Topic> {
        let (_, name) = self.place("topic")?;
        Topic::make(&self.kafka, &name, partitions).await
    }

    /// A load as fast as it is taken; no other load of this run has one of its numbers.
    pub fn load(
        &self,
        target: SocketAddr,
        protocol: Protocol,
        corpus: &Arc<Corpus>,
        extent: Extent,
    ) -> Load {
        let first = self.loads.fetch_add(1, Ordering::Relaxed) * LOAD;
        let (connections, corpus) = (self.arguments.connections, corpus.clone());
        Load { target, protocol, connections, corpus, extent, first, rate: None }
    }

    /// Every round takes both sides, in an order that turns.
    pub async fn rounds(
        &self,
        name: &str,
        mut turn: impl AsyncFnMut(Side) -> Result<Slice>,
    ) -> Result<Vec<[Slice; 2]>> {
        let mut rounds = Vec::new();
        for round in 0..self.arguments.rounds as usize {
            eprintln!("{name}: round {} of {}", round + 1, self.arguments.rounds);
            let mut slices = [Slice::default(); 2];
            for place in 0..SIDES.len() {
                let side = SIDES[(place + round) % SIDES.len()];
                slices[side as usize] = turn(side).await.with_context(|| side.name())?;
            }
            rounds.push(slices);
        }
        Ok(rounds)
    }
}

//! What is done to processes: kill -9, SIGSTOP and SIGCONT, SIGTERM, each followed by its end and a new start.

use crate::stack::destination::Destination;
use crate::stack::kafka::Kafka;
use crate::stack::spanferry::Spanferry;
use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A process that was told to end has so long.
const END: Duration = Duration::from_secs(60);
/// A log file above this is begun anew: thousands of starts write much.
const LOG_BYTES: u64 = 256 << 10;

/// How often each fault happened, by its name.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counts {
    /// One more of these.
    pub fn add(&self, what: &str, victim: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(format!("{what} of {victim}")).or_default() += 1;
    }

    /// How many there were.
    pub fn of(&self, what: &str, victim: &str) -> u64 {
        self.all().get(&format!("{what} of {victim}")).copied().unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What every tormentor has: its chance, the end of the storm, and where it counts.
pub struct Torment {
    /// Its own, so that no other's pace changes it.
    pub chance: StdRng,
    /// Cancelled when the storm is over.
    pub over: CancellationToken,
    /// How often it did what.
    pub counts: Counts,
}

/// The name of a kill -9 in the counts.
pub const KILL: &str = "kill -9";
/// A victim that is not up yet.
pub const STARTING_KAFKA: &str = "Kafka as it starts";
/// Kafka's start takes so long at least, ms.
const START_MS: u64 = 2_000;

impl Torment {
    /// Waits between so many ms; false when the storm is over.
    pub async fn pause(&mut self, from_ms: u64, to_ms: u64) -> bool {
        let pause = self.ms(from_ms, to_ms);
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.over.cancelled() => false,
        }
    }

    /// Between so many ms.
    pub fn ms(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.chance.random_range(from_ms..to_ms))
    }

    /// Waits for the next blow at somebody who is up for so long on average; false when the storm is over.
    pub(super) async fn up(&mut self, mean_ms: u64) -> bool {
        self.pause(mean_ms / 4, mean_ms * 7 / 4 + 1).await
    }

    /// Torments a role until the storm is over; then it runs.
    pub async fn role(
        mut self,
        mut role: Spanferry,
        victim: &'static str,
        up_ms: u64,
        directory: &Path,
    ) -> Result<Spanferry> {
        while self.spell(up_ms).await {
            match self.chance.random_range(0..10) {
                0 => {
                    self.counts.add("SIGSTOP", victim);
                    role.signal(Signal::STOP)?;
                    tokio::time::sleep(self.ms(100, 2_500)).await;
                    role.signal(Signal::CONT)?;
                }
                1 => {
                    self.counts.add("SIGTERM", victim);
                    role.terminate(END).await?;
                    self.begin(&mut role, directory).await?;
                }
                _ => {
                    self.counts.add(KILL, victim);
                    role.kill();
                    tokio::time::sleep(self.ms(0, 200)).await;
                    self.begin(&mut role, directory).await?;
                }
            }
        }
        Ok(role)
    }

    /// Waits for the next blow at a role: mostly short, and now and then long enough to get something done.
    async fn spell(&mut self, up_ms: u64) -> bool {
        let is_long = self.chance.random_range(0..12) == 0;
        if is_long { self.pause(2_000, 6_000).await } else { self.up(up_ms).await }
    }

    async fn begin(&mut self, role: &mut Spanferry, directory: &Path) -> Result<()> {
        let log = directory.join(format!("{}.log", role.name()));
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG_BYTES) {
            std::fs::remove_file(&log)?;
        }
        role.restart().await.with_context(|| format!("{} did not start again", role.name()))
    }

    /// Torments Kafka, now and then while it starts.
    pub async fn kafka(mut self, mut kafka: Kafka, up_ms: u64) -> Result<Kafka> {
        let mut start_ms = START_MS;
        while self.up(up_ms).await {
            match self.chance.random_range(0..10) {
                0 => {
                    self.counts.add("SIGSTOP", "Kafka");
                    kafka.signal(Signal::STOP)?;
                    tokio::time::sleep(self.ms(100, 4_000)).await;
                    kafka.signal(Signal::CONT)?;
                    continue;
                }
                1 => {
                    self.counts.add("SIGTERM", "Kafka");
                    kafka.stop().await?;
                }
                _ => {
                    self.counts.add(KILL, "Kafka");
                    kafka.kill();
                    tokio::time::sleep(self.ms(0, 500)).await;
                }
            }
            while self.chance.random_range(0..3) == 0 {
                kafka.launch()?;
                tokio::time::sleep(self.ms(0, start_ms)).await;
                self.counts.add(KILL, STARTING_KAFKA);
                kafka.kill();
            }
            let begin = Instant::now();
            kafka.restart().await?;
            start_ms = (begin.elapsed().as_millis() as u64).max(START_MS);
        }
        Ok(kafka)
    }

    /// Torments the destination's process. The sink's port is closed and its connections are cut; what it has, it keeps.
    pub async fn destination(
        mut self,
        mut destination: Destination,
        up_ms: u64,
    ) -> Result<Destination> {
        while self.up(up_ms).await {
            self.counts.add(KILL, destination.name());
            destination.kill();
            tokio::time::sleep(self.ms(0, 800)).await;
            destination.restart().await?;
        }
        Ok(destination)
    }
}

//! A real Envoy with the filter in front, under requests: killed and stopped as all others. What it held when it was killed
//! was accepted by nobody.

use super::torment::{KILL, Torment};
use super::witness::Witness;
use crate::fakes::Origin;
use crate::stack::envoy::{Envoy, Setup};
use crate::stack::http as client;
use crate::stack::wait::eventually;
use anyhow::{Context, Result};
use rand::Rng;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const VICTIM: &str = "Envoy";
/// Clients, and a client's pause between two requests.
const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(2);
/// After the storm the filter has so long to hand over what it holds.
const FLUSH: Duration = Duration::from_secs(60);

/// An Envoy, the service behind it and the witness between it and the bridges. Dropped top down.
pub struct Front {
    envoy: Envoy,
    /// What its filter sent, and what of it was accepted.
    pub witness: Witness,
    answered: Arc<AtomicU64>,
    _origin: Origin,
}

impl Front {
    /// Starts it before these bridges.
    pub async fn start(directory: &Path, bridges: Vec<SocketAddr>) -> Result<Front> {
        let (origin, witness) = (Origin::start()?, Witness::start(bridges).await?);
        let setup = Setup { concurrency: 1, ..Setup::new(origin.address(), witness.address()) };
        let envoy = Envoy::start(directory, &setup).await?;
        Ok(Front { envoy, witness, answered: Arc::default(), _origin: origin })
    }

    /// Requests that Envoy answered with 200: a span each.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends requests until the storm is over.
    pub fn load(&self, over: &CancellationToken) {
        for _ in 0..CLIENTS {
            let (over, answered) = (over.clone(), self.answered.clone());
            let url = format!("http://{}/", self.envoy.address());
            tokio::spawn(async move {
                while !over.is_cancelled() {
                    let answer = tokio::time::timeout(PATIENCE, client::get(&url)).await;
                    if matches!(answer, Ok(Ok((status, _))) if status.is_success()) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }

    /// Waits until the filter that runs holds nothing.
    pub async fn flushed(&self) -> Result<()> {
        let holds = async || {
            let held = self.envoy.filter_stat("buffered_spans").await?;
            Ok((held == 0).then_some(()))
        };
        eventually("the filter to hold no span", FLUSH, holds).await
    }
}

impl Torment {
    /// Torments Envoy until the storm is over; then it runs.
    pub async fn front(mut self, front: Option<Front>, up_ms: u64) -> Result<Option<Front>> {
        let Some(mut front) = front else { return Ok(None) };
        front.load(&self.over);
        while self.up(up_ms).await {
            if self.chance.random_range(0..4) == 0 {
                self.counts.add("SIGSTOP", VICTIM);
                front.envoy.signal(Signal::STOP)?;
                tokio::time::sleep(self.ms(100, 2_500)).await;
                front.envoy.signal(Signal::CONT)?;
                continue;
            }
            self.counts.add(KILL, VICTIM);
            front.envoy.kill();
            tokio::time::sleep(self.ms(0, 300)).await;
            front.envoy.restart().await.context("Envoy did not start again")?;
        }
        Ok(Some(front))
    }
}

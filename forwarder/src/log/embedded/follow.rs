//! Following a topic: the next records are read on a blocking thread, and what is appended later when it is there. A step that
//! runs is kept, so that whoever waits for it may give up and loses nothing.

use super::directory::{Directory, Shared};
use super::fetch::{Begin, Fetched, fetch};
use super::topic::Topic;
use crate::log::{LogError, StoredRecord};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

/// See the module.
pub(super) struct Follower {
    shared: Arc<Shared>,
    topic: Arc<Topic>,
    /// The first offset wanted, of each partition.
    pub wanted: Arc<[i64]>,
    /// Where the next step begins.
    from: Begin,
    tail: watch::Receiver<u64>,
    running: Option<JoinHandle<Result<Fetched, LogError>>>,
    step_bytes: usize,
}

impl Follower {
    /// One step reads so many bytes, about.
    pub fn new(
        directory: &Directory,
        topic: &Arc<Topic>,
        wanted: Arc<[i64]>,
        from: Begin,
        step_bytes: usize,
    ) -> Self {
        let (shared, tail) = (directory.shared.clone(), topic.tail.subscribe());
        Self { shared, topic: topic.clone(), wanted, from, tail, running: None, step_bytes }
    }

    /// Begins the next step, when there is something to be read.
    pub fn fetch_ahead(&mut self) {
        let tail = *self.tail.borrow_and_update();
        if self.running.is_some() || self.from.is_at(tail) {
            return;
        }
        let (shared, topic, wanted) =
            (self.shared.clone(), self.topic.clone(), self.wanted.clone());
        let (from, bytes) = (self.from, self.step_bytes);
        self.running = Some(spawn_blocking(move || {
            let fetched = fetch(&shared, &topic, from, tail, &wanted, bytes);
            fetched.map_err(|fault| shared.store.explain(fault))
        }));
    }

    /// The next records, at least one; after an error the same step is tried again. Cancel safe.
    pub async fn next(&mut self) -> Result<Vec<StoredRecord>, LogError> {
        loop {
            self.fetch_ahead();
            let Some(running) = &mut self.running else {
                // The sender stands in the topic, which is held here.
                let _ = self.tail.changed().await;
                continue;
            };
            let fetched = running.await;
            self.running = None;
            let damaged = |_| self.shared.store.damaged("its pages make no sense");
            let Fetched { records, next } = fetched.map_err(damaged)??;
            self.from = Begin::Block(next);
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    /// Waits for the step that runs: it holds the database, and nobody wants its answer any more.
    pub async fn end(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.await;
        }
    }
}

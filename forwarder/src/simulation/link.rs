//! A process's way to the cluster: appends go out in order, one record after the other, and their acknowledgements come
//! back later or never. It fails as a producer without gaps does: behind a failed append everything fails.

use super::chance::Chance;
use super::cluster::{Cluster, PARTITIONS};
use super::member::Member;
use super::recent::Recent;
use super::stretches::Stretches;
use crate::log::{
    Acknowledgement, AppendError, Commit, Log, LogError, Placed, QueueSize, Reader, Scan, Standing,
    Stretch, TopicSettings,
};
use async_trait::async_trait;
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

const QUEUE_BYTES: usize = 20_000;

/// Which topic of the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    Traces,
    DeadLetters,
}

/// See the module.
pub struct Link {
    topic: Topic,
    cluster: Arc<Cluster>,
    chance: Chance,
    jobs: mpsc::UnboundedSender<Job>,
    shared: Arc<Shared>,
    /// The reader that joined last; 0: none.
    pub member: Arc<AtomicU64>,
}

#[derive(Default)]
struct Shared {
    /// The producer failed: the next append is refused once.
    is_broken: AtomicBool,
    knows_partitions: AtomicBool,
    queued_bytes: AtomicUsize,
    queued_records: AtomicUsize,
}

struct Job {
    records: Vec<Placed>,
    done: oneshot::Sender<Result<Vec<i64>, AppendError>>,
}

impl Link {
    /// Within the process's runtime, with which it dies.
    pub fn start(topic: Topic, cluster: &Arc<Cluster>, chance: &Chance) -> Arc<Self> {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let link = Self {
            topic,
            cluster: cluster.clone(),
            chance: chance.clone(),
            jobs,
            shared: Arc::default(),
            member: Arc::default(),
        };
        let sending = Sending {
            topic,
            cluster: cluster.clone(),
            chance: chance.clone(),
            shared: link.shared.clone(),
        };
        tokio::spawn(sending.run(waiting));
        Arc::new(link)
    }

    /// Looking from outside the group is the ledger's command, which has no place in a simulation.
    fn looks_at_nothing(&self) -> LogError {
        LogError::Fatal { what: self.topic().into(), detail: "not simulated".into() }
    }

    fn failed(detail: &str) -> AppendError {
        AppendError::Failed { topic: "traces".into(), detail: detail.into() }
    }
}

/// The one task that sends.
struct Sending {
    topic: Topic,
    cluster: Arc<Cluster>,
    chance: Chance,
    shared: Arc<Shared>,
}

impl Sending {
    async fn run(self, mut waiting: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = waiting.recv().await {
            sleep(self.chance.delay(10)).await;
            while self.cluster.lock().is_away {
                sleep(Duration::from_millis(20)).await;
            }
            if self.chance.one_in(60) {
                self.break_off(job, &mut waiting);
                continue;
            }
            self.send(job).await;
        }
    }

    async fn send(&self, job: Job) {
        let mut offsets = Vec::new();
        let bytes = job.records.iter().map(|placed| placed.record.size()).sum();
        let count = job.records.len();
        for placed in job.records {
            offsets.push(self.store(placed));
            if self.chance.one_in(4) {
                sleep(self.chance.delay(5)).await;
            }
        }
        let (pause, shared) = (self.chance.delay(20), self.shared.clone());
        tokio::spawn(async move {
            sleep(pause).await;
            shared.leave(count, bytes);
            let _ = job.done.send(Ok(offsets));
        });
    }

    fn store(&self, placed: Placed) -> i64 {
        match self.topic {
            Topic::Traces => self.cluster.store(placed.partition, placed.record),
            Topic::DeadLetters => {
                self.cluster.store_letter(placed.record);
                0
            }
        }
    }

    /// Some of the records are stored; nobody learns which. All that waits behind them fails.
    fn break_off(&self, job: Job, waiting: &mut mpsc::UnboundedReceiver<Job>) {
        self.shared.is_broken.store(true, Relaxed);
        let stored = self.chance.index(job.records.len() + 1);
        let (count, bytes) = (job.records.len(), size(&job.records));
        job.records.into_iter().take(stored).for_each(|placed| {
            self.store(placed);
        });
        self.shared.leave(count, bytes);
        let _ = job.done.send(Err(Link::failed("the broker forgot us")));
        while let Ok(behind) = waiting.try_recv() {
            self.shared.leave(behind.records.len(), size(&behind.records));
            let _ = behind.done.send(Err(Link::failed("behind a failed one")));
        }
    }
}

impl Shared {
    fn leave(&self, records: usize, bytes: usize) {
        self.queued_records.fetch_sub(records, Relaxed);
        self.queued_bytes.fetch_sub(bytes, Relaxed);
    }
}

fn size(records: &[Placed]) -> usize {
    records.iter().map(|placed| placed.record.size()).sum()
}

#[async_trait]
impl Log for Link {
    fn topic(&self) -> &str {
        if self.topic == Topic::Traces { "traces" } else { "traces.dlq" }
    }

    async fn partitions(&self) -> Result<u32, LogError> {
        if !self.shared.knows_partitions.load(Relaxed) {
            sleep(self.chance.delay(20)).await;
            if self.cluster.lock().is_away {
                return Err(LogError::Unavailable {
                    what: "cluster".into(),
                    detail: "away".into(),
                });
            }
            self.shared.knows_partitions.store(true, Relaxed);
        }
        Ok(if self.topic == Topic::Traces { PARTITIONS } else { 1 })
    }

    fn max_record_bytes(&self) -> usize {
        1_000_000
    }

    fn append(&self, records: Vec<Placed>) -> Result<Acknowledgement, AppendError> {
        if self.shared.is_broken.swap(false, Relaxed) {
            return Err(Self::failed("the producer had failed"));
        }
        let queued = self.shared.queued_bytes.load(Relaxed);
        if queued + size(&records) > QUEUE_BYTES || self.chance.one_in(100) {
            let topic = self.topic().into();
            return Err(AppendError::Full { topic, bytes: queued, limit: QUEUE_BYTES });
        }
        self.shared.queued_bytes.fetch_add(size(&records), Relaxed);
        self.shared.queued_records.fetch_add(records.len(), Relaxed);
        let (done, answer) = oneshot::channel();
        let closed = || AppendError::Closed { topic: "traces".into() };
        self.jobs.send(Job { records, done }).map_err(|_| closed())?;
        Ok(async move { answer.await.unwrap_or_else(|_| Err(closed())) }.boxed())
    }

    fn queue(&self) -> QueueSize {
        let (records, bytes) = (&self.shared.queued_records, &self.shared.queued_bytes);
        QueueSize { records: records.load(Relaxed), bytes: bytes.load(Relaxed) }
    }

    async fn reader(&self, _group: &str) -> Result<Box<dyn Reader>, LogError> {
        let member = Member::join(&self.cluster, &self.chance);
        self.member.store(member.id, Relaxed);
        Ok(Box::new(member))
    }

    async fn standing(&self, _group: &str) -> Result<Vec<Standing>, LogError> {
        Err(self.looks_at_nothing())
    }

    async fn scan(&self, stretches: Vec<Stretch>) -> Result<Box<dyn Scan>, LogError> {
        Ok(Box::new(Stretches::new(&self.cluster, &self.chance, stretches)))
    }

    fn recent(&self, partitions: &[u32], _since_ms: i64) -> Box<dyn Scan> {
        Box::new(Recent::new(&self.cluster, &self.chance, partitions))
    }

    async fn store(&self, _group: &str, _commits: Vec<Commit>) -> Result<(), LogError> {
        Err(self.looks_at_nothing())
    }

    fn retention(&self) -> Option<Duration> {
        None
    }

    fn sibling(&self, _topic: &str, _settings: &TopicSettings) -> Result<Arc<dyn Log>, LogError> {
        Ok(Self::start(Topic::DeadLetters, &self.cluster, &self.chance))
    }

    async fn flush(&self) -> Result<(), LogError> {
        while self.queue().records > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

//! A group's member as the forwarder holds it: `next` from what its thread fetched, commits with their outcome, lag.

use super::cluster::{Cluster, refused};
use super::fetched::Fetched;
use super::membership::{MemberConsumer, refresh_ends, serve};
use super::positions::Positions;
use super::reach::Reach;
use super::rebalance::{Member, list_of};
use super::topic::Topic;
use crate::log::{Commit, Event, LogError, PartitionLag, Reader};
use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::task::{self, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

/// The longest wait for the answer to a revocation.
const HAND_OVER: Duration = Duration::from_secs(10);
/// How long a commit may take before its caller is told to try again.
const COMMIT: Duration = Duration::from_secs(10);
/// How long `close` waits for the group to be left.
const CLOSE: Duration = Duration::from_secs(15);
/// How often the logs' ends are asked for.
const REFRESH: Duration = Duration::from_secs(5);
/// How long until a topic that is away is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A member of a group.
pub(super) struct KafkaReader {
    topic: String,
    group: String,
    fetched: Arc<Fetched>,
    positions: Arc<Positions>,
    /// The thread holds it; whoever else needs it holds it for one call.
    consumer: Weak<MemberConsumer>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// A commit whose caller did not wait for its end: the next one waits for it, so that they stay in order.
    committing: Option<task::JoinHandle<KafkaResult<()>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl KafkaReader {
    /// Starts the member; brokers and topic may be away, and are waited for.
    pub(super) fn join(
        cluster: &Cluster,
        topic: &Arc<Topic>,
        group: &str,
        ahead_bytes: usize,
    ) -> Result<Self, LogError> {
        // Half of what is fetched ahead waits here, a quarter in librdkafka, which overshoots by about one answer.
        let fetched = Arc::new(Fetched::new(ahead_bytes / 2));
        let positions = Arc::new(Positions::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let client = format!("group {group} of topic {}", topic.name());
        let member = Member {
            topic: topic.name().into(),
            fetched: fetched.clone(),
            positions: positions.clone(),
            reach: Reach::new(client, cluster.brokers()),
            stopping: stopping.clone(),
            paused: AtomicBool::new(false),
            came: Mutex::default(),
            hand_over: hand_over(cluster),
        };
        let config = cluster.consumer(group, ahead_bytes / 4);
        let consumer: MemberConsumer =
            config.create_with_context(member).map_err(|error| refused(&error))?;
        let consumer = Arc::new(consumer);
        let weak = Arc::downgrade(&consumer);
        let looking = task::spawn(look_for_topic(topic.clone(), fetched.clone()));
        let asking = task::spawn(ask_for_ends(weak.clone()));
        let topic = topic.clone();
        let name = topic.name().to_string();
        let thread = thread::Builder::new().name("kafka-reader".into());
        let thread = thread.spawn(move || serve(consumer, &topic)).map_err(|error| {
            LogError::Fatal { what: "the reader's thread".into(), detail: error.to_string() }
        })?;
        Ok(Self {
            topic: name,
            group: group.into(),
            fetched,
            positions,
            consumer: weak,
            stopping,
            thread: Some(thread),
            committing: None,
            _tasks: [AbortOnDropHandle::new(looking), AbortOnDropHandle::new(asking)],
        })
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.fetched.close();
    }

    /// Waits for the commit that is under way, if there is one.
    async fn settle(&mut self) -> Result<(), LogError> {
        let Some(committing) = &mut self.committing else { return Ok(()) };
        let outcome = timeout(COMMIT, committing).await;
        let outcome = outcome.map_err(|_| self.unavailable("the group's coordinator is silent"))?;
        self.committing = None;
        match outcome {
            Ok(outcome) => outcome.or_else(|error| self.outcome(&error)),
            Err(error) => Err(self.unavailable(&error.to_string())),
        }
    }

    /// What a refused commit means to the caller: the next commit mends it, unless it says otherwise.
    fn outcome(&self, error: &KafkaError) -> Result<(), LogError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::NoOffset) => Ok(()),
            Some(
                RDKafkaErrorCode::OffsetMetadataTooLarge
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) => Err(LogError::Fatal { what: self.what(), detail: error.to_string() }),
            _ => Err(self.unavailable(&error.to_string())),
        }
    }

    fn unavailable(&self, detail: &str) -> LogError {
        LogError::Unavailable { what: self.what(), detail: detail.into() }
    }

    fn what(&self) -> String {
        format!("storing the offsets of group {} in topic {}", self.group, self.topic)
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Event, LogError> {
        self.fetched.next().await
    }

    async fn next_change(&mut self) -> Result<Event, LogError> {
        self.fetched.next_change().await
    }

    async fn commit(&mut self, mut commits: Vec<Commit>) -> Result<(), LogError> {
        if let Err(error) = self.settle().await {
            if self.committing.is_some() {
                return Err(error);
            }
            // That one's failure was its own: this commit names what is to be stored now.
            debug!(%error, "an earlier commit");
        }
        let assigned: BTreeSet<u32> = self.positions.partitions().into_iter().collect();
        commits.retain(|commit| assigned.contains(&commit.partition));
        if commits.is_empty() {
            return Ok(());
        }
        let list = list_of(&self.topic, &commits).map_err(|e| self.unavailable(&e.to_string()))?;
        let (consumer, positions) = (self.consumer.clone(), self.positions.clone());
        self.committing = Some(spawn_blocking(move || {
            let consumer = consumer.upgrade().ok_or(KafkaError::Canceled)?;
            consumer.commit(&list, CommitMode::Sync)?;
            positions.committed(&commits);
            Ok(())
        }));
        self.settle().await
    }

    fn lag(&self) -> Vec<PartitionLag> {
        self.positions.lag()
    }

    async fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.stop();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match timeout(CLOSE, spawn_blocking(move || thread.join())).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err(LogError::Fatal {
                what: format!("leaving group {}", self.group),
                detail: "the reader's thread failed".into(),
            }),
            Err(_) => Err(LogError::Unavailable {
                what: format!("leaving group {}", self.group),
                detail: "the brokers did not answer in 15 s; they will notice".into(),
            }),
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Well under the times after which the group would give the partitions away without us.
fn hand_over(cluster: &Cluster) -> Duration {
    let session = cluster.duration("session.timeout.ms", 45_000);
    let poll = cluster.duration("max.poll.interval.ms", 300_000);
    HAND_OVER.min(session / 3).min(poll / 3)
}

/// Waits until the topic is there, making it if that is allowed; what no waiting mends goes to `next`.
async fn look_for_topic(topic: Arc<Topic>, fetched: Arc<Fetched>) {
    let mut told = false;
    loop {
        match topic.partitions().await {
            Ok(_) => return,
            Err(error @ (LogError::Unavailable { .. } | LogError::NoTopic { .. })) => {
                if !told {
                    warn!(%error, "the reader waits for its topic");
                }
                told = true;
            }
            Err(error) => return fetched.fail(error),
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn ask_for_ends(consumer: Weak<MemberConsumer>) {
    loop {
        sleep(REFRESH).await;
        let consumer = consumer.clone();
        match spawn_blocking(move || refresh_ends(&consumer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the logs' ends"),
            Err(_) => return,
        }
    }
}

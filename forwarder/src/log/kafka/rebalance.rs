//! Partitions that come and go: what they bring is told before their records, and what is given back for them is
//! committed before they go. All of it runs on the reader's thread, inside its poll.

use super::fetched::Fetched;
use super::native::{self, Committed};
use super::positions::Positions;
use super::reach::Reach;
use crate::log::{Assignment, Commit, Event, Revocation};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tracing::{debug, error, info, warn};

/// How long one question for committed offsets may take; it is repeated.
const ASK: Duration = Duration::from_secs(2);
/// How long the questions for log starts and ends may take together; what is not answered is not told.
const ASK_ENDS: Duration = Duration::from_secs(3);
/// So long after partitions came they have started, or wait for a broker.
const STARTING: Duration = Duration::from_secs(5);
/// How often a revocation looks for its answer.
const LOOK: Duration = Duration::from_millis(5);

/// A group's member, as librdkafka calls it back.
pub(super) struct Member {
    pub(super) topic: String,
    pub(super) fetched: Arc<Fetched>,
    pub(super) positions: Arc<Positions>,
    pub(super) reach: Reach,
    /// The reader closes: nothing is told or committed any more.
    pub(super) stopping: Arc<AtomicBool>,
    /// Fetching rests.
    pub(super) paused: AtomicBool,
    /// When partitions came last.
    pub(super) came: Mutex<Option<Instant>>,
    /// How long a revocation waits for its answer.
    pub(super) hand_over: Duration,
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions);
        } else {
            self.revoke(consumer, partitions);
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.reach.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reach.error(&error, reason);
    }
}

impl Member {
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let committed = self.committed(consumer, partitions);
        let starts = committed.as_deref().map(|all| self.tell_assigned(consumer, all));
        let list = starts.unwrap_or_else(|| partitions.clone());
        self.lets_start(consumer);
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list),
            _ => consumer.assign(&list),
        };
        if let Err(error) = done {
            error!(topic = self.topic, %error, "partitions could not be assigned");
        }
    }

    /// What comes is not paused for a while: librdkafka numbers the start of a partition in a thread of its own, and a pause that
    /// is numbered behind it and comes before it makes it outdated. That partition would never be read.
    fn lets_start(&self, consumer: &BaseConsumer<Self>) {
        if self.paused.load(Ordering::Acquire) {
            self.set_paused(consumer, false);
        }
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Lets fetching rest, or go on, for all partitions that are ours.
    pub(super) fn set_paused(&self, consumer: &BaseConsumer<Self>, paused: bool) {
        let all = consumer.assignment();
        let done = all.and_then(|all| match (all.count(), paused) {
            (0, _) => Ok(()),
            (_, true) => consumer.pause(&all),
            (_, false) => consumer.resume(&all),
        });
        match done {
            Ok(()) => {
                debug!(topic = self.topic, paused, "fetching");
                self.paused.store(paused, Ordering::Release);
            }
            // Tried again at the next turn.
            Err(error) => debug!(topic = self.topic, paused, %error, "could not pause or resume"),
        }
    }

    /// Whether all partitions that came have started for certain.
    pub(super) fn has_started(&self) -> bool {
        let came = *self.came.lock().unwrap_or_else(PoisonError::into_inner);
        came.is_none_or(|came| came.elapsed() >= STARTING)
    }

    /// Asks until it is answered: to start without the committed offsets would be to start anew.
    /// `None` when the reader closes, or the partitions are lost meanwhile.
    fn committed(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Option<Vec<Committed>> {
        if partitions.count() == 0 {
            return Some(Vec::new());
        }
        while !self.stopping.load(Ordering::Acquire) && !consumer.assignment_lost() {
            let answer = consumer.committed_offsets(partitions.clone(), ASK);
            let answer = answer.map_err(|error| error.to_string());
            match answer.and_then(|list| native::committed(&list).map_err(|e| e.to_string())) {
                Ok(committed) => return Some(committed),
                Err(error) => debug!(topic = self.topic, error, "committed offsets: asking again"),
            }
            sleep(ASK / 20);
        }
        None
    }

    /// Tells the caller, and says where to read from.
    fn tell_assigned(
        &self,
        consumer: &BaseConsumer<Self>,
        committed: &[Committed],
    ) -> TopicPartitionList {
        let mut ends = self.ends(consumer, committed);
        let mut list = TopicPartitionList::with_capacity(committed.len());
        let mut assignments = Vec::with_capacity(committed.len());
        for Committed { partition, offset, metadata } in committed {
            let (log_start, end) = ends.remove(partition).unzip();
            let start = offset.map_or(Offset::Beginning, Offset::Offset);
            self.report("start", list.add_partition_offset(&self.topic, *partition, start));
            let assignment = Assignment {
                partition: *partition as u32,
                committed: *offset,
                metadata: metadata.clone(),
                log_start,
            };
            self.positions.assigned(&assignment, end);
            assignments.push(assignment);
        }
        if !assignments.is_empty() {
            let partitions: Vec<u32> = assignments.iter().map(|a| a.partition).collect();
            info!(topic = self.topic, ?partitions, "partitions assigned");
            self.fetched.tell(Event::Assigned(assignments));
        }
        list
    }

    /// Start and end of each partition's log, as far as they are told in time.
    fn ends(
        &self,
        consumer: &BaseConsumer<Self>,
        committed: &[Committed],
    ) -> BTreeMap<i32, (i64, i64)> {
        let deadline = Instant::now() + ASK_ENDS;
        let mut ends = BTreeMap::new();
        for Committed { partition, .. } in committed {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.fetch_watermarks(&self.topic, *partition, left) {
                Ok(found) => {
                    ends.insert(*partition, found);
                }
                Err(error) => {
                    debug!(topic = self.topic, partition, %error, "log start is not known");
                    break;
                }
            }
        }
        ends
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions: Vec<u32> = list.elements().iter().map(|e| e.partition() as u32).collect();
        if !self.stopping.load(Ordering::Acquire) && !partitions.is_empty() {
            self.fetched.forget(&partitions);
            if consumer.assignment_lost() {
                warn!(topic = self.topic, ?partitions, "partitions lost to the group");
                self.fetched.tell(Event::Lost(partitions.clone()));
            } else {
                info!(topic = self.topic, ?partitions, "partitions revoked");
                self.commit_last(consumer, &partitions);
            }
        }
        self.positions.removed(&partitions);
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        };
        self.report("unassign", done);
    }

    /// Asks the caller for its last commits, and stores them while the partitions are still ours.
    fn commit_last(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let (done, answer) = oneshot::channel();
        self.fetched.tell(Event::Revoked(Revocation { partitions: partitions.to_vec(), done }));
        let mut commits = self.wait(answer);
        commits.retain(|commit| partitions.contains(&commit.partition));
        if commits.is_empty() {
            return;
        }
        let stored = list_of(&self.topic, &commits)
            .and_then(|list| consumer.commit(&list, CommitMode::Sync));
        if let Err(error) = stored {
            warn!(topic = self.topic, %error, "last commit before a hand-over failed; its records will be sent again");
        }
    }

    fn wait(&self, mut answer: oneshot::Receiver<Vec<Commit>>) -> Vec<Commit> {
        let deadline = Instant::now() + self.hand_over;
        loop {
            match answer.try_recv() {
                Ok(commits) => return commits,
                Err(TryRecvError::Closed) => return Vec::new(),
                Err(TryRecvError::Empty) => {}
            }
            if Instant::now() > deadline || self.stopping.load(Ordering::Acquire) {
                debug!(topic = self.topic, "no answer to a revocation in time");
                return Vec::new();
            }
            sleep(LOOK);
        }
    }

    fn report(&self, doing: &str, done: KafkaResult<()>) {
        if let Err(error) = done {
            debug!(topic = self.topic, doing, %error, "librdkafka declined");
        }
    }
}

/// Commits as librdkafka takes them.
pub(super) fn list_of(topic: &str, commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let mut element = list.add_partition(topic, commit.partition as i32);
        element.set_offset(Offset::Offset(commit.offset))?;
        if !commit.metadata.is_empty() {
            element.set_metadata(&commit.metadata);
        }
    }
    Ok(list)
}

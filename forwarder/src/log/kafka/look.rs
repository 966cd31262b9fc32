//! Asking and reading without joining a group: a consumer for one question, and one that is given its partitions.

use super::cluster::{Cluster, refused};
use super::membership::stored;
use super::native;
use super::pages::Pages;
use super::rebalance::list_of;
use super::topic::Topic;
use crate::log::{Commit, LogError, Scan, Standing, StoredRecord, Stretch};
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// How long one question may take, and how long it is asked again: a coordinator that is being chosen is none yet.
const ASK: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long a scan waits for a record that is there.
const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const POLL: Duration = Duration::from_millis(100);
/// What a scan's reader is behind, at most, in batches of `BATCH_RECORDS`.
pub(super) const BATCHES_AHEAD: usize = 4;
pub(super) const BATCH_RECORDS: usize = 500;
/// A consumer must have a group's name even when it joins none.
pub(super) const NO_GROUP: &str = "spanferry-look";

pub(super) async fn standing(
    cluster: &Arc<Cluster>,
    topic: &Arc<Topic>,
    group: &str,
) -> Result<Vec<Standing>, LogError> {
    let partitions = topic.partitions().await?;
    let config = cluster.consumer(group, 1);
    let question = Question { topic: topic.name().into(), group: group.into() };
    blocking(question, move |question| {
        let consumer: BaseConsumer = config.create().map_err(|error| refused(&error))?;
        let mut list = TopicPartitionList::with_capacity(partitions as usize);
        list.add_partition_range(&question.topic, 0, partitions as i32 - 1);
        let committed = question.until_answered(|| {
            let list = consumer.committed_offsets(list.clone(), ASK)?;
            native::committed(&list).map_err(KafkaError::OffsetFetch)
        })?;
        let ends = |found: native::Committed| {
            let ends = || consumer.fetch_watermarks(&question.topic, found.partition, ASK);
            let (start, end) = question.until_answered(ends)?;
            Ok(Standing {
                partition: found.partition as u32,
                committed: found.offset,
                metadata: found.metadata,
                start,
                end,
            })
        };
        committed.into_iter().map(ends).collect()
    })
    .await
}

pub(super) async fn store(
    cluster: &Arc<Cluster>,
    topic: &Arc<Topic>,
    group: &str,
    commits: Vec<Commit>,
) -> Result<(), LogError> {
    topic.partitions().await?;
    let config = cluster.consumer(group, 1);
    let question = Question { topic: topic.name().into(), group: group.into() };
    blocking(question, move |question| {
        let consumer: BaseConsumer = config.create().map_err(|error| refused(&error))?;
        let list = list_of(&question.topic, &commits).map_err(|e| question.unavailable(&e))?;
        question.until_answered(|| consumer.commit(&list, CommitMode::Sync))
    })
    .await
}

pub(super) async fn scan(
    cluster: &Arc<Cluster>,
    topic: &Arc<Topic>,
    stretches: Vec<Stretch>,
    ahead_bytes: usize,
) -> Result<Box<dyn Scan>, LogError> {
    topic.partitions().await?;
    let mut config = cluster.consumer(NO_GROUP, ahead_bytes / 4);
    config.set("enable.partition.eof", "true");
    let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
    let question = Question { topic: topic.name().into(), group: NO_GROUP.into() };
    spawn_blocking(move || {
        if let Err(error) = read(&config, &question, stretches, &batches) {
            // A caller that is gone wants no error either.
            let _ = batches.blocking_send(Err(error));
        }
    });
    Ok(Box::new(Batches(receiver)))
}

pub(super) type Batch = Result<Vec<StoredRecord>, LogError>;

/// What a thread reads.
pub(super) struct Batches(pub mpsc::Receiver<Batch>);

#[async_trait]
impl Scan for Batches {
    async fn next(&mut self) -> Result<Option<Vec<StoredRecord>>, LogError> {
        self.0.recv().await.transpose()
    }
}

/// What is asked, for its errors.
struct Question {
    topic: String,
    group: String,
}

impl Question {
    fn unavailable(&self, error: &dyn std::fmt::Display) -> LogError {
        let what = format!("topic {} for group {}", self.topic, self.group);
        LogError::Unavailable { what, detail: error.to_string() }
    }

    fn until_answered<T>(&self, mut ask: impl FnMut() -> KafkaResult<T>) -> Result<T, LogError> {
        let start = Instant::now();
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) if start.elapsed() > ASK_AGAIN => return Err(self.unavailable(&error)),
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    question: Question,
    ask: impl FnOnce(&Question) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let what = format!("topic {}", question.topic);
    let answer = spawn_blocking(move || ask(&question)).await;
    answer.unwrap_or_else(|error| Err(LogError::Fatal { what, detail: error.to_string() }))
}

/// Reads until each stretch has come to its end, or nobody listens any more.
fn read(
    config: &ClientConfig,
    question: &Question,
    stretches: Vec<Stretch>,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), LogError> {
    let mut open: BTreeMap<u32, i64> = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for Stretch { partition, offsets } in stretches.iter().filter(|s| !s.offsets.is_empty()) {
        open.insert(*partition, offsets.end);
        let from = Offset::Offset(offsets.start);
        let added = list.add_partition_offset(&question.topic, *partition as i32, from);
        added.map_err(|error| question.unavailable(&error))?;
    }
    if open.is_empty() {
        return Ok(());
    }
    let consumer: BaseConsumer = config.create().map_err(|error| refused(&error))?;
    consumer.assign(&list).map_err(|error| question.unavailable(&error))?;
    let (mut records, mut pages, mut since) = (Vec::new(), Pages::default(), Instant::now());
    while !open.is_empty() && !batches.is_closed() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                since = Instant::now();
                take(stored(&message, &mut pages), &mut open, &mut records);
            }
            // Behind the last record there may be markers of transactions, which are no records.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&(partition as u32));
            }
            Some(Err(error)) if since.elapsed() > PATIENCE => {
                return Err(question.unavailable(&error));
            }
            None if since.elapsed() > PATIENCE => return Err(question.unavailable(&"no answer")),
            Some(Err(_)) | None => {}
        }
        let is_full = records.len() >= BATCH_RECORDS || open.is_empty();
        if is_full && batches.blocking_send(Ok(std::mem::take(&mut records))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Keeps a record that is within its stretch, and closes the stretch behind its last one.
fn take(record: StoredRecord, open: &mut BTreeMap<u32, i64>, records: &mut Vec<StoredRecord>) {
    let Some(end) = open.get(&record.partition).copied() else { return };
    if record.offset + 1 >= end {
        open.remove(&record.partition);
    }
    if record.offset < end {
        records.push(record);
    }
}

//! What was appended since a moment, and what is appended from now on: a consumer that is given its partitions and joins no
//! group. Brokers that are away are waited for.

use super::cluster::{Cluster, refused};
use super::look::{BATCH_RECORDS, BATCHES_AHEAD, Batch, Batches, NO_GROUP, POLL};
use super::membership::stored;
use super::pages::Pages;
use super::topic::Topic;
use crate::log::{LogError, Scan};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::debug;

/// How long one question for offsets may take; it is repeated.
const ASK: Duration = Duration::from_secs(2);

pub(super) fn recent(
    cluster: &Cluster,
    topic: &Arc<Topic>,
    partitions: &[u32],
    since_ms: i64,
    ahead_bytes: usize,
) -> Box<dyn Scan> {
    // Little is fetched ahead: it is to be delivered at once, or not from here.
    let mut config = cluster.consumer(NO_GROUP, ahead_bytes / 16);
    config.set("auto.offset.reset", "latest");
    let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
    let wanted = Wanted { topic: topic.clone(), partitions: partitions.to_vec(), since_ms };
    spawn_blocking(move || {
        if let Err(error) = read(&config, &wanted, &batches) {
            // A caller that is gone wants no error either.
            let _ = batches.blocking_send(Err(error));
        }
    });
    Box::new(Batches(receiver))
}

struct Wanted {
    topic: Arc<Topic>,
    partitions: Vec<u32>,
    since_ms: i64,
}

/// Reads until nobody listens any more.
fn read(
    config: &ClientConfig,
    wanted: &Wanted,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), LogError> {
    let consumer: BaseConsumer = config.create().map_err(|error| refused(&error))?;
    let topic = wanted.topic.name();
    let started = loop {
        match wanted.starts(&consumer) {
            Ok(starts) => break consumer.assign(&starts),
            Err(_) if batches.is_closed() => return Ok(()),
            Err(error) => debug!(topic, %error, "where recent records begin: asking again"),
        }
        sleep(POLL);
    };
    started.map_err(|error| LogError::Fatal {
        what: format!("reading topic {topic} from its end"),
        detail: error.to_string(),
    })?;
    let (mut records, mut pages) = (Vec::new(), Pages::default());
    while !batches.is_closed() {
        let patience = if records.is_empty() { POLL } else { Duration::ZERO };
        let message = consumer.poll(patience);
        let is_idle = message.is_none();
        match message {
            Some(Ok(message)) => records.push(stored(&message, &mut pages)),
            // librdkafka gets over it.
            Some(Err(error)) => debug!(topic, %error, "poll"),
            None => {}
        }
        let is_batch = records.len() >= BATCH_RECORDS || is_idle && !records.is_empty();
        if is_batch && batches.blocking_send(Ok(std::mem::take(&mut records))).is_err() {
            break;
        }
    }
    Ok(())
}

impl Wanted {
    /// The first offset of each partition whose record is not older; where there is none yet, the log's end. That is asked
    /// for before: a record that comes between the two questions is not missed.
    fn starts(&self, consumer: &BaseConsumer) -> KafkaResult<TopicPartitionList> {
        let topic = self.topic.name();
        let mut ends = Vec::with_capacity(self.partitions.len());
        let mut times = TopicPartitionList::with_capacity(self.partitions.len());
        for partition in self.partitions.iter().map(|partition| *partition as i32) {
            ends.push(consumer.fetch_watermarks(topic, partition, ASK)?.1);
            times.add_partition_offset(topic, partition, Offset::Offset(self.since_ms))?;
        }
        let found = consumer.offsets_for_times(times, ASK)?;
        let mut starts = TopicPartitionList::with_capacity(self.partitions.len());
        for (partition, end) in self.partitions.iter().zip(ends) {
            let found = found.find_partition(topic, *partition as i32);
            let start = match found.map(|element| (element.error(), element.offset())) {
                Some((Ok(()), Offset::Offset(start))) => start,
                Some((Err(error), _)) => return Err(error),
                _ => end,
            };
            starts.add_partition_offset(topic, *partition as i32, Offset::Offset(start))?;
        }
        Ok(starts)
    }
}
